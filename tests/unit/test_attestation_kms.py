"""The KMS wrapper asks with a document, opens what only it can open, and takes nothing else for an answer.

The endpoint is a small HTTP server here; the local account's front is in tests/integration.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from botocore.config import Config
from cryptography.hazmat.primitives.serialization import load_der_public_key

from localcloud.cms import envelope
from mnist_tasks.attestation import AttestedKms
from mnist_tasks.attestation.document import parse
from mnist_tasks.errors import AttestationRefused, ConfigurationError, IntegrityError, TemporaryError
from tests.forged_documents import document, rsa_key

KEY_ARN = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
CONTEXT = {"purpose": "promotion"}
SECRET = b"s" * 32

Respond = Callable[[dict[str, Any]], tuple[int, dict[str, Any]]]


class Source:
    """Makes documents of a forged hypervisor."""

    def attest(self, *, public_key: bytes, nonce: bytes | None = None, user_data: bytes | None = None) -> bytes:
        return document(public_key=public_key, nonce=nonce, user_data=user_data)


class Endpoint:
    """A KMS that answers as it is told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.respond: Respond = lambda request: (200, {})


@pytest.fixture(scope="module")
def endpoint() -> Iterator[tuple[Endpoint, str]]:
    told = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told.requests.append((self.headers["X-Amz-Target"], request))
            status, answer = told.respond(request)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield told, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def connect(url: str) -> AttestedKms:
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=60, read_timeout=60)
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return AttestedKms(boto3.client("kms", endpoint_url=url, region_name="us-east-1", config=config, **keys), Source())


@pytest.fixture
def told(endpoint) -> Endpoint:
    endpoint[0].requests.clear()
    return endpoint[0]


@pytest.fixture(scope="module")
def kms(endpoint) -> AttestedKms:
    return connect(endpoint[1])


def blob(data: bytes) -> str:
    return base64.b64encode(data).decode()


def to_recipient(request: dict[str, Any], secret: bytes = SECRET) -> str:
    attested = parse(base64.b64decode(request["Recipient"]["AttestationDocument"])).document
    return blob(envelope(secret, load_der_public_key(attested.public_key)))


def good(request: dict[str, Any]) -> dict[str, Any]:
    return {"KeyId": KEY_ARN, "CiphertextForRecipient": to_recipient(request), "CiphertextBlob": blob(b"sealed")}


def decrypt(kms: AttestedKms) -> bytes:
    return kms.decrypt(b"sealed", key_id=KEY_ARN, context=CONTEXT)


def generate(kms: AttestedKms) -> bytes:
    return kms.generate_data_key(key_id=KEY_ARN, context=CONTEXT).plaintext


both = pytest.mark.parametrize("ask", [decrypt, generate])


@both
def test_an_answer_for_the_recipient_is_opened(told, kms, ask):
    told.respond = lambda request: (200, good(request))

    assert ask(kms) == SECRET


@both
@pytest.mark.parametrize("plaintext", ["", None])
def test_an_answer_may_have_its_plaintext_null_or_empty(told, kms, ask, plaintext):
    told.respond = lambda request: (200, good(request) | {"Plaintext": plaintext})

    assert ask(kms) == SECRET


def test_every_request_carries_a_document_key_and_context(told, kms):
    told.respond = lambda request: (200, good(request))
    decrypt(kms)
    generate(kms)

    (first, decrypting), (second, generating) = told.requests
    assert (first, second) == ("TrentService.Decrypt", "TrentService.GenerateDataKey")
    for request in (decrypting, generating):
        assert request["Recipient"]["KeyEncryptionAlgorithm"] == "RSAES_OAEP_SHA_256"
        assert (request["KeyId"], request["EncryptionContext"]) == (KEY_ARN, CONTEXT)


def test_two_wrappers_have_two_keys(told, kms, endpoint):
    told.respond = lambda request: (200, good(request))
    decrypt(kms)
    decrypt(connect(endpoint[1]))

    keys = {
        parse(base64.b64decode(request["Recipient"]["AttestationDocument"])).document.public_key
        for _, request in told.requests
    }
    assert len(keys) == 2


def test_a_data_key_comes_with_its_ciphertext_and_is_not_shown(told, kms):
    told.respond = lambda request: (200, good(request))
    key = kms.generate_data_key(key_id=KEY_ARN, context=CONTEXT)

    assert key.ciphertext == b"sealed"
    assert "sss" not in repr(key)
    assert "RSAPrivateKey" not in repr(kms)


FAILS_CLOSED: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], str]] = {
    "the plaintext comes instead": (lambda r: {"KeyId": KEY_ARN, "Plaintext": blob(SECRET)}, "carries the plaintext"),
    "the plaintext comes besides": (lambda r: good(r) | {"Plaintext": blob(SECRET)}, "carries the plaintext"),
    "nothing comes for the recipient": (lambda r: {"KeyId": KEY_ARN}, "no CiphertextForRecipient"),
    "an empty envelope comes": (lambda r: good(r) | {"CiphertextForRecipient": ""}, "no CiphertextForRecipient"),
    "another form of envelope comes": (lambda r: good(r) | {"CiphertextForRecipient": blob(SECRET)}, "is refused"),
    "it is for another recipient": (
        lambda r: good(r) | {"CiphertextForRecipient": blob(envelope(SECRET, rsa_key().public_key()))},
        "cannot be decrypted",
    ),
    "it is of another key": (lambda r: good(r) | {"KeyId": KEY_ARN[:-1] + "c"}, "was made with the key"),
    "it names no key": (lambda r: {"CiphertextForRecipient": to_recipient(r)}, "was made with the key None"),
    "it is empty": (lambda r: {}, "was made with the key None"),
}


@both
@pytest.mark.parametrize("defect", FAILS_CLOSED)
def test_an_answer_is_refused_when(told, kms, ask, defect):
    respond, reason = FAILS_CLOSED[defect]
    told.respond = lambda request: (200, respond(request))

    with pytest.raises(AttestationRefused, match=reason):
        ask(kms)


@pytest.mark.parametrize(
    "change",
    [
        lambda request: {"CiphertextForRecipient": to_recipient(request, b"s" * 16)},
        lambda request: {"CiphertextBlob": ""},
    ],
    ids=["the key is too short", "its ciphertext is missing"],
)
def test_a_data_key_is_refused_when(told, kms, change):
    told.respond = lambda request: (200, good(request) | change(request))

    with pytest.raises(AttestationRefused, match="a data key of 32 bytes and its ciphertext were expected"):
        generate(kms)


@both
@pytest.mark.parametrize(
    "case",
    [
        (400, "AccessDeniedException", AttestationRefused),
        (400, "ValidationException", AttestationRefused),
        (400, "InvalidCiphertextException", IntegrityError),
        (400, "IncorrectKeyException", IntegrityError),
        (400, "ThrottlingException", TemporaryError),
        (500, "KMSInternalException", TemporaryError),
        (502, "", TemporaryError),
        (429, "", TemporaryError),
        (400, "NotFoundException", ConfigurationError),
        (400, "DisabledException", ConfigurationError),
        (400, "UnrecognizedClientException", ConfigurationError),
    ],
)
def test_an_error_of_kms_says_whether_to_try_again(told, kms, ask, case):
    status, code, kind = case
    told.respond = lambda request: (status, {"__type": code, "message": "because"})

    with pytest.raises(kind, match=KEY_ARN) as error:
        ask(kms)
    assert type(error.value) is kind


def test_a_kms_that_is_not_there_may_come_back(closed_port):
    with pytest.raises(TemporaryError, match="did not answer"):
        decrypt(connect(f"http://127.0.0.1:{closed_port}"))


def test_a_request_that_botocore_refuses_is_the_configurations_fault(kms):
    with pytest.raises(ConfigurationError, match="cannot be asked"):
        kms.decrypt(b"sealed", key_id=KEY_ARN, context={"run": 1})
