"""The emulator's ECS, asked on somebody's behalf."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any

from localcloud.front.http import Answer

TARGET = "AmazonEC2ContainerServiceV20141113."
# An ECS StopTask holds its request open while the container ends.
SECONDS = 180.0


class EmulatorEcs:
    """Calls ECS actions for an account and a region."""

    def __init__(self, port: int) -> None:
        self._port = port

    def call(self, action: str, request: Mapping[str, Any], account: str, region: str) -> Answer:
        """Raises OSError or HTTPException when there is no whole answer: the emulator has ended."""
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": TARGET + action,
            # The emulator takes account and region from here and, with its AUTH off, checks no signature.
            "Authorization": f"AWS4-HMAC-SHA256 Credential={account}/20000101/{region}/ecs/aws4_request",
        }
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=SECONDS)
        try:
            connection.request("POST", "/", json.dumps(request).encode(), headers)
            response = connection.getresponse()
            return Answer(response.status, json.loads(response.read() or b"{}"))
        finally:
            connection.close()
