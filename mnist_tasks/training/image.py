"""Which image this container was started from, as ECS tells the container itself.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-fargate-response.html
"""

from __future__ import annotations

import http.client
import json
import re
import urllib.request
from collections.abc import Mapping
from typing import Final

_VARIABLE: Final = "ECS_CONTAINER_METADATA_URI_V4"
_SECONDS: Final = 2
_MAX_BYTES: Final = 1 << 20
# Its address is of this machine alone (link-local): no proxy could reach it.
_DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


def image_digest(environment: Mapping[str, str]) -> str | None:
    """`ImageID` of the container's metadata; None where nobody tells it, which is no reason to train nothing."""
    url = environment.get(_VARIABLE, "")
    if not url.startswith("http://"):
        return None
    try:
        with _DIRECT.open(url, timeout=_SECONDS) as answer:
            told = json.loads(answer.read(_MAX_BYTES))
    except (OSError, http.client.HTTPException, ValueError, RecursionError):
        return None
    digest = told.get("ImageID") if isinstance(told, dict) else None
    return digest if isinstance(digest, str) and _DIGEST.fullmatch(digest) else None
