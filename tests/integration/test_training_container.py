"""The training container as ECS starts it: a process, its environment, a real S3 endpoint, the real data set."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from mnist_tasks import checkpoints, inference, progress
from mnist_tasks.config import TrainingJob
from mnist_tasks.dataset import Dataset, split
from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.encryption import Encryption
from mnist_tasks.history import History
from mnist_tasks.metrics import evaluate
from mnist_tasks.storage import Storage, sha256_of
from tests.container import LAYOUT, ROOT, commit_anything, job_for, keys, run, start, wait_for
from tests.ecs_metadata import DIGEST, METADATA, metadata
from tests.told import events_in


def test_an_epoch_on_the_real_data_is_committed_with_figures_that_can_be_recomputed(
    environment: dict[str, str], storage: Storage, encryption: Encryption, job: TrainingJob, mnist: Dataset
) -> None:
    with metadata(json.dumps(METADATA).encode()) as told:
        code, out, err = run(environment | told | job.to_environment())
    assert (code, err) == (0, "")
    assert "54,000 training and 6,000 validation images, 1 epochs, batch size 32" in out
    assert "epoch 1/1  loss 0." in out
    folder = f"checkpoints/{job.candidate}"
    assert keys(storage) == {f"{folder}/{name}" for name in ("weights", "metrics.json", "manifest.json")}
    told = events_in(out)
    assert told[-1]["message"] == f"manifest: s3://{storage.bucket}/{folder}/manifest.json"
    assert {(event["run"], event["candidate"]) for event in told} == {(job.run, job.candidate)}
    assert [event["event"] for event in told] == ["started", *["running"] * 7, "epoch", "trained", "committed"]

    manifest = checkpoints.read(storage, LAYOUT, job.candidate)
    assert manifest.job == job
    assert manifest.parameters == 101_770
    assert manifest.trainer_image == DIGEST
    assert manifest.memory is not None
    assert manifest.memory.images_mb == pytest.approx(47.04)
    assert manifest.memory.images_as_float32_mb == pytest.approx(188.16)
    assert 100 < manifest.memory.peak_mb < 650
    assert manifest.validation_accuracy > 0.93
    history = checkpoints.load_history(storage, manifest)
    assert_progress_is_told(storage, job, history, out)
    assert history.epochs[0].validation_accuracy == manifest.validation_accuracy
    assert 0 < history.epochs[0].seconds <= history.seconds
    assert history.peak_memory_mb < 650

    weights = inference.read_weights(checkpoints.load_weights(storage, encryption, manifest), MNIST)
    positions = split(mnist, job.validation_images).validation
    recomputed = evaluate(inference.predict(weights, mnist.x_train[positions]), mnist.y_train[positions])
    assert recomputed.accuracy == pytest.approx(manifest.validation_accuracy, abs=1.5 / 6000)
    assert recomputed.loss == pytest.approx(manifest.validation_loss, abs=1e-5)


def assert_progress_is_told(storage: Storage, job: TrainingJob, history: History, out: str) -> None:
    """From the first batch on, on stdout and in S3, with the figures that the history keeps."""
    points = [event for event in events_in(out) if "_aws" in event]
    assert [point.get("batch") for point in points] == [1, 3, 10, 30, 100, 300, 1000, None, None]
    assert [point["running_accuracy"] for point in points[:7]] == [running.accuracy for running in history.start]
    assert points[7]["validation_accuracy"] == history.epochs[0].validation_accuracy
    told = progress.find(storage, LAYOUT, job.run, job.candidate)
    assert told is not None
    assert told.done
    assert told.history == history


def test_the_same_seed_gives_the_same_weights_in_another_process(
    environment: dict[str, str], storage: Storage, job: TrainingJob
) -> None:
    twin = job.model_copy(update={"candidate": "mnist_model_20261124_020006"})
    for one in (job, twin):
        assert run(environment | one.to_environment())[0] == 0
    first, second = (checkpoints.read(storage, LAYOUT, one.candidate) for one in (job, twin))
    assert first.weights.plaintext_sha256 == second.weights.plaintext_sha256
    assert first.validation_loss == second.validation_loss


def test_a_committed_job_ends_at_once_without_training_again(
    environment: dict[str, str], storage: Storage, encryption: Encryption
) -> None:
    job = job_for(storage.bucket)
    commit_anything(storage, encryption, job)
    code, out, imported = run(environment | job.to_environment(), "-X", "importtime")
    assert code == 0
    assert f"{job.candidate} is committed already: nothing to do" in out
    assert "epoch" not in out
    assert "tensorflow" not in imported
    assert "aws_encryption_sdk" not in imported
    manifest = checkpoints.read(storage, LAYOUT, job.candidate)
    assert checkpoints.load_weights(storage, encryption, manifest) == b"committed before"


def test_a_candidate_that_another_job_committed_is_refused_before_training(
    environment: dict[str, str], storage: Storage, encryption: Encryption
) -> None:
    commit_anything(storage, encryption, job_for(storage.bucket, run="another-run-2"))
    code, out, err = run(environment | job_for(storage.bucket).to_environment())
    assert (code, err) == (3, "")
    assert "another-run-2" in the_error_in(out)["message"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MNIST_CANDIDATE", None),
        ("MNIST_CANDIDATE", "mnist_model_20261124_020005_final"),
        ("MNIST_EPOCHS", "0"),
        ("MNIST_BATCH_SIZE", "many"),
        ("MNIST_LEARNING_RATE", "nan"),
        ("MNIST_RUN", "../x"),
        ("MNIST_CHECKPOINT_KEY", None),
        ("MNIST_CHECKPOINT_KEY", ""),
        ("MNIST_CHECKPOINT_KEY", "alias/mnist-candidate-weights"),
    ],
)
def test_a_bad_variable_is_refused_by_name_before_anything_heavy_is_imported(
    tmp_path: Path, variable: str, value: str | None
) -> None:
    key = "arn:aws:kms:us-east-1:000000000000:key/92fdc439-b621-46c2-a2b9-d88d5ef9d3e2"
    known = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "MNIST_CHECKPOINT_KEY": key}
    variables = {**known, **job_for("some-bucket").to_environment()}
    variables.pop(variable)
    if value is not None:
        variables[variable] = value
    code, out, err = run(variables, "-X", "importtime")
    assert code == 2
    error = the_error_in(out)
    assert error["message"].startswith(("TrainingJob: ", "ContainerSettings: "))
    assert f"{variable}: " in error["message"]
    assert error["error"] == "ConfigurationError"
    assert (error["run"], error["candidate"]) == tuple(
        variables.get(f"MNIST_{name}", "") for name in ("RUN", "CANDIDATE")
    )
    assert all(line.startswith("import time:") for line in err.splitlines())
    assert not any(f" {module}\n" in err for module in ("tensorflow", "keras", "boto3", "numpy"))


def test_an_endpoint_that_is_no_url_is_refused(environment: dict[str, str]) -> None:
    variables = environment | job_for("some-bucket").to_environment() | {"AWS_ENDPOINT_URL": "nowhere"}
    code, out, _ = run(variables)
    assert code == 2
    error = the_error_in(out)
    assert error["message"].startswith("no S3 client can be made: ")
    assert "nowhere" in error["message"]
    assert "AWS_ENDPOINT_URL" in error["mend"]


def test_an_endpoint_that_does_not_answer_is_named_and_may_be_tried_again(
    environment: dict[str, str], closed_port: int
) -> None:
    endpoint = f"http://127.0.0.1:{closed_port}"
    code, out, err = run(environment | job_for("some-bucket").to_environment() | {"AWS_ENDPOINT_URL": endpoint})
    assert (code, err) == (4, "")
    error = the_error_in(out)
    assert error["message"].startswith(f"S3 did not answer at {endpoint}")
    assert error["error"] == "TemporaryError"
    assert "traceback" not in error


def test_missing_credentials_are_refused(environment: dict[str, str]) -> None:
    secrets = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    variables = {name: value for name, value in environment.items() if name not in secrets}
    code, out, _ = run(variables | job_for("some-bucket").to_environment() | {"AWS_EC2_METADATA_DISABLED": "true"})
    assert code == 2
    assert "credentials" in the_error_in(out)["message"]


def test_a_missing_bucket_is_named(environment: dict[str, str]) -> None:
    code, out, _ = run(environment | job_for("no-such-bucket-here").to_environment())
    assert code == 3
    assert the_error_in(out)["message"].startswith("there is no bucket no-such-bucket-here")


def test_a_missing_data_set_is_named(environment: dict[str, str], storage: Storage) -> None:
    job = job_for(storage.bucket)
    code, out, _ = run(environment | job.to_environment())
    assert code == 3
    assert f"s3://{storage.bucket}/{LAYOUT.dataset(job.dataset_sha256)}" in the_error_in(out)["message"]


def test_a_data_set_that_is_not_what_its_hash_says_is_refused_before_training(
    environment: dict[str, str], storage: Storage, encryption: Encryption
) -> None:
    job = job_for(storage.bucket)
    storage.put(LAYOUT.dataset(job.dataset_sha256), b"something else")
    code, out, _ = run(environment | job.to_environment())
    assert code == 3
    message = the_error_in(out)["message"]
    assert sha256_of(b"something else") in message
    assert job.dataset_sha256 in message
    assert keys(storage) == set()


@pytest.mark.parametrize("moment", ["before the first epoch", "between epochs"])
def test_sigterm_ends_training_with_143_and_leaves_no_checkpoint(
    environment: dict[str, str], storage: Storage, job: TrainingJob, moment: str
) -> None:
    lasting = job.model_copy(update={"epochs": 100})
    with start(environment | lasting.to_environment()) as process:
        wait_for(process, *("training and",) if moment == "before the first epoch" else ("epoch ", "val_loss"))
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (143, "")
    last = events_in(out)[-1]
    assert (last["level"], last["message"], last["run"]) == ("error", "stopped by SIGTERM", job.run)
    assert keys(storage) == set()


def test_the_time_limit_ends_a_training_wherever_it_is_and_says_where(
    environment: dict[str, str], job: TrainingJob, storage: Storage
) -> None:
    endless = job.model_copy(update={"epochs": 100}).to_environment()

    code, _, err = run(environment | endless | {"MNIST_TIME_LIMIT_SECONDS": "3"})

    assert code == 1
    assert "Timeout (0:00:03)" in err
    assert keys(storage) == set()


def test_a_time_limit_that_is_none_is_refused(environment: dict[str, str], job: TrainingJob) -> None:
    code, out, _ = run(environment | job.to_environment() | {"MNIST_TIME_LIMIT_SECONDS": "soon"})

    assert code == 2
    assert "MNIST_TIME_LIMIT_SECONDS" in the_error_in(out)["message"]


def the_error_in(out: str) -> dict[str, Any]:
    """A container that is refused something tells nothing else."""
    (event,) = events_in(out)
    assert (event["level"], event["event"]) == ("error", "failed")
    return event
