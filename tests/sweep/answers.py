"""Answers that AWS gives on bad days, as the wire carries them."""

from __future__ import annotations

import io
import json
from typing import Any

from botocore.awsrequest import AWSResponse
from urllib3.response import HTTPResponse

# Status and code, by service: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html and each service's
# "Common Errors".
_REFUSALS = {
    ("s3", "throttled"): (503, "SlowDown"),
    ("s3", "failed"): (500, "InternalError"),
    ("ecs", "failed"): (500, "ServerException"),
    ("logs", "failed"): (500, "ServiceUnavailableException"),
    ("kms", "failed"): (500, "KMSInternalException"),
}
_DEFAULTS = {"throttled": (400, "ThrottlingException"), "failed": (500, "InternalFailure")}


def refusal(service: str, kind: str, request: Any) -> Any:
    """The answer to a request that had no effect: `throttled`, or `failed` inside the service."""
    status, code = _REFUSALS.get((service, kind), _DEFAULTS[kind])
    message = "Rate exceeded" if kind == "throttled" else "We encountered an internal error. Please try again."
    if service == "s3":
        body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'.encode()
        content_type = "application/xml"
    else:
        body = json.dumps({"__type": code, "message": message}).encode()
        content_type = "application/x-amz-json-1.1"
    return _answer(request.url, status, {"content-type": content_type}, b"" if request.method == "HEAD" else body)


def cut_off(answer: Any) -> Any:
    """The same answer, whose connection ends in the middle of the body."""
    body = answer.raw.read()
    return _answer(answer.url, answer.status_code, dict(answer.headers), body[: len(body) // 2])


def _answer(url: str, status: int, headers: dict[str, str], body: bytes) -> Any:
    raw = HTTPResponse(
        body=io.BytesIO(body), status=status, headers=headers, preload_content=False, enforce_content_length=False
    )
    return AWSResponse(url, status, raw.headers, raw)
