"""A front of the emulator's KMS that honours `Recipient` as AWS does, for attested local runs and tests.

The emulator ignores `Recipient` and measurements: it hands the plaintext to anyone. Behind this front an attested
request gets `CiphertextForRecipient` and no plaintext, and the key policy's conditions on measurements decide, for
requests without a document as well. Everything else passes through unchanged, signatures included (`Host` stays).

```python
with kms_recipient.start(emulator, authenticate=..., principal=role_arn) as front:
    boto3.client("kms", endpoint_url=front.url)        # or AWS_ENDPOINT_URL_KMS in a container's environment
```

It is started only for that. It needs `cryptography`, so it runs in the project's environment, not in the emulator's.
"""

from __future__ import annotations

import base64
import binascii
import http.client
import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType, TracebackType
from typing import Any, Self, cast
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import rsa

from localcloud.aws import client_factory
from localcloud.cms import envelope
from localcloud.key_policy import KeyRequest, denial

_log = logging.getLogger(__name__)
_SERVICE = "TrentService."
# AWS takes Recipient in five operations. These two are what this project asks for.
_ATTESTED = {"Decrypt", "GenerateDataKey"}
_ALGORITHM = "RSAES_OAEP_SHA_256"
_MAX_BODY = 1 << 20
_UPSTREAM_SECONDS = 30


@dataclass(frozen=True)
class Recipient:
    """What was read from a genuine document: 48 bytes for each PCR, and the key to encrypt to."""

    pcrs: Mapping[int, bytes]
    public_key: rsa.RSAPublicKey


Authenticate = Callable[[bytes], Recipient]


@dataclass(frozen=True)
class _Request:
    path: str
    headers: Message
    body: bytes


@dataclass(frozen=True)
class _Answer:
    status: int
    body: bytes

    @classmethod
    def error(cls, code: str, message: str) -> Self:
        return cls(HTTPStatus.BAD_REQUEST, json.dumps({"__type": code, "message": message}).encode())


class _RefusedError(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class KmsFront:
    """The running front; as a context manager it ends with the block."""

    def __init__(self, server: _Server) -> None:
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, name="kms-recipient", daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def start(
    upstream: str, *, authenticate: Authenticate, principal: str, policies: Mapping[str, str] = MappingProxyType({})
) -> KmsFront:
    """Serve on a free port of 127.0.0.1.

    Args:
        upstream: the endpoint of the emulator.
        authenticate: the verifier of documents; whatever it raises is the caller's refusal. It is passed in because
            this package knows nothing of the project's tasks.
        principal: ARN of the role for which key policies are evaluated. The front cannot tell callers apart (the
            emulator checks their signatures), so it serves one role's attested run.
        policies: by the key's ARN, the policy document that counts instead of the one that the emulator keeps. Where
            the emulator enforces IAM (`AUTH=true`) it evaluates the key's policy as well, and denies what has a
            condition on measurements, of which it knows nothing: give the key one without there, and the real one here.
    """
    return KmsFront(_Server(upstream, authenticate, principal, policies))


class _Server(ThreadingHTTPServer):
    def __init__(self, upstream: str, authenticate: Authenticate, principal: str, policies: Mapping[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._upstream = urlsplit(upstream)
        self._authenticate = authenticate
        self._principal = principal
        self._policies = policies
        self._kms = client_factory(upstream)("kms")

    def answer(self, request: _Request) -> _Answer:
        """Answer one request, or let the emulator do so."""
        action = request.headers.get("X-Amz-Target", "").removeprefix(_SERVICE)
        try:
            content = _json(request.body)
            if action in _ATTESTED:
                return self._attested(action, content, request)
            if "Recipient" in content:
                return _Answer.error("UnsupportedOperationException", f"{action} takes no Recipient here")
        except _RefusedError as error:
            return _Answer.error(error.code, str(error))
        return self._forward(request)

    def _attested(self, action: str, content: Mapping[str, Any], request: _Request) -> _Answer:
        recipient = self._recipient(content["Recipient"]) if "Recipient" in content else None
        answer = self._forward(request)
        if answer.status != HTTPStatus.OK:
            return answer
        # Only the answer tells for sure which key it was. It goes no further if that key's policy says no.
        answered = _json(answer.body)
        self._check_policy(action, content, answered["KeyId"], recipient)
        return answer if recipient is None else _sealed(answered, recipient)

    def _recipient(self, value: Any) -> Recipient:
        if not isinstance(value, dict) or value.get("KeyEncryptionAlgorithm") != _ALGORITHM:
            raise _RefusedError("ValidationException", f"Recipient's KeyEncryptionAlgorithm has to be {_ALGORITHM}")
        try:
            document = base64.b64decode(value.get("AttestationDocument") or "", validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise _RefusedError("ValidationException", "AttestationDocument is not base64") from None
        try:
            return self._authenticate(document)
        except Exception as error:
            _log.info("refused a document", exc_info=True)
            raise _RefusedError("ValidationException", str(error)) from error

    def _check_policy(self, action: str, request: Mapping[str, Any], key: str, recipient: Recipient | None) -> None:
        pcrs = recipient.pcrs if recipient else None
        asked = KeyRequest(self._principal, f"kms:{action}", key, pcrs, request.get("EncryptionContext") or {})
        policy = self._policies.get(key) or self._kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
        if reason := denial(policy, asked):
            message = f"User: {self._principal} is not authorized to perform: kms:{action} on resource: {key} {reason}"
            raise _RefusedError("AccessDeniedException", message)

    def _forward(self, request: _Request) -> _Answer:
        address = (self._upstream.hostname or "127.0.0.1", self._upstream.port)
        connection = http.client.HTTPConnection(*address, timeout=_UPSTREAM_SECONDS)
        try:
            connection.request("POST", request.path, request.body, dict(request.headers))
            response = connection.getresponse()
            return _Answer(response.status, response.read())
        finally:
            connection.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > _MAX_BODY:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        body = self.rfile.read(length)
        try:
            answer = cast(_Server, self.server).answer(_Request(self.path, self.headers, body))
        except Exception as error:  # noqa: BLE001 - a fault of the front must read as one: as no answer of KMS
            _log.exception("a request failed")
            answer = _Answer(HTTPStatus.BAD_GATEWAY, json.dumps({"message": f"the emulator: {error}"}).encode())
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        _log.debug(format, *args)


def _sealed(content: Mapping[str, Any], recipient: Recipient) -> _Answer:
    """The emulator's answer with its plaintext encrypted to the recipient."""
    sealed = envelope(base64.b64decode(content["Plaintext"]), recipient.public_key)
    rest = {name: value for name, value in content.items() if name != "Plaintext"}
    rest["CiphertextForRecipient"] = base64.b64encode(sealed).decode()
    return _Answer(HTTPStatus.OK, json.dumps(rest).encode())


def _json(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise _RefusedError("SerializationException", "the request is not a JSON object")
    return content
