"""A TCP server that hands each connection on to the emulator, and picks out the requests that others answer.

What is handed on is not looked into beyond where one request's body ends and the next one's head begins: headers (with
them the signature, which covers Host), streamed bodies, `100 Continue` and keep-alive arrive as they were sent.
"""

from __future__ import annotations

import contextlib
import http.client
import logging
import socket
import socketserver
import threading
from collections.abc import Callable
from io import BufferedReader

from localcloud.front.http import CHUNK_BYTES, Answer, BadRequestError, Head, body_of, read_body, read_head

_log = logging.getLogger(__name__)

# What answers a request by its body in the emulator's place, or None.
Picker = Callable[[Head], Callable[[bytes], Answer] | None]
# Is told each request, with its body if that is JSON.
Note = Callable[[Head, bytes], None]


class Front(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Listens from the beginning; `serve_forever` answers.

    `pick` chooses what the emulator never sees; `note` is told all.
    """

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], emulator_port: int, pick: Picker, note: Note | None = None) -> None:
        super().__init__(address, _Connection)
        self.emulator_port = emulator_port
        self.pick = pick
        self.note = note


class _Connection(socketserver.BaseRequestHandler):
    server: Front
    request: socket.socket
    _upstream: _Upstream | None = None

    def handle(self) -> None:
        """Serve one client's connection until either side closes it."""
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        try:
            with self.request.makefile("rb") as stream:
                while head := read_head(stream):
                    self._serve(head, stream)
        except BadRequestError as error:
            _log.warning("a connection is closed: %s", error)
        except (OSError, http.client.HTTPException) as error:
            # The client went away, or the emulator did: the other one sees a connection that breaks, as without us.
            _log.info("a connection broke: %r", error)
        finally:
            if self._upstream:
                self._upstream.close()

    def _serve(self, head: Head, stream: BufferedReader) -> None:
        respond = self.server.pick(head)
        if respond is None:
            self._hand_on(head, stream)
            return
        if self._upstream:
            # An idle one that the emulator closes meanwhile would take the client's connection with it.
            self._upstream.detach()
            self._upstream = None
        body = read_body(head, stream, self.request.sendall)
        self._note(head, body)
        self.request.sendall(respond(body).encode())

    def _hand_on(self, head: Head, stream: BufferedReader) -> None:
        if self._upstream is None:
            self._upstream = _Upstream(self.server.emulator_port, self.request)
        self._upstream.send(head.raw)
        kept = bytearray()
        for piece in body_of(head, stream):
            self._upstream.send(piece)
            if self.server.note and head.is_json:
                kept += piece
        self._note(head, bytes(kept))

    def _note(self, head: Head, body: bytes) -> None:
        if self.server.note:
            self.server.note(head, body)


class _Upstream:
    """A connection to the emulator for one of a client; a thread copies whatever comes back to the client."""

    def __init__(self, port: int, client: socket.socket) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        self.send = self._socket.sendall
        self._client = client
        self._detached = False
        self._thread = threading.Thread(target=self._copy_back, name="front-answers", daemon=True)
        self._thread.start()

    def detach(self) -> None:
        """Close it without closing the client's connection. Call it between two requests only."""
        self._detached = True
        self.close()

    def close(self) -> None:
        """Close it at once: the emulator would keep it for a minute after the client has gone."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _copy_back(self) -> None:
        buffer = bytearray(CHUNK_BYTES)
        view = memoryview(buffer)
        with contextlib.suppress(OSError):
            while size := self._socket.recv_into(buffer):
                self._client.sendall(view[:size])
        if not self._detached:
            with contextlib.suppress(OSError):
                self._client.shutdown(socket.SHUT_RDWR)
