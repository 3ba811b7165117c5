"""The HTTP side of the runtime, on a Unix socket: who may open it may run commands, and a TCP port would let anyone."""

from __future__ import annotations

import json
import logging
import re
import socketserver
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

from localcloud.runtime import routes
from localcloud.runtime.container import NotFoundError
from localcloud.runtime.engine import ConflictError, Engine

_log = logging.getLogger(__name__)
_VERSION_PREFIX = re.compile(r"^/v\d+\.\d+(?=/)")


class DockerServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Serves an engine's containers; the socket file must not exist yet."""

    daemon_threads = True
    # A full queue makes the kernel refuse a Unix socket's caller at once; the default of 5 is too few for a burst.
    request_queue_size = 128
    block_on_close = False

    def __init__(self, socket: Path, engine: Engine) -> None:
        super().__init__(str(socket), _Handler)
        self.engine = engine


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        _log.debug(format, *args)

    def _answer(self) -> None:
        try:
            status, body = self._dispatch()
        except NotFoundError as error:
            status, body = HTTPStatus.NOT_FOUND, {"message": str(error)}
        except ConflictError as error:
            status, body = HTTPStatus.CONFLICT, {"message": str(error)}
        except (ValueError, OSError) as error:
            status, body = HTTPStatus.BAD_REQUEST, {"message": str(error)}
        except Exception as error:  # noqa: BLE001 - as Docker does: whatever it is, the client gets an answer
            _log.exception("%s %s", self.command, self.path)
            status, body = HTTPStatus.INTERNAL_SERVER_ERROR, {"message": f"{type(error).__name__}: {error}"}
        if isinstance(body, Iterator):
            self._send_stream(body)
        else:
            self._send_json(status, body)

    def _dispatch(self) -> routes.Answer:
        url = urlsplit(self.path)
        path = unquote(_VERSION_PREFIX.sub("", url.path))
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.loads(content) if content.strip() else {}
        return routes.dispatch(cast(DockerServer, self.server).engine, self.command, path, query, body)

    def _send_json(self, status: HTTPStatus, body: Any) -> None:
        content = b"" if status == HTTPStatus.NO_CONTENT else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("API-Version", routes.API_VERSION)
        if status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _send_stream(self, frames: Iterator[bytes]) -> None:
        self.close_connection = True
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/vnd.docker.multiplexed-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            for frame in frames:
                self.wfile.write(frame)
        except BrokenPipeError:
            _log.debug("the reader of %s went away", self.path)
