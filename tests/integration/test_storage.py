"""The S3 operations against a real endpoint: each is atomic, and each failure says what to do."""

import threading

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber

from mnist_tasks.errors import ConfigurationError, Conflict, IntegrityError, NotFoundError, TemporaryError
from mnist_tasks.storage import Storage, sha256_of, to_json
from tests.sweep.answers import refusal


def test_what_was_put_is_read_back(storage):
    storage.put("a/key", b"content", content_type="text/plain")

    assert storage.get("a/key").body == b"content"
    assert storage.exists("a/key")


def test_s3_itself_checks_the_bytes_on_their_way(storage):
    storage.put("key", b"content")

    head = storage.client.head_object(Bucket=storage.bucket, Key="key", ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"]


def test_a_missing_object_is_named_with_its_bucket(storage):
    with pytest.raises(NotFoundError, match=f"s3://{storage.bucket}/no/such"):
        storage.get("no/such")
    assert storage.find("no/such") is None
    assert not storage.exists("no/such")


@pytest.mark.parametrize("operation", ["get", "find", "exists"])
def test_a_missing_bucket_never_reads_as_a_missing_object(storage, operation):
    nowhere = Storage(storage.client, "no-such-bucket-anywhere")

    with pytest.raises(NotFoundError, match="no bucket no-such-bucket-anywhere") as caught:
        getattr(nowhere, operation)("key")
    assert "MNIST_BUCKET" in caught.value.mend


@pytest.mark.parametrize("kind", ["throttled", "failed"])
def test_a_bucket_that_cannot_be_asked_for_now_is_not_called_missing(cloud, storage, kind):
    """A HEAD that finds no object asks for the bucket, and has no body to say why that fails."""
    config = Config(retries={"total_max_attempts": 1})
    client = boto3.client("s3", **cloud.client_arguments, config=config)
    client.meta.events.register("before-send.s3.HeadBucket", lambda request, **_: refusal("s3", kind, request))

    with pytest.raises(TemporaryError, match="could not serve"):
        Storage(client, storage.bucket).exists("no/such")


def test_writing_to_a_missing_bucket_says_so(storage):
    with pytest.raises(NotFoundError, match="no bucket"):
        Storage(storage.client, "no-such-bucket-anywhere").put("key", b"x")


def test_changed_bytes_are_refused(storage):
    storage.put("key", b"changed")

    with pytest.raises(IntegrityError, match=f"expected {sha256_of(b'original')}"):
        storage.get_verified("key", sha256_of(b"original"))
    assert storage.get_verified("key", sha256_of(b"changed")) == b"changed"


def test_a_key_is_claimed_once(storage):
    assert storage.put_if_absent("key", b"first")
    assert not storage.put_if_absent("key", b"second")
    assert storage.get("key").body == b"first"


def test_a_repeated_claim_with_the_same_content_is_still_ours(storage):
    """The answer to the first try may have been lost on its way."""
    assert storage.put_if_absent("key", b"ours")
    assert storage.put_if_absent("key", b"ours")


def test_of_many_who_claim_at_once_one_wins(storage):
    wins = []

    def claim(name):
        if storage.put_if_absent("key", name.encode()):
            wins.append(name)

    threads = [threading.Thread(target=claim, args=(f"writer {i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [storage.get("key").body.decode()] == wins


def test_a_claim_that_collides_with_another_one_that_is_under_way_may_be_tried_again(cloud, storage):
    """AWS answers 409 to it, and there is no object yet; ministack never does."""
    client = boto3.client("s3", **cloud.client_arguments)
    with Stubber(client) as answers:
        answers.add_client_error("put_object", "ConditionalRequestConflict", http_status_code=409)
        answers.add_client_error("get_object", "NoSuchKey", http_status_code=404)
        with pytest.raises(Conflict, match="written by somebody else"):
            Storage(client, storage.bucket).put_if_absent("key", b"mine")


def test_compare_and_set_writes_only_over_what_was_read(storage):
    storage.replace("key", b"1", etag=None)
    read = storage.get("key")
    storage.replace("key", b"2", etag=read.etag)

    with pytest.raises(Conflict):
        storage.replace("key", b"3", etag=read.etag)
    assert storage.get("key").body == b"2"


def test_compare_and_set_on_nothing_fails_where_there_is_something(storage):
    storage.put("key", b"there")

    with pytest.raises(Conflict):
        storage.replace("key", b"new", etag=None)


def test_a_repeated_compare_and_set_with_the_same_content_succeeds(storage):
    storage.put("key", b"1")
    etag = storage.get("key").etag
    storage.replace("key", b"2", etag=etag)
    storage.replace("key", b"2", etag=etag)


@pytest.mark.parametrize("body", [b"{half", b"\xff\xfe", b"[" * 100_000], ids=["cut", "not text", "too deep"])
def test_what_is_not_json_is_refused_with_its_key(storage, body):
    storage.put("key", body)

    with pytest.raises(IntegrityError, match="key is not JSON"):
        storage.get("key").json()


def test_an_unreachable_endpoint_is_named_and_may_be_tried_again(closed_port):
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{closed_port}",
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(retries={"max_attempts": 1}),
    )
    with pytest.raises(TemporaryError, match=f"127.0.0.1:{closed_port}") as caught:
        Storage(client, "bucket").get("key")
    assert "AWS_ENDPOINT_URL" in caught.value.mend


def test_missing_credentials_are_a_matter_of_configuration(monkeypatch, cloud):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    endpoint = cloud.environment["AWS_ENDPOINT_URL"]
    client = boto3.session.Session().client("s3", endpoint_url=endpoint, region_name="us-east-1")

    with pytest.raises(ConfigurationError, match="credentials"):
        Storage(client, "bucket").get("key")


def test_json_is_canonical():
    assert to_json({"b": 1, "a": [1.5]}) == to_json({"a": [1.5], "b": 1})
    with pytest.raises(ValueError, match="JSON"):
        to_json(float("nan"))
