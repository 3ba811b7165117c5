"""Plans in S3: names that nobody else has, settled once for each run."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime, timedelta

import pytest

from mnist_tasks import checkpoints
from mnist_tasks.config import RunConfig, derived_seed
from mnist_tasks.definitions import named
from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.encryption import Encryption
from mnist_tasks.errors import ConfigurationError, Conflict, IntegrityError, NotFoundError
from mnist_tasks.layout import Layout, run_slug
from mnist_tasks.plan import Plan, pick_best, read_plan
from mnist_tasks.storage import Storage, to_json
from tests.candidates import PARAMETERS, history, plan_run, random_weights, to_h5
from tests.faults import Killed, contents, mortal, restore

LAYOUT = Layout(MNIST)
NOW = datetime(2026, 11, 24, 2, 0, 5, tzinfo=UTC)
SHA256 = "a" * 64


def make(storage: Storage, run_id: str = "night", *, candidates: int = 2, later: int = 0, **config: object) -> Plan:
    now = NOW + timedelta(seconds=later)
    return plan_run(storage, LAYOUT, run_id, candidates=candidates, dataset_sha256=SHA256, now=now, **config)


def names(plan: Plan) -> list[str]:
    return [job.candidate for job in plan.jobs]


def commit(storage: Storage, encryption: Encryption, plan: Plan, *accuracies: float) -> None:
    for job, accuracy in zip(plan.jobs, accuracies, strict=True):
        checkpoints.commit(
            storage,
            encryption,
            LAYOUT,
            job,
            weights=to_h5(random_weights(job.seed)),
            history=history(accuracy),
            parameters=PARAMETERS,
            now=NOW,
        )


def test_candidates_are_named_after_seconds_in_utc(storage: Storage) -> None:
    assert names(make(storage)) == ["mnist_model_20261124_020005", "mnist_model_20261124_020006"]


def test_every_job_carries_what_the_container_needs(storage: Storage) -> None:
    plan = make(storage, epochs=3, batch_size=64, learning_rate=0.01, validation_images=5000, seed=7)
    job = plan.jobs[1]
    assert (job.bucket, job.checkpoints_prefix, job.run) == (storage.bucket, "checkpoints", plan.run)
    assert (job.epochs, job.batch_size, job.learning_rate, job.validation_images) == (3, 64, 0.01, 5000)
    assert job.dataset_sha256 == SHA256
    assert [job.seed for job in plan.jobs] == [derived_seed(7, 0), derived_seed(7, 1)]


def test_candidates_take_learning_rates_in_turn_and_a_retry_gives_them_the_same(storage: Storage) -> None:
    plan = make(storage, candidates=3, learning_rates=(0.001, 0.002))
    assert [job.learning_rate for job in plan.jobs] == [0.001, 0.002, 0.001]
    assert make(storage, candidates=3, learning_rates=(0.5,)).jobs == plan.jobs
    assert read_plan(storage, LAYOUT, plan.run) == plan


def test_without_a_seed_it_comes_from_the_run_and_is_recorded(storage: Storage) -> None:
    tonight, tomorrow = make(storage, "tonight"), make(storage, "tomorrow")
    assert tonight.seed == derived_seed(run_slug("mnist_training", "tonight"))
    assert tonight.config.seed is None
    assert tonight.seed != tomorrow.seed


def test_a_night_is_repeated_by_its_seed(storage: Storage) -> None:
    first = make(storage, "first")
    again = make(storage, "again", seed=first.seed)
    assert [job.seed for job in again.jobs] == [job.seed for job in first.jobs]
    assert set(names(again)).isdisjoint(names(first))


def test_a_second_try_gets_the_same_plan_whatever_it_asks_for(storage: Storage) -> None:
    first = make(storage)
    before = contents(storage)
    assert make(storage, candidates=5, later=600, epochs=1) == first
    assert contents(storage) == before


def test_the_plan_is_read_back(storage: Storage) -> None:
    plan = make(storage, learning_rate=0.0123, recipients=("a@example.com",))
    assert read_plan(storage, LAYOUT, plan.run) == plan


def test_a_run_that_would_leave_nothing_to_train_on_claims_no_name(storage: Storage) -> None:
    contracts = Layout(named("contracts"))
    with pytest.raises(ConfigurationError, match="30,000 validation images leave none of the 5,000 training images"):
        plan_run(storage, contracts, "night", candidates=1, dataset_sha256=SHA256, now=NOW, validation_images=30_000)
    assert contents(storage) == {}


def test_runs_in_the_same_second_get_different_names(storage: Storage) -> None:
    plans: dict[int, Plan] = {}
    start = threading.Barrier(4)

    def plan(number: int) -> None:
        start.wait()
        plans[number] = make(storage, f"run {number}", candidates=3)

    threads = [threading.Thread(target=plan, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    taken = [name for plan in plans.values() for name in names(plan)]
    assert len(set(taken)) == len(taken) == 12
    assert all(re.fullmatch(r"mnist_model_20261124_0200\d\d", name) for name in taken)


def test_of_two_tries_of_one_run_at_once_both_get_the_same_plan(storage: Storage) -> None:
    plans: list[Plan] = []
    start = threading.Barrier(2)

    def plan(later: int) -> None:
        start.wait()
        plans.append(make(storage, later=later))

    threads = [threading.Thread(target=plan, args=(later,)) for later in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert plans[0] == plans[1] == read_plan(storage, LAYOUT, plans[0].run)


def test_killed_at_any_call_the_next_try_makes_the_same_plan_and_no_name_stays_claimed_beside_it(
    storage: Storage,
) -> None:
    """A run plans at its own moment at every try, whatever the clock says by then."""
    before = contents(storage)
    watched = mortal(storage)
    make(watched)
    undisturbed = contents(storage)
    for fatal in range(1, len(watched.client.calls) + 1):
        restore(storage, before)
        with pytest.raises(Killed):
            make(mortal(storage, fatal=fatal, when="after"))
        make(storage)
        assert contents(storage) == undisturbed, watched.client.calls[fatal - 1]


@pytest.mark.parametrize("suffix", ["", "_final"])
def test_a_name_that_was_used_before_the_clock_went_back_is_not_used_again(storage: Storage, suffix: str) -> None:
    """Claims expire after some weeks, finals never do."""
    storage.put(LAYOUT.manifest(f"mnist_model_20261124_020005{suffix}"), b"{}")
    assert names(make(storage)) == ["mnist_model_20261124_020006", "mnist_model_20261124_020007"]


def test_the_search_for_a_name_has_an_end(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnist_tasks.plan._MAXIMUM_TRIES", 3)
    make(storage, "other", candidates=2)
    with pytest.raises(Conflict, match="only 1 of 2 names were free in the 3 seconds from mnist_model_20261124_020005"):
        make(storage)


def test_a_run_without_a_plan_says_so(storage: Storage) -> None:
    with pytest.raises(NotFoundError, match="run nothing-here has no plan"):
        read_plan(storage, LAYOUT, "nothing-here")


def test_another_runs_plan_is_refused(storage: Storage) -> None:
    plan = make(storage)
    storage.put(LAYOUT.run("another", "plan.json"), to_json(plan.model_dump(mode="json")))
    with pytest.raises(IntegrityError, match=f"is the plan of run {plan.run}"):
        read_plan(storage, LAYOUT, "another")


def test_a_plan_whose_candidates_are_not_its_own_is_refused(storage: Storage) -> None:
    plan = make(storage)
    twice = plan.model_dump(mode="json") | {"jobs": [plan.jobs[0].model_dump()] * 2}
    storage.put(LAYOUT.run(plan.run, "plan.json"), to_json(twice))
    with pytest.raises(IntegrityError, match="different names"):
        read_plan(storage, LAYOUT, plan.run)


def test_a_plan_whose_candidates_train_on_another_data_set_is_refused(storage: Storage) -> None:
    """Its validation and its gates would be about one, its model and its signed decision about the other."""
    plan = make(storage)
    other = plan.jobs[0].model_dump(mode="json") | {"dataset_sha256": "0" * 64}
    mixed = plan.model_dump(mode="json") | {"jobs": [other]}
    storage.put(LAYOUT.run(plan.run, "plan.json"), to_json(mixed))
    with pytest.raises(IntegrityError, match="train on its own data set"):
        read_plan(storage, LAYOUT, plan.run)


def test_the_best_candidate_of_the_run_is_picked(storage: Storage, encryption: Encryption) -> None:
    commit(storage, encryption, make(storage, "another", candidates=1), 0.99)
    plan = make(storage, candidates=3)
    commit(storage, encryption, plan, 0.96, 0.98, 0.97)
    assert pick_best(storage, LAYOUT, plan.run).name == names(plan)[1]


def test_picking_costs_one_call_for_the_plan_and_one_for_each_candidate(
    storage: Storage, encryption: Encryption
) -> None:
    for number in range(3):
        commit(storage, encryption, make(storage, f"other {number}"), 0.5, 0.5)
    plan = make(storage, candidates=3)
    commit(storage, encryption, plan, 0.96, 0.98, 0.97)
    watched = mortal(storage)
    pick_best(watched, LAYOUT, plan.run)
    assert [operation for operation, _ in watched.client.calls] == ["get_object"] * 4


def test_a_candidate_that_was_not_trained_is_named(storage: Storage, encryption: Encryption) -> None:
    plan = make(storage)
    commit(storage, encryption, plan.model_copy(update={"jobs": plan.jobs[:1]}), 0.97)
    with pytest.raises(NotFoundError, match=names(plan)[1]):
        pick_best(storage, LAYOUT, plan.run)


def test_a_candidate_that_another_job_trained_is_refused(storage: Storage, encryption: Encryption) -> None:
    plan = make(storage, candidates=1)
    other = plan.jobs[0].model_copy(update={"epochs": 99})
    commit(storage, encryption, plan.model_copy(update={"jobs": (other,)}), 0.97)
    with pytest.raises(IntegrityError, match="another job"):
        pick_best(storage, LAYOUT, plan.run)


def test_defaults_are_the_specifications(storage: Storage) -> None:
    config = RunConfig()
    assert (config.epochs, config.batch_size, config.candidates) == (10, 32, 2)
