"""What holds a secret does not show it when it is printed: in a traceback, a log line, an error."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from mnist_tasks.config import Settings
from mnist_tasks.cost import Prices
from mnist_tasks.encryption import Encryption
from mnist_tasks.errors import TemporaryError
from mnist_tasks.layout import Layout
from mnist_tasks.notify import MailServer
from mnist_tasks.page.data import Place
from mnist_tasks.promotion.chain import Chain
from mnist_tasks.signing import KmsSigner
from mnist_tasks.storage import Storage
from tests.signatures import SoftwareSigner

SECRET, TOKEN = "canary-secret-key", "canary-session-token"
NOWHERE = "http://127.0.0.1:9"


def client(service: Any) -> Any:
    return boto3.client(
        service,
        endpoint_url=NOWHERE,
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key=SECRET,
        aws_session_token=TOKEN,
    )


KMS, STORAGE = client("kms"), Storage(client("s3"), "a-bucket")
CHAIN = Chain(STORAGE, Layout(), SoftwareSigner().keys, KmsSigner(KMS, "arn:aws:kms:us-east-1:000000000000:key/1"))
OBJECTS = (
    STORAGE,
    CHAIN,
    Place(CHAIN, Prices(0.04, 0.004, 0.3)),
    Encryption(KMS, "", ""),
    MailServer("mail", 25, "user", SECRET),
    Settings.from_environment({"MNIST_DATASET_URL": f"https://user:{SECRET}@example.com/?X-Amz-Signature={TOKEN}"}),
    SoftwareSigner(),
)


@pytest.mark.parametrize("thing", OBJECTS, ids=lambda thing: type(thing).__name__)
def test_what_holds_a_secret_does_not_print_it(thing: Any) -> None:
    for text in (repr(thing), str(thing), f"{thing}"):
        assert SECRET not in text
        assert TOKEN not in text
        assert "PRIVATE" not in text


def test_the_search_would_find_one() -> None:
    assert SECRET in repr({"password": SECRET})


def test_an_error_of_a_client_with_secrets_does_not_tell_them() -> None:
    with pytest.raises(TemporaryError) as caught:
        STORAGE.get("a/key")
    assert SECRET not in f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"
