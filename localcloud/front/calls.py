"""On record, when that is asked for: what was asked of AWS, by whom. One JSON line for each request of a role.

What a request says is kept, what proves who says it is not. Bodies are kept where they are the request itself (JSON),
not where they are an object's content.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path

from localcloud.front.http import Head

# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
_SCOPE = re.compile(r"Credential=([^/]+)/\d{8}/[^/]+/([^/]+)/aws4_request")
_SECRET = {"authorization", "x-amz-security-token"}


class Calls:
    """Writes the record. All methods may be called from any thread."""

    def __init__(self, file: Path, role_of: Callable[[str], str]) -> None:
        """`role_of` names the role that an access key is of; empty for other keys, whose requests are not noted."""
        self._file = file
        self._role_of = role_of
        self._lock = threading.Lock()

    def note(self, head: Head, body: bytes) -> None:
        """Keep a request. Raises OSError when it cannot be written."""
        scope = _SCOPE.search(head.headers.get("authorization", ""))
        role = self._role_of(scope.group(1)) if scope else ""
        if not scope or not role:
            return
        line = json.dumps(
            {
                "role": role,
                "service": scope.group(2),
                "method": head.method,
                "path": head.path,
                "headers": {name: value for name, value in head.headers.items() if name not in _SECRET},
                "body": body.decode(),
            }
        )
        with self._lock, self._file.open("a") as file:
            file.write(f"{line}\n")
