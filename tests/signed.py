"""Requests that a test writes by itself, signed with the administrator's keys."""

from __future__ import annotations

from collections.abc import Mapping

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import localcloud


def signed(
    cloud: localcloud.Cloud, service: str, method: str, path: str, headers: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The headers with a signature that leaves the body open, which S3 takes, and the emulator of any service."""
    environment = cloud.environment
    keys = Credentials(environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"])
    fixed = {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD", **(headers or {})}
    request = AWSRequest(method, environment["AWS_ENDPOINT_URL"] + path, fixed)
    SigV4Auth(keys, service, environment["AWS_DEFAULT_REGION"]).add_auth(request)
    return dict(request.headers.items())
