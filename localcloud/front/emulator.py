"""The emulator's ECS, asked on somebody's behalf."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from typing import Any

from localcloud.aws import SECRET_ACCESS_KEY
from localcloud.front.http import Answer, Head

TARGET = "AmazonEC2ContainerServiceV20141113."
# An ECS StopTask holds its request open while the container ends.
SECONDS = 180.0


class EmulatorEcs:
    """Calls ECS actions for an account and a region."""

    def __init__(self, port: int) -> None:
        self._port = port

    def call(self, action: str, request: Mapping[str, Any], account: str, region: str) -> Answer:
        """Ask as the account's root user, for what the front has to know or do by itself.

        Raises OSError or HTTPException when there is no whole answer: the emulator has ended.
        """
        body = json.dumps(request).encode()
        headers = self._signed(action, body, account, region)
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=SECONDS)
        try:
            connection.request("POST", "/", body, headers)
            response = connection.getresponse()
            return Answer(response.status, json.loads(response.read() or b"{}"))
        finally:
            connection.close()

    def hand_on(self, head: Head, body: bytes) -> Answer:
        """Pass a caller's own request on, which the emulator answers as far as he may ask that.

        Raises OSError or HTTPException, too.
        """
        with socket.create_connection(("127.0.0.1", self._port), timeout=SECONDS) as connection:
            connection.sendall(head.raw + body)
            response = http.client.HTTPResponse(connection, method=head.method)
            response.begin()
            return Answer(response.status, json.loads(response.read() or b"{}"))

    def _signed(self, action: str, body: bytes, account: str, region: str) -> dict[str, str]:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": TARGET + action}
        request = AWSRequest("POST", f"http://127.0.0.1:{self._port}/", headers, body)
        # The emulator takes an access key of 12 digits for the root user of the account of that number.
        SigV4Auth(Credentials(account, SECRET_ACCESS_KEY), "ecs", region).add_auth(request)
        return dict(request.headers.items())
