"""What was done to a ciphertext, and who reads it: every manipulation is refused by every reader, in the same words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnist_tasks import checkpoints
from mnist_tasks.config import TrainingJob
from mnist_tasks.encryption import _FRAME_BYTES, Binding, Encryption, _sdk, _Witness
from mnist_tasks.errors import ConfigurationError, IntegrityError, TemporaryError
from mnist_tasks.promotion import release
from mnist_tasks.storage import Storage, sha256_of, to_json
from mnist_tasks.training.resume import Resume
from tests.candidates import PARAMETERS, history, random_weights, to_h5
from tests.container import LAYOUT, job_for

NOW = datetime(2026, 11, 24, 2, 0, 5, tzinfo=UTC)
HERE = Binding("a-bucket", "a/key", "a-run", "mnist_model_20261124_020005", "weights")
BODY = bytes(range(256)) * 3
Manipulation = Callable[[Encryption, bytes, bytes, Binding], bytes]


def other_suite(encryption: Encryption, plaintext: bytes, binding: Binding) -> bytes:
    """The committing suite without a signature."""
    from aws_encryption_sdk import Algorithm

    sdk = _sdk()
    keyring = sdk.keyring(_Witness(encryption.client), encryption._key_for(binding.purpose))
    suite = Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY
    made: bytes = sdk.client.encrypt(
        source=plaintext, keyring=keyring, encryption_context=asdict(binding), algorithm=suite
    )[0]
    return made


def more_context(encryption: Encryption, plaintext: bytes, binding: Binding) -> bytes:
    sdk = _sdk()
    keyring = sdk.keyring(_Witness(encryption.client), encryption._key_for(binding.purpose))
    context = {**asdict(binding), "more": "of it"}
    made: bytes = sdk.client.encrypt(
        source=plaintext, keyring=keyring, encryption_context=context, algorithm=sdk.suite
    )[0]
    return made


def other_key(encryption: Encryption) -> Encryption:
    key = encryption.client.create_key()["KeyMetadata"]["Arn"]
    return replace(encryption, checkpoint_key=key, final_key=key)


def flipped(body: bytes, share: float) -> bytes:
    place = int(len(body) * share)
    return body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]


# The third argument is the plaintext.
MANIPULATIONS: dict[str, Manipulation] = {
    "a flipped bit in the header": lambda _, body, __, ___: flipped(body, 0),
    "a flipped bit in the middle": lambda _, body, __, ___: flipped(body, 0.5),
    "a flipped bit at the end": lambda _, body, __, ___: flipped(body, 0.9999),
    "a cut tail": lambda _, body, __, ___: body[:-1],
    "half of it": lambda _, body, __, ___: body[: len(body) // 2],
    "nothing": lambda *_: b"",
    "a byte more": lambda _, body, __, ___: body + b"\0",
    "twice": lambda _, body, __, ___: body * 2,
    "plaintext": lambda _, __, plaintext, ___: plaintext,
    "another key": lambda e, _, plaintext, at: other_key(e).encrypt(plaintext, at),
    "another suite": lambda e, _, plaintext, at: other_suite(e, plaintext, at),
    "more context": lambda e, _, plaintext, at: more_context(e, plaintext, at),
    "another bucket's": lambda e, _, plaintext, at: e.encrypt(plaintext, replace(at, bucket="another-bucket")),
    "another place's": lambda e, _, plaintext, at: e.encrypt(plaintext, replace(at, key=f"{at.key}-2")),
    "another run's": lambda e, _, plaintext, at: e.encrypt(plaintext, replace(at, run="another-run")),
    "another candidate's": lambda e, _, plaintext, at: e.encrypt(plaintext, replace(at, candidate="mnist_model_2")),
    "another purpose's": lambda e, _, plaintext, at: replace(e, final_key=e.checkpoint_key).encrypt(
        plaintext, replace(at, purpose="final" if at.purpose != "final" else "weights")
    ),
}


def test_what_was_encrypted_comes_back_and_no_two_ciphertexts_are_the_same(encryption: Encryption) -> None:
    for size in (0, 1, _FRAME_BYTES - 1, _FRAME_BYTES, _FRAME_BYTES + 1, 3 * _FRAME_BYTES):
        body = b"x" * size
        one, other = encryption.encrypt(body, HERE), encryption.encrypt(body, HERE)
        assert one != other
        assert encryption.decrypt(one, HERE) == encryption.decrypt(other, HERE) == body


@pytest.mark.parametrize("manipulation", MANIPULATIONS)
def test_what_is_not_what_was_encrypted_for_this_place_is_refused(encryption: Encryption, manipulation: str) -> None:
    body = MANIPULATIONS[manipulation](encryption, encryption.encrypt(BODY, HERE), BODY, HERE)
    with pytest.raises(IntegrityError, match="s3://a-bucket/a/key does not hold what was encrypted for it") as caught:
        encryption.decrypt(body, HERE)
    assert "restore its previous version" in caught.value.mend


def commit(storage: Storage, encryption: Encryption, job: TrainingJob) -> checkpoints.Manifest:
    weights = to_h5(random_weights(1))
    return checkpoints.commit(
        storage, encryption, LAYOUT, job, weights=weights, history=history(), parameters=PARAMETERS, now=NOW
    )


def forge(storage: Storage, manifest: checkpoints.Manifest, body: bytes) -> checkpoints.Manifest:
    """Somebody who may write puts other bytes there, and a manifest that fits them: only the encryption is left."""
    storage.put(manifest.weights.key, body)
    weights = manifest.weights.model_copy(update={"sha256": sha256_of(body), "size": len(body)})
    forged = manifest.model_copy(update={"weights": weights})
    storage.put(LAYOUT.manifest(manifest.name), to_json(forged.model_dump(mode="json")))
    return forged


def promotion(storage: Storage, encryption: Encryption, manifest: checkpoints.Manifest) -> None:
    checkpoints.commit_final(storage, encryption, LAYOUT, manifest, now=NOW)


def reading(storage: Storage, encryption: Encryption, manifest: checkpoints.Manifest) -> None:
    """What `mnist predict` and `mnist compare` do."""
    checkpoints.load_weights(storage, encryption, manifest)


def putting_into_service(storage: Storage, encryption: Encryption, manifest: checkpoints.Manifest) -> None:
    """What a rollback does before it decides."""
    release._evaluate(storage, encryption, LAYOUT, manifest)


READERS: dict[str, tuple[bool, Callable[..., None]]] = {
    "promotion": (False, promotion),
    "reading a candidate": (False, reading),
    "reading a final": (True, reading),
    "putting a final into service": (True, putting_into_service),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("manipulation", MANIPULATIONS)
def test_no_reader_takes_weights_that_were_tampered_with(
    storage: Storage, encryption: Encryption, reader: str, manipulation: str
) -> None:
    of_final, read = READERS[reader]
    manifest = commit(storage, encryption, job_for(storage.bucket))
    if of_final:
        manifest = checkpoints.commit_final(storage, encryption, LAYOUT, manifest, now=NOW)
    stored, plaintext = storage.get(manifest.weights.key).body, to_h5(random_weights(1))
    at = Binding(storage.bucket, manifest.weights.key, manifest.run, manifest.job.candidate, "weights")
    at = replace(at, purpose="final") if of_final else at
    forged = forge(storage, manifest, MANIPULATIONS[manipulation](encryption, stored, plaintext, at))
    with pytest.raises(IntegrityError, match="does not hold what was encrypted for it"):
        read(storage, encryption, forged)


@pytest.mark.parametrize("manipulation", MANIPULATIONS)
def test_training_ignores_a_state_that_was_tampered_with(
    storage: Storage, encryption: Encryption, manipulation: str, caplog: pytest.LogCaptureFixture
) -> None:
    job = job_for(storage.bucket)
    resume = Resume(storage, encryption, LAYOUT, job)
    at = Binding(storage.bucket, resume.key, job.run, job.candidate, "resume")
    storage.put(resume.key, MANIPULATIONS[manipulation](encryption, encryption.encrypt(BODY, at), BODY, at))
    assert resume.load() is None
    assert "is ignored, training starts anew: " in caplog.messages[0]
    assert "does not hold what was encrypted for it" in caplog.messages[0]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_bytes_come_they_are_refused_as_damaged(encryption: Encryption, data: st.DataObject) -> None:
    body = encryption.encrypt(BODY, HERE)
    places = st.integers(0, len(body) - 1)
    kind = data.draw(st.sampled_from(["flip", "cut", "remove", "insert", "garbage"]))
    place, some = data.draw(places), data.draw(st.binary(min_size=1, max_size=40))
    changed = {
        "flip": body[:place] + bytes([body[place] ^ data.draw(st.integers(1, 255))]) + body[place + 1 :],
        "cut": body[:place],
        "remove": body[:place] + body[place + 1 :],
        "insert": body[:place] + some + body[place:],
        "garbage": some,
    }[kind]
    with pytest.raises(IntegrityError):
        encryption.decrypt(changed, HERE)


def test_a_second_try_keeps_the_ciphertext_of_the_first(storage: Storage, encryption: Encryption) -> None:
    """Killed before its manifest, or thought dead and still about to write one."""
    job = job_for(storage.bucket)
    commit(storage, encryption, job)
    first = storage.get(LAYOUT.weights(job.candidate)).body
    storage.delete(LAYOUT.manifest(job.candidate))
    manifest = commit(storage, encryption, job)
    assert storage.get(LAYOUT.weights(job.candidate)).body == first
    assert manifest.weights.sha256 == sha256_of(first)


def test_what_an_earlier_try_left_that_does_not_open_is_replaced(storage: Storage, encryption: Encryption) -> None:
    job = job_for(storage.bucket)
    storage.put(LAYOUT.weights(job.candidate), b"left behind")
    manifest = commit(storage, encryption, job)
    assert checkpoints.load_weights(storage, encryption, manifest) == to_h5(random_weights(1))
    tags = storage.client.get_object_tagging(Bucket=storage.bucket, Key=manifest.weights.key)["TagSet"]
    assert tags == [{"Key": "stage", "Value": "candidate"}]


def test_a_key_that_is_missing_disabled_or_about_to_go_is_told_with_a_cure(encryption: Encryption) -> None:
    broken = other_key(encryption)
    with pytest.raises(ConfigurationError, match="no KMS key is configured for purpose weights") as caught:
        replace(encryption, checkpoint_key="").encrypt(BODY, HERE)
    assert "MNIST_CHECKPOINT_KEY" in caught.value.mend
    nowhere = f"{encryption.checkpoint_key[:-4]}0000"
    with pytest.raises(ConfigurationError, match="NotFoundException"):
        replace(encryption, checkpoint_key=nowhere).encrypt(BODY, HERE)
    body = broken.encrypt(BODY, HERE)
    encryption.client.disable_key(KeyId=broken.checkpoint_key)
    for ask in (lambda: broken.encrypt(BODY, HERE), lambda: broken.decrypt(body, HERE)):
        with pytest.raises(ConfigurationError, match="DisabledException") as caught:
            ask()
        assert "enable-key" in caught.value.mend
    encryption.client.schedule_key_deletion(KeyId=broken.checkpoint_key)
    with pytest.raises(ConfigurationError, match="pending deletion") as caught:
        broken.encrypt(BODY, HERE)
    assert "cancel-key-deletion" in caught.value.mend


def test_a_kms_that_does_not_answer_is_temporary(encryption: Encryption, closed_port: int) -> None:
    client: Any = boto3.client(
        "kms", endpoint_url=f"http://127.0.0.1:{closed_port}", region_name="us-east-1", aws_access_key_id="a",
        aws_secret_access_key="b",
    )  # fmt: skip
    body = encryption.encrypt(BODY, HERE)
    silent = replace(encryption, client=client)
    with pytest.raises(TemporaryError, match="KMS did not answer"):
        silent.encrypt(BODY, HERE)
    with pytest.raises(TemporaryError, match="KMS did not answer"):
        silent.decrypt(body, HERE)
