"""What the page reads from S3: the same number of objects however many runs there were, and nothing that it may not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mnist_tasks import attempts
from mnist_tasks.attempts import Attempt
from mnist_tasks.cost import Prices
from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.encryption import Encryption
from mnist_tasks.errors import TemporaryError
from mnist_tasks.layout import Layout, candidate_name, run_slug
from mnist_tasks.page import data, render
from mnist_tasks.page.data import AirflowRun, Place
from mnist_tasks.promotion.chain import START, Chain, Head
from mnist_tasks.promotion.records import Decision
from mnist_tasks.storage import Storage, sha256_of, to_json
from tests.candidates import plan_run
from tests.container import commit_anything
from tests.decided_run import FIRST
from tests.faults import mortal
from tests.signatures import SoftwareSigner, payload

LAYOUT = Layout(MNIST)
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
PRICES = Prices(0.04, 0.004, 0.3)
SIGNER = SoftwareSigner()


def place_of(storage: Storage) -> Place:
    return Place(Chain(storage, LAYOUT, SIGNER.keys), PRICES)


def runs(number: int) -> list[AirflowRun]:
    """The newest first."""
    return [AirflowRun("mnist_training", f"night {n}", "success") for n in reversed(range(number))]


def fill(storage: Storage, number: int) -> None:
    """So many nights: a plan, a claim, an attempt and a decision for each. Written side by side: it is thousands."""
    chain, objects, previous = START, {}, None
    for run in reversed(runs(number)):
        moment = NOW - timedelta(days=number) + timedelta(days=chain.sequence)
        decision = decided(previous, run.slug, chain, moment)
        body = SIGNER.decision(decision)
        objects[LAYOUT.decision(decision.sequence)] = body
        objects[LAYOUT.run(run.slug, "decision_base.json")] = to_json(chain.model_dump(mode="json"))
        objects[LAYOUT.claim(candidate_name(moment))] = to_json({"run": run.slug})
        tried = Attempt(
            job=candidate_name(moment),
            generation=1,
            capacity="FARGATE_SPOT",
            vcpus=1,
            memory_gb=2,
            started=moment,
            stopped=moment,
        )
        objects[LAYOUT.attempt(run.slug, tried.job, 1)] = to_json(tried.model_dump(mode="json"))
        chain, previous = Head(sequence=decision.sequence, sha256=sha256_of(body)), decision
    objects[LAYOUT.decisions_head] = to_json(chain.model_dump(mode="json"))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda item: storage.put(*item), objects.items()))


def decided(previous: Decision | None, slug: str, chain: Head, moment: datetime) -> Decision:
    """The first one releases, the others keep."""
    values = dict(FIRST.decision) | {"sequence": chain.sequence + 1, "previous_sha256": chain.sha256, "created": moment}
    if previous is None:
        champion = FIRST.decision.champion
        assert champion is not None
        return Decision(**values | {"run": slug, "champion": champion.model_copy(update={"decision": 1})})
    changes = {
        "run": slug,
        "outcome": "kept",
        "champion_before": previous.champion_after,
        "champion": previous.champion,
    }
    return Decision(**values | changes)


def calls_of_overview(storage: Storage, number: int) -> tuple[data.Overview, list[tuple[str, str]]]:
    counting: Any = mortal(storage)
    return data.read_overview(place_of(counting), runs(number)[:50], [], NOW), counting.client.calls


def test_the_overview_costs_the_same_with_20_and_with_1000_runs(storage: Storage, aws: Any) -> None:
    other = Storage(aws("s3"), f"{storage.bucket}-large")
    other.client.create_bucket(Bucket=other.bucket)
    fill(storage, 20)
    fill(other, 1000)

    small, few = calls_of_overview(storage, 20)
    large, many = calls_of_overview(other, 1000)

    assert sorted(name for name, _ in few) == sorted(name for name, _ in many)
    assert len(many) <= 60
    assert large.moves[0].decision.sequence == 1000
    assert (len(small.moves), len(small.runs)) == (len(large.moves), len(large.runs)) == (data.DECISIONS, data.RUNS)
    assert all(line.decision and line.cost.value for line in large.runs)


def test_the_champion_is_verified_however_many_nights_have_kept_it(storage: Storage) -> None:
    fill(storage, data.DECISIONS + 8)
    view, _ = calls_of_overview(storage, data.DECISIONS + 8)

    assert not any(move.decision.changes_champion for move in view.moves)
    assert view.vouched.value is not None
    assert "<dt>Verification</dt>" in render.overview(view)
    storage.put(LAYOUT.decision(1), SoftwareSigner().seal(payload(storage.get(LAYOUT.decision(1)).body)))
    view, _ = calls_of_overview(storage, data.DECISIONS + 8)
    assert view.vouched.trouble is not None


def test_a_runs_page_costs_the_same_however_many_there_were_and_reads_no_weights(storage: Storage) -> None:
    fill(storage, 30)
    run = AirflowRun("mnist_training", "night 29", "success")
    counting: Any = mortal(storage)

    view = data.read_run(place_of(counting), run, NOW)

    assert view.decision.value is not None
    assert len(counting.client.calls) <= 10
    assert not [key for _, key in counting.client.calls if "weights" in key or "datasets/" in key]


def test_a_run_that_trains_is_read_candidate_by_candidate(storage: Storage, encryption: Encryption) -> None:
    plan = plan_run(storage, LAYOUT, "tonight", candidates=3, dataset_sha256="a" * 64, now=NOW)
    commit_anything(storage, encryption, plan.jobs[0])
    view = data.read_run(place_of(storage), AirflowRun("mnist_training", "tonight", "running"), NOW)

    assert view.stage == "training"
    assert view.states.value is not None
    assert [state.committed for state in view.states.value] == [True, False, False]


def test_attempts_are_kept_beside_the_run_and_read_in_their_order(storage: Storage) -> None:
    slug = run_slug("mnist_training", "tonight")
    for generation in (2, 1):
        tried = Attempt(
            job="mnist_model_20261124_020005",
            generation=generation,
            capacity="FARGATE",
            vcpus=1,
            memory_gb=2,
            started=NOW,
        )
        attempts.write(storage, LAYOUT, slug, tried)

    assert [found.generation for found in attempts.read_all(storage, LAYOUT, slug)] == [1, 2]
    assert attempts.read_all(storage, LAYOUT, "another-run-1") == ()


@pytest.mark.parametrize("damage", [b"{", b"[]", b'{"version": 2}'])
@pytest.mark.parametrize("name", ["plan.json", "validation.json", "report.json", "decision_base.json"])
def test_one_damaged_object_is_named_and_costs_its_own_part_only(storage: Storage, name: str, damage: bytes) -> None:
    fill(storage, 3)
    run = AirflowRun("mnist_training", "night 2", "success")
    storage.put(LAYOUT.run(run.slug, name), damage)

    view = data.read_run(place_of(storage), run, NOW)

    parts = {
        "plan.json": view.plan,
        "validation.json": view.validation,
        "report.json": view.published,
        "decision_base.json": view.decision,
    }
    wrong = [part for part, found in parts.items() if found.trouble]
    # Of a report, the page reads where the pictures are; one that says nothing of them has none.
    assert wrong == ([] if name == "report.json" and damage != b"{" else [name])
    assert view.cost.value is not None


def test_a_record_that_a_stranger_has_signed_is_trouble_of_the_history_alone(storage: Storage) -> None:
    fill(storage, 5)
    storage.put(LAYOUT.decision(4), SoftwareSigner().seal(payload(storage.get(LAYOUT.decision(4)).body)))

    view = data.read_overview(place_of(storage), runs(5), [], NOW)

    assert view.trouble.trouble is not None
    assert len(view.runs) == 5


def test_an_s3_that_does_not_answer_ends_the_page_at_once(storage: Storage, aws: Any) -> None:
    import boto3
    from botocore.config import Config

    client = boto3.client(
        "s3",
        endpoint_url="http://127.0.0.1:9",
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(connect_timeout=1, retries={"total_max_attempts": 1}),
    )
    place = place_of(replace(storage, client=client))

    with pytest.raises(TemporaryError, match="did not answer"):
        data.read_overview(place, runs(3), [], NOW)
