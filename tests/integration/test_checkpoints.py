"""Checkpoints in S3: committed whole or not at all, once, and never believed without their hash."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mnist_tasks import checkpoints
from mnist_tasks.checkpoints import Manifest
from mnist_tasks.config import TrainingJob
from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.encryption import Encryption
from mnist_tasks.errors import ConfigurationError, IntegrityError, NotFoundError
from mnist_tasks.history import History
from mnist_tasks.layout import Layout
from mnist_tasks.storage import Storage, to_json
from tests.candidates import PARAMETERS, history, plan_run, random_weights, to_h5
from tests.faults import Killed, contents, mortal

LAYOUT = Layout(MNIST)
NOW = datetime(2026, 11, 24, 2, 0, 5, tzinfo=UTC)
NAME = "mnist_model_20261124_020005"
FINAL = f"{NAME}_final"
WEIGHTS = to_h5(random_weights(1))


@pytest.fixture
def job(storage: Storage) -> TrainingJob:
    return plan_run(storage, LAYOUT, "night", candidates=1, dataset_sha256="a" * 64, now=NOW).jobs[0]


def commit(
    storage: Storage,
    encryption: Encryption,
    job: TrainingJob,
    weights: bytes = WEIGHTS,
    *,
    later: int = 0,
    told: History | None = None,
) -> Manifest:
    now, told = NOW + timedelta(seconds=later), told or history()
    return checkpoints.commit(
        storage, encryption, LAYOUT, job, weights=weights, history=told, parameters=PARAMETERS, now=now
    )


@dataclass
class Late:
    """A client that does something else before it puts an object, once."""

    client: Any
    key: str
    meanwhile: Callable[[], Any]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def put_object(self, **request: Any) -> Any:
        if request["Key"] == self.key:
            meanwhile, self.meanwhile = self.meanwhile, lambda: None
            meanwhile()
        return self.client.put_object(**request)


def under(storage: Storage, name: str) -> list[str]:
    return sorted(key for key in contents(storage) if key.startswith(f"checkpoints/{name}/"))


def edit_manifest(storage: Storage, name: str, **changes: object) -> None:
    stored = json.loads(storage.get(LAYOUT.manifest(name)).body)
    storage.put(LAYOUT.manifest(name), to_json(stored | changes))


def test_a_committed_checkpoint_is_read_back(storage: Storage, encryption: Encryption, job: TrainingJob) -> None:
    committed = commit(storage, encryption, job)
    found = checkpoints.read(storage, LAYOUT, NAME)
    assert found == committed
    assert (found.name, found.run, found.best_epoch, found.parameters) == (NAME, job.run, 1, 101_770)
    assert checkpoints.load_weights(storage, encryption, found) == WEIGHTS
    assert checkpoints.load_history(storage, found) == history()


def test_a_checkpoint_consists_of_three_objects_that_expire(
    storage: Storage, encryption: Encryption, job: TrainingJob
) -> None:
    commit(storage, encryption, job)
    keys = under(storage, NAME)
    assert [key.rpartition("/")[2] for key in keys] == ["manifest.json", "metrics.json", "weights"]
    for key in keys:
        tags = storage.client.get_object_tagging(Bucket=storage.bucket, Key=key)["TagSet"]
        assert tags == [{"Key": "stage", "Value": "candidate"}]


def test_a_final_does_not_expire(storage: Storage, encryption: Encryption, job: TrainingJob) -> None:
    checkpoints.commit_final(storage, encryption, LAYOUT, commit(storage, encryption, job), now=NOW)
    keys = under(storage, FINAL)
    assert len(keys) == 3
    assert not any(storage.client.get_object_tagging(Bucket=storage.bucket, Key=key)["TagSet"] for key in keys)


def test_the_manifest_is_written_last(storage: Storage, encryption: Encryption, job: TrainingJob) -> None:
    watched = mortal(storage)
    commit(watched, encryption, job)
    puts = [key for operation, key in watched.client.calls if operation == "put_object"]
    assert puts == [LAYOUT.weights(NAME), LAYOUT.metrics(NAME), LAYOUT.manifest(NAME)]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("fatal", [1, 2, 3, 4])
def test_killed_at_any_call_a_second_try_ends_the_commit(
    storage: Storage, encryption: Encryption, job: TrainingJob, fatal: int, when
) -> None:
    with pytest.raises(Killed):
        commit(mortal(storage, fatal=fatal, when=when), encryption, job, to_h5(random_weights(9)))
    committed = checkpoints.find(storage, LAYOUT, NAME)
    assert (committed is not None) == (fatal == 4 and when == "after")

    again = commit(storage, encryption, job)

    assert checkpoints.load_weights(storage, encryption, again) == (to_h5(random_weights(9)) if committed else WEIGHTS)
    assert checkpoints.load_history(storage, again) == history()


@pytest.mark.parametrize("key", [LAYOUT.weights(NAME), LAYOUT.metrics(NAME), LAYOUT.manifest(NAME)])
def test_a_try_that_was_thought_dead_changes_nothing_of_what_the_next_one_has_committed(
    storage: Storage, encryption: Encryption, job: TrainingJob, key: str
) -> None:
    """Both trained the same weights; times, and how often it was interrupted, are each one's own."""
    times = history().model_copy(update={"seconds": 9.0, "peak_memory_mb": 500.0, "resumed_after": (1,)})
    late = Late(storage.client, key, lambda: commit(storage, encryption, job, told=times, later=60))

    committed = commit(replace(storage, client=late), encryption, job)

    assert checkpoints.read(storage, LAYOUT, NAME) == committed
    told = checkpoints.load_history(storage, committed)
    assert (told.resumed_after, told.memory) == (committed.resumed_after, committed.memory)
    assert checkpoints.load_weights(storage, encryption, committed) == WEIGHTS
    assert checkpoints.commit_final(storage, encryption, LAYOUT, committed, now=NOW).promoted_from == NAME


@pytest.mark.parametrize("left", [b"no history", to_json(history(accuracy=0.5).model_dump(mode="json"))])
def test_figures_of_something_else_that_an_earlier_try_left_are_replaced(
    storage: Storage, encryption: Encryption, job: TrainingJob, left: bytes
) -> None:
    storage.put(LAYOUT.metrics(NAME), left)
    assert checkpoints.load_history(storage, commit(storage, encryption, job)) == history()


def test_a_committed_manifest_is_never_replaced(storage: Storage, encryption: Encryption, job: TrainingJob) -> None:
    first = commit(storage, encryption, job)
    before = contents(storage)
    assert commit(storage, encryption, job, to_h5(random_weights(2)), later=60) == first
    assert contents(storage) == before


def test_a_name_that_another_run_had_committed_is_refused(
    storage: Storage, encryption: Encryption, job: TrainingJob
) -> None:
    commit(storage, encryption, job)
    with pytest.raises(IntegrityError, match=f"was committed by run {job.run}, not by another-night"):
        commit(storage, encryption, job.model_copy(update={"run": "another-night"}))


def test_a_checkpoint_without_a_manifest_does_not_exist(storage: Storage) -> None:
    storage.put(LAYOUT.weights(NAME), WEIGHTS)
    assert checkpoints.find(storage, LAYOUT, NAME) is None
    with pytest.raises(NotFoundError, match=f"{NAME} has no manifest"):
        checkpoints.read(storage, LAYOUT, NAME)


@pytest.mark.parametrize("name", ["champion", "../secrets", "mnist_model_20261124_020005/..", "mnist_model_1_2"])
def test_a_name_that_is_none_never_becomes_a_key(storage: Storage, name: str) -> None:
    with pytest.raises(ConfigurationError, match="is not the name of a checkpoint"):
        checkpoints.find(storage, LAYOUT, name)


def test_weights_with_one_flipped_bit_are_refused(storage: Storage, encryption: Encryption, job: TrainingJob) -> None:
    committed = commit(storage, encryption, job)
    damaged = bytearray(WEIGHTS)
    damaged[5000] ^= 1
    storage.put(LAYOUT.weights(NAME), bytes(damaged))
    with pytest.raises(IntegrityError, match=committed.weights.sha256):
        checkpoints.load_weights(storage, encryption, committed)


def test_a_history_that_was_changed_is_refused(storage: Storage, encryption: Encryption, job: TrainingJob) -> None:
    committed = commit(storage, encryption, job)
    storage.put(LAYOUT.metrics(NAME), to_json(history(accuracy=0.999).model_dump(mode="json")))
    with pytest.raises(IntegrityError, match=committed.metrics.sha256):
        checkpoints.load_history(storage, committed)


@pytest.mark.parametrize("body", [b"", b"not json", b"[]", b"{}", b'{"version": 3}', b"null", b"\xff\xfe", b'"text"'])
def test_a_manifest_that_is_none_is_refused(
    storage: Storage, encryption: Encryption, job: TrainingJob, body: bytes
) -> None:
    storage.put(LAYOUT.manifest(NAME), body)
    with pytest.raises(IntegrityError, match=r"manifest\.json"):
        checkpoints.find(storage, LAYOUT, NAME)


def test_a_manifest_from_before_encryption_is_refused_with_a_cure(
    storage: Storage, encryption: Encryption, job: TrainingJob
) -> None:
    commit(storage, encryption, job)
    edit_manifest(storage, NAME, version=1)
    with pytest.raises(IntegrityError, match="its weights are not encrypted; expected version 2") as caught:
        checkpoints.find(storage, LAYOUT, NAME)
    assert "train the model again" in caught.value.mend


@pytest.mark.parametrize("part", ["weights", "metrics"])
def test_a_manifest_that_points_outside_its_checkpoint_is_refused(
    storage: Storage, encryption: Encryption, job: TrainingJob, part: str
) -> None:
    committed = commit(storage, encryption, job)
    elsewhere = getattr(committed, part).model_dump() | {"key": "checkpoints/mnist_model_20200101_000000/weights"}
    edit_manifest(storage, NAME, **{part: elsewhere})
    with pytest.raises(IntegrityError, match="expected mnist_model_20261124_020005 and the objects beside it"):
        checkpoints.find(storage, LAYOUT, NAME)


def test_a_manifest_under_another_name_is_refused(storage: Storage, encryption: Encryption, job: TrainingJob) -> None:
    commit(storage, encryption, job)
    other = "mnist_model_20261124_020006"
    storage.put(LAYOUT.manifest(other), storage.get(LAYOUT.manifest(NAME)).body)
    with pytest.raises(IntegrityError, match=f"calls itself {NAME}"):
        checkpoints.find(storage, LAYOUT, other)


def test_a_final_is_a_copy_of_its_own(storage: Storage, encryption: Encryption, job: TrainingJob) -> None:
    candidate = commit(storage, encryption, job)
    final = checkpoints.commit_final(storage, encryption, LAYOUT, candidate, now=NOW + timedelta(minutes=1))
    assert (final.name, final.promoted_from, final.job) == (FINAL, NAME, candidate.job)
    assert final.weights.key == LAYOUT.weights(FINAL)
    for key in under(storage, NAME):
        storage.client.delete_object(Bucket=storage.bucket, Key=key)  # as the lifecycle does
    again = checkpoints.read(storage, LAYOUT, FINAL)
    assert checkpoints.load_weights(storage, encryption, again) == WEIGHTS
    assert checkpoints.load_history(storage, again) == history()


def test_a_final_that_is_there_stays_as_it_is(storage: Storage, encryption: Encryption, job: TrainingJob) -> None:
    candidate = commit(storage, encryption, job)
    first = checkpoints.commit_final(storage, encryption, LAYOUT, candidate, now=NOW)
    before = contents(storage)
    assert checkpoints.commit_final(storage, encryption, LAYOUT, candidate, now=NOW + timedelta(days=1)) == first
    assert contents(storage) == before


def test_a_candidate_whose_weights_have_changed_gets_no_final(
    storage: Storage, encryption: Encryption, job: TrainingJob
) -> None:
    candidate = commit(storage, encryption, job)
    storage.put(LAYOUT.weights(NAME), to_h5(random_weights(2)))
    with pytest.raises(IntegrityError):
        checkpoints.commit_final(storage, encryption, LAYOUT, candidate, now=NOW)
    assert under(storage, FINAL) == []


def test_a_final_of_other_weights_is_refused(storage: Storage, encryption: Encryption, job: TrainingJob) -> None:
    candidate = commit(storage, encryption, job)
    final = checkpoints.commit_final(storage, encryption, LAYOUT, candidate, now=NOW)
    edit_manifest(storage, FINAL, weights=final.weights.model_dump() | {"plaintext_sha256": "f" * 64})
    with pytest.raises(IntegrityError, match=f"is not a copy of {NAME}"):
        checkpoints.commit_final(storage, encryption, LAYOUT, candidate, now=NOW)


def test_another_prefix_is_another_place(storage: Storage, encryption: Encryption, job: TrainingJob) -> None:
    commit(storage, encryption, job)
    assert checkpoints.find(storage, Layout(MNIST, "elsewhere"), NAME) is None
    assert checkpoints.find(replace(storage), LAYOUT, NAME) is not None
