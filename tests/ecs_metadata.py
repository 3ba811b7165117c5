"""The endpoint by which ECS tells a container of itself, for tests: the one-machine cloud has none."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

DIGEST = f"sha256:{'d6' * 32}"
# From AWS's example of a container's metadata.
METADATA = {"Name": "curl", "Image": "111122223333.dkr.ecr.us-west-2.amazonaws.com/curltest:latest", "ImageID": DIGEST}


@contextmanager
def metadata(body: bytes, status: int = 200) -> Iterator[dict[str, str]]:
    """The environment of a container that is told this."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Silent."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield {"ECS_CONTAINER_METADATA_URI_V4": f"http://127.0.0.1:{server.server_address[1]}/v4/ea32192c"}
        finally:
            server.shutdown()
            thread.join()
