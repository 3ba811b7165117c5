"""Training that is killed, and started again: real processes, the real data set, the same bits."""

from __future__ import annotations

import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import numpy as np
import pytest
from botocore.config import Config

import localcloud
from mnist_tasks import checkpoints
from mnist_tasks.config import TrainingJob
from mnist_tasks.encryption import Encryption
from mnist_tasks.errors import TemporaryError
from mnist_tasks.storage import Storage, sha256_of
from mnist_tasks.training.resume import Resume
from mnist_tasks.training.state import State
from tests.candidates import history
from tests.container import LAYOUT, commit_anything, job_for, keys, run

EPOCHS = 3

# The trainer, which sends itself a signal once it has written a line with all these words, or so many seconds later.
# A signal from outside might come when training has gone on, or has ended.
STRUCK = """
import os, runpy, sys, threading
number, later, *words = int(sys.argv[1]), float(sys.argv[2]), *sys.argv[3:]
write = sys.stdout.write
def write_then_strike(text):
    write(text)
    if all(word in text for word in words):
        sys.stdout.flush()
        if later:
            threading.Timer(later, os.kill, (os.getpid(), number)).start()
        else:
            os.kill(os.getpid(), number)
sys.stdout.write = write_then_strike
runpy.run_module("mnist_tasks.training", run_name="__main__")
"""


@pytest.fixture
def lasting(job: TrainingJob) -> TrainingJob:
    return job.model_copy(update={"epochs": EPOCHS})


@pytest.fixture(scope="module")
def whole_run(
    cloud: localcloud.Cloud,
    aws: Callable[[str], Any],
    mnist_file: bytes,
    container_environment: Callable[[], dict[str, str]],
) -> Callable[[int], str]:
    """SHA-256 of the weights that the job of so many epochs ends in if nobody kills it."""

    def weights(epochs: int) -> str:
        storage = Storage(aws("s3"), f"test-{uuid.uuid4().hex}")
        storage.client.create_bucket(Bucket=storage.bucket)
        sha256 = sha256_of(mnist_file)
        storage.put(LAYOUT.dataset(sha256), mnist_file)
        whole = job_for(storage.bucket, dataset_sha256=sha256, epochs=epochs)
        code, out, err = run(container_environment() | whole.to_environment())
        assert (code, err) == (0, "")
        assert "resumed" not in out
        manifest = checkpoints.read(storage, LAYOUT, whole.candidate)
        assert manifest.resumed_after == ()
        return manifest.weights.plaintext_sha256

    return weights


@pytest.fixture(scope="module")
def uninterrupted(whole_run: Callable[[int], str]) -> str:
    return whole_run(EPOCHS)


def kill_at(
    environment: dict[str, str],
    job: TrainingJob,
    *words: str,
    later: float = 0,
    by: signal.Signals = signal.SIGKILL,
    code: int = -signal.SIGKILL,
) -> None:
    """Have the container end with this code, by a signal, as soon as it says these words, or so many seconds later."""
    command = [sys.executable, "-c", STRUCK, str(int(by)), str(later), *words]
    variables = environment | job.to_environment()
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == code, done


def finish(environment: dict[str, str], storage: Storage, job: TrainingJob) -> tuple[checkpoints.Manifest, str]:
    code, out, err = run(environment | job.to_environment())
    assert (code, err) == (0, "")
    assert keys(storage, "runs/a-run-1/resume/") == set()
    return checkpoints.read(storage, LAYOUT, job.candidate), out


def test_killed_at_every_epochs_end_it_goes_on_and_ends_in_the_same_bits(
    environment: dict[str, str], storage: Storage, lasting: TrainingJob, uninterrupted: str
) -> None:
    """Three processes that are killed and a fourth that only has to commit; each goes on where the last one was."""
    for epoch in range(1, EPOCHS + 1):
        kill_at(environment, lasting, f"epoch {epoch}/{EPOCHS}", "val_loss")
        assert keys(storage, "runs/a-run-1/resume/") == {LAYOUT.resume(lasting.run, lasting.candidate)}
    assert keys(storage) == set()
    manifest, out = finish(environment, storage, lasting)
    assert "resumed after epoch 3 of 3" in out
    assert "epoch 3/3" not in out
    assert manifest.weights.plaintext_sha256 == uninterrupted
    assert manifest.resumed_after == (1, 2, 3)
    assert [epoch.epoch for epoch in checkpoints.load_history(storage, manifest).epochs] == [1, 2, 3]


MOMENTS = {
    "before the first epoch": (("training and",), ()),
    "inside the first epoch": (("epoch 1/3", "batch"), ()),
    "before the commit": (("best epoch",), (3,)),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_between_epochs_it_goes_on_and_ends_in_the_same_bits(
    environment: dict[str, str], storage: Storage, lasting: TrainingJob, uninterrupted: str, moment: str
) -> None:
    words, resumed_after = MOMENTS[moment]
    kill_at(environment, lasting, *words)
    assert keys(storage) == set()
    manifest, _ = finish(environment, storage, lasting)
    assert manifest.weights.plaintext_sha256 == uninterrupted
    assert manifest.resumed_after == resumed_after


@pytest.mark.long
def test_a_full_run_killed_at_every_epochs_end_and_in_between_ends_in_the_same_bits(
    environment: dict[str, str], storage: Storage, job: TrainingJob, whole_run: Callable[[int], str]
) -> None:
    """Ten epochs: inside the first one and at each end; and another run at five moments in between."""
    uninterrupted = whole_run(10)
    at_ends = job.model_copy(update={"epochs": 10})
    for batch in (1, 30, 1000):
        kill_at(environment, at_ends, "epoch  1/10", f'"batch": {batch},')
    for epoch in range(1, 11):
        kill_at(environment, at_ends, f"epoch {epoch:2}/10", "val_loss")
    manifest, _ = finish(environment, storage, at_ends)
    assert (manifest.weights.plaintext_sha256, manifest.resumed_after) == (uninterrupted, tuple(range(1, 11)))

    in_between = at_ends.model_copy(update={"candidate": "mnist_model_20261124_020006"})
    for part in range(1, 6):
        # An epoch takes 0.4 s or more: a different part of one each time. Where exactly must not matter.
        kill_at(environment, in_between, "val_loss", later=0.07 * part)
    manifest, _ = finish(environment, storage, in_between)
    assert manifest.weights.plaintext_sha256 == uninterrupted
    assert set(manifest.resumed_after) <= set(range(1, 11))


def test_stopped_by_sigterm_it_ends_with_143_and_goes_on_in_the_same_bits(
    environment: dict[str, str], storage: Storage, lasting: TrainingJob, uninterrupted: str
) -> None:
    kill_at(environment, lasting, f"epoch 1/{EPOCHS}", "val_loss", by=signal.SIGTERM, code=143)
    assert keys(storage) == set()
    manifest, out = finish(environment, storage, lasting)
    assert "resumed after epoch" in out
    assert manifest.weights.plaintext_sha256 == uninterrupted


@pytest.mark.parametrize("damage", ["another job's", "cut off", "not encrypted"])
def test_a_state_that_cannot_be_gone_on_from_is_ignored_with_a_line_and_training_starts_anew(
    *,
    environment: dict[str, str],
    storage: Storage,
    encryption: Encryption,
    lasting: TrainingJob,
    uninterrupted: str,
    damage: str,
) -> None:
    key = LAYOUT.resume(lasting.run, lasting.candidate)
    other = lasting.model_copy(update={"seed": 8})
    Resume(storage, encryption, LAYOUT, other).save(an_empty_state())
    body = storage.get(key).body
    not_encrypted = an_empty_state().to_bytes(lasting)
    storage.put(key, {"another job's": body, "cut off": body[:-1], "not encrypted": not_encrypted}[damage])
    manifest, out = finish(environment, storage, lasting)
    assert f"resume state {storage.uri(key)} is ignored, training starts anew: " in out
    assert (manifest.weights.plaintext_sha256, manifest.resumed_after) == (uninterrupted, ())


def an_empty_state() -> State:
    return State(history(), (), (), (), ())


def test_a_state_left_behind_after_the_commit_is_deleted_by_the_next_start(
    environment: dict[str, str], storage: Storage, encryption: Encryption
) -> None:
    job = job_for(storage.bucket)
    commit_anything(storage, encryption, job)
    storage.put(LAYOUT.resume(job.run, job.candidate), b"left behind")
    finish(environment, storage, job)


def unanswered(service: str, port: int) -> Any:
    """A client of a service that is not there."""
    return boto3.client(
        service,
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(retries={"total_max_attempts": 1}),
    )


def test_an_s3_that_does_not_answer_costs_the_state_but_not_the_training(
    encryption: Encryption, closed_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    storage = Storage(unanswered("s3", closed_port), "some-bucket")
    resume = Resume(storage, encryption, LAYOUT, job_for("some-bucket"))
    resume.save(an_empty_state())
    resume.delete()
    assert len(caplog.messages) == 2
    assert caplog.messages[0].startswith("resume state after epoch 1 was not saved: S3 did not answer")
    assert caplog.messages[1].startswith("resume state was not deleted: S3 did not answer")
    with pytest.raises(TemporaryError):
        resume.load()


def test_a_kms_that_does_not_answer_costs_the_state_but_not_the_training(
    storage: Storage, encryption: Encryption, closed_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    silent = replace(encryption, client=unanswered("kms", closed_port))
    resume = Resume(storage, silent, LAYOUT, job_for(storage.bucket))

    resume.save(an_empty_state())

    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("resume state after epoch 1 was not saved: KMS did not answer")
    assert keys(storage, "runs/") == set()


def test_a_state_that_kms_does_not_open_now_is_not_lost_but_asked_for_at_the_next_try(
    storage: Storage, encryption: Encryption, closed_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    resume = Resume(storage, encryption, LAYOUT, job_for(storage.bucket))
    resume.save(State(history(), *([(np.zeros(1, np.float32),)] * 4)))

    with pytest.raises(TemporaryError, match="KMS did not answer"):
        replace(resume, encryption=replace(encryption, client=unanswered("kms", closed_port))).load()

    found = resume.load()
    assert found is not None
    assert (found.history, caplog.messages) == (history(), [])
