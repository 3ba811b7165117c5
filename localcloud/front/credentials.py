"""Hands out the credentials of roles as ECS does to containers: an address, an authorization token, keys that expire.

https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html

Each address has a token of its own: who may act in one role learns nothing about another one.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

from localcloud.aws import ClientFactory
from localcloud.front.http import Answer, Head

PREFIX = "/_localcloud/credentials/"
# SDKs ask for new ones a quarter of an hour before the end; what they get then must be new.
_MARGIN = timedelta(minutes=20)


def secret_of(file: Path) -> bytes:
    """What the tokens of a home are made of; kept in a file, so that they outlive a restart."""
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_hex(32))
    return file.read_text().encode()


def environment(secret: bytes, endpoint_url: str, role: str, session: str) -> dict[str, str]:
    """The variables by which an SDK finds the credentials of a role (its ARN), and nobody else's configuration."""
    path = f"{PREFIX}{role.rpartition('/')[2]}/{session}"
    return {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{endpoint_url}{path}",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": _token(secret, path),
    }


def _token(secret: bytes, path: str) -> str:
    return hmac.new(secret, path.encode(), hashlib.sha256).hexdigest()


class Credentials:
    """Answers requests for credentials. All methods may be called from any thread."""

    def __init__(self, client: ClientFactory, account: str, secret: bytes) -> None:
        self._client = client
        self._account = account
        self._secret = secret
        self._lock = threading.Lock()
        self._kept: dict[str, dict[str, Any]] = {}
        self._roles: dict[str, tuple[str, datetime]] = {}
        self._sts: Any = None

    def answer(self, head: Head) -> Answer:
        """The keys of the role that the path names, for whoever shows the path's own token."""
        if not hmac.compare_digest(head.headers.get("authorization", ""), _token(self._secret, head.path)):
            return Answer(HTTPStatus.FORBIDDEN, {"code": "AccessDenied", "message": "not the token of this address"})
        role, _, session = head.path.removeprefix(PREFIX).partition("/")
        with self._lock:
            keys = self._kept.get(head.path)
            if keys is None or keys["Expiration"] - datetime.now(UTC) < _MARGIN:
                keys = self._kept[head.path] = self._assume(role, session)
        return Answer(
            HTTPStatus.OK,
            {
                "AccessKeyId": keys["AccessKeyId"],
                "SecretAccessKey": keys["SecretAccessKey"],
                "Token": keys["SessionToken"],
                "Expiration": keys["Expiration"].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
        )

    def role_of(self, access_key_id: str) -> str:
        """The name of the role that these keys were handed out for; empty for other keys."""
        role, _ = self._roles.get(access_key_id, ("", None))
        return role

    def _assume(self, role: str, session: str) -> dict[str, Any]:
        self._sts = self._sts or self._client("sts")
        arn = f"arn:aws:iam::{self._account}:role/{role}"
        keys: dict[str, Any] = self._sts.assume_role(RoleArn=arn, RoleSessionName=session)["Credentials"]
        self._forget_expired()
        self._roles[keys["AccessKeyId"]] = (role, keys["Expiration"])
        return keys

    def _forget_expired(self) -> None:
        """Each task has keys of its own, and nobody comes back for them."""
        now = datetime.now(UTC)
        self._kept = {path: keys for path, keys in self._kept.items() if keys["Expiration"] > now}
        self._roles = {key: (role, until) for key, (role, until) in self._roles.items() if until > now}
