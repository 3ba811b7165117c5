"""The promotion step: who gets a `_final`, who is released, and what is recorded."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from mnist_tasks import checkpoints
from mnist_tasks.definitions.mnist import MNIST, REBUILT_FILE
from mnist_tasks.encryption import Binding
from mnist_tasks.errors import GateFailed, IntegrityError, NotFoundError
from mnist_tasks.inference import predict, read_weights
from mnist_tasks.layout import Layout
from mnist_tasks.metrics import evaluate
from mnist_tasks.promotion import decisions, promote, release
from mnist_tasks.promotion.decisions import Decision
from mnist_tasks.storage import Storage, sha256_of, to_json
from tests.candidates import IMAGE, random_weights, to_h5
from tests.faults import contents, finals, mortal
from tests.signatures import payload

LAYOUT = Layout(MNIST)


def test_the_first_model_that_passes_is_promoted_and_released(world: Any) -> None:
    plan, (candidate,) = world.train(1, "fair")
    decision = world.promote(plan)
    assert decision.outcome == "released"
    assert decision.final == f"{candidate.name}_final"
    assert (decision.sequence, decision.previous_sha256, decision.champion_before) == (1, None, None)
    assert decision.comparison is None
    assert "no champion" in decision.reason
    assert world.champion() == decision.final
    assert finals(world.storage) == {decision.final}


def test_the_record_names_the_image_that_the_trainer_says_it_was_and_so_does_that_of_a_rollback(world: Any) -> None:
    first, _ = world.night(1, "fair"), world.night(2, "good")
    back = world.rollback(first.final)
    assert first.evidence.trainer_image == back.evidence.trainer_image == IMAGE
    record = json.loads(payload(world.storage.get(LAYOUT.decision(1)).body))
    named = {each["name"]: each["digest"]["sha256"] for each in record["predicate"]["resolvedDependencies"]}
    assert named["trainer image"] == IMAGE.removeprefix("sha256:")


def test_the_champion_pointer_says_who_since_when_and_why(world: Any) -> None:
    decision = world.night(1, "fair")
    found = release.read_champion(world.storage, LAYOUT)
    final = checkpoints.read(world.storage, LAYOUT, decision.final)
    assert found == decision.champion
    assert (found.decision, found.run, found.released) == (1, decision.run, decision.created)
    assert found.weights_sha256 == final.weights.plaintext_sha256
    assert found.accuracy == decision.evaluation.accuracy
    assert found.reason == decision.reason


def test_the_best_candidate_is_the_one_that_is_promoted(world: Any) -> None:
    plan, (_, good) = world.train(1, "fair", "good")
    assert world.promote(plan).candidate == good.name


def test_figures_are_computed_from_the_stored_weights_and_images(world: Any) -> None:
    decision = world.night(1, "good")
    final = checkpoints.read(world.storage, LAYOUT, decision.final)
    weights = read_weights(checkpoints.load_weights(world.storage, world.encryption, final), MNIST)
    assert decision.evaluation == evaluate(predict(weights, world.dataset.x_test), world.dataset.y_test)


def test_the_data_set_is_read_from_s3(world: Any, mnist_file: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, _ = world.train(1, "good")
    monkeypatch.undo()  # of the shortcut in `world`
    with pytest.raises(NotFoundError, match=REBUILT_FILE.sha256):
        world.promote(plan)
    world.storage.put(LAYOUT.dataset(REBUILT_FILE.sha256), mnist_file)
    assert world.promote(plan).outcome == "released"


def test_a_significantly_better_model_is_released(world: Any) -> None:
    first, second = world.night(1, "fair"), world.night(2, "good")
    assert second.outcome == "released"
    assert second.champion_before == first.final
    assert second.comparison.verdict
    assert second.reason.startswith("better:")
    assert world.champion() == second.final


def test_a_model_too_close_to_tell_is_promoted_and_the_champion_kept(world: Any) -> None:
    first, second = world.night(1, "good"), world.night(2, "close")
    assert second.outcome == "kept"
    assert second.reason.startswith("too close to tell:")
    assert second.champion == first.champion
    assert world.champion() == first.final
    assert finals(world.storage) == {first.final, second.final}


def test_a_worse_model_is_promoted_and_the_champion_kept(world: Any) -> None:
    first, second = world.night(1, "good"), world.night(2, "fair")
    assert second.outcome == "kept"
    assert second.reason.startswith("worse:")
    assert world.champion() == first.final


def test_a_run_may_ask_for_not_worse(world: Any) -> None:
    world.night(1, "good")
    second = world.night(2, "close", release_rule="not_worse")
    third = world.night(3, "fair", release_rule="not_worse")
    assert (second.outcome, second.comparison.rule, second.comparison.margin) == ("released", "not_worse", 0.005)
    assert third.outcome == "kept"
    assert world.champion() == second.final


def test_after_kept_nights_the_comparison_is_with_the_champion_in_service(world: Any) -> None:
    first = world.night(1, "fair")
    world.night(2, "fair")
    third = world.night(3, "good")
    assert (third.outcome, third.champion_before, third.sequence) == ("released", first.final, 3)


def test_a_model_below_a_gate_gets_no_final_and_fails_the_step(world: Any) -> None:
    plan, (candidate,) = world.train(1, "bad")
    with pytest.raises(GateFailed, match=rf"test accuracy .* is below 90.00%.*{candidate.name} is not promoted"):
        world.promote(plan)
    assert finals(world.storage) == set()
    assert world.champion() is None


def test_a_rejection_is_a_decision_in_the_chain(world: Any) -> None:
    first = world.night(1, "fair")
    plan, (candidate,) = world.train(2, "bad")
    with pytest.raises(GateFailed):
        world.promote(plan)
    decision = decisions.find_of_run(world.chain, plan.run)
    assert (decision.outcome, decision.candidate, decision.final) == ("rejected", candidate.name, None)
    assert decision.sequence == 2
    assert decision.champion == first.champion
    assert not decision.gates[0].passed
    assert decision.evaluation.accuracy == decision.gates[0].value


def test_a_rejected_run_is_rejected_again_with_the_same_words(world: Any) -> None:
    plan, _ = world.train(1, "bad")
    with pytest.raises(GateFailed) as first:
        world.promote(plan)
    before = contents(world.storage)
    with pytest.raises(GateFailed) as second:
        world.promote(plan, later=60, thresholds={"accuracy": 0, "recall": 0})
    assert str(second.value) == str(first.value)
    assert contents(world.storage) == before


def test_the_defaults_are_the_specifications_gates(world: Any) -> None:
    plan, _ = world.train(1, "good")
    with pytest.raises(GateFailed, match=r"is below 97\.50%"):
        promote.promote(world.chain, world.encryption, plan.run, now=plan.created)


def test_a_second_try_returns_the_same_decision_and_writes_nothing(world: Any) -> None:
    plan, _ = world.train(1, "good")
    first = world.promote(plan)
    before = contents(world.storage)
    assert world.promote(plan, later=600) == first
    assert contents(world.storage) == before


def test_a_run_that_is_tried_again_much_later_keeps_its_decision(world: Any) -> None:
    """By now it would be decided otherwise."""
    plan, _ = world.train(1, "fair")
    first = world.promote(plan)
    second = world.night(2, "good")
    assert world.promote(plan, later=10**6) == first
    assert world.champion() == second.final
    assert world.chain.verify() == 2


def test_stated_figures_are_not_believed(world: Any) -> None:
    """The manifest and its objects fit together, but training had stated what the weights do not show."""
    plan, (candidate,) = world.train(1, "fair")
    boastful = candidate.model_dump(mode="json") | {"validation_accuracy": 0.999}
    world.storage.put(LAYOUT.manifest(candidate.name), to_json(boastful))
    with pytest.raises(
        GateFailed, match=r"validation accuracy of the stored weights is .*, but training had stated 99\.90%"
    ):
        world.promote(plan)
    assert finals(world.storage) == set()


def test_weights_that_were_exchanged_are_refused_before_anything_is_decided(world: Any) -> None:
    plan, (candidate,) = world.train(1, "good")
    world.storage.put(candidate.weights.key, to_h5(world.models["fair"]))
    with pytest.raises(IntegrityError, match=candidate.weights.sha256):
        world.promote(plan)
    assert decisions.find_of_run(world.chain, plan.run) is None
    assert finals(world.storage) == set()


def test_a_candidate_that_is_missing_stops_the_step(world: Any) -> None:
    plan, (_, second) = world.train(1, "good", "fair")
    world.storage.client.delete_object(Bucket=world.storage.bucket, Key=LAYOUT.manifest(second.name))
    with pytest.raises(NotFoundError, match=second.name):
        world.promote(plan)


def test_a_champion_whose_weights_were_exchanged_is_noticed(world: Any) -> None:
    first = world.night(1, "fair")
    plan, _ = world.train(2, "good")
    stored = checkpoints.read(world.storage, LAYOUT, first.final).weights
    world.storage.put(stored.key, to_h5(random_weights(1)))
    with pytest.raises(IntegrityError, match=stored.sha256):
        world.promote(plan)


def test_a_champion_whose_manifest_was_exchanged_too_is_noticed(world: Any) -> None:
    """By somebody who may use the key of finals: the record carries the hash of the manifest that it released."""
    first = world.night(1, "fair")
    plan, _ = world.train(2, "good")
    binding = Binding(world.storage.bucket, LAYOUT.weights(first.final), first.run, first.candidate, "final")
    weights = to_h5(random_weights(1))
    body = world.encryption.encrypt(weights, binding)
    world.storage.put(binding.key, body)
    manifest = json.loads(world.storage.get(LAYOUT.manifest(first.final)).body)
    manifest["weights"] |= {"sha256": sha256_of(body), "size": len(body), "plaintext_sha256": sha256_of(weights)}
    world.storage.put(LAYOUT.manifest(first.final), to_json(manifest))
    with pytest.raises(IntegrityError, match=rf"{first.final}/manifest\.json has SHA-256"):
        world.promote(plan)


def test_a_clock_that_goes_backwards_changes_no_order(world: Any) -> None:
    first = world.night(5, "fair")
    second = world.night(4, "good")
    assert second.created < first.created
    assert (second.sequence, second.champion_before) == (2, first.final)
    assert world.champion() == second.final
    assert world.chain.verify() == 2


def test_of_two_runs_at_once_one_is_first_and_the_other_decides_about_it(world: Any) -> None:
    """Both are about to write the same record: whoever loses must see the new champion and decide again."""
    world.night(1, "fair")
    plans = [world.train(night, "good")[0] for night in (2, 3)]
    meeting = threading.Barrier(2, timeout=60)
    found: dict[str, Decision] = {}

    def run(plan: Any) -> None:
        client = MeetingClient(world.storage.client, meeting, LAYOUT.decision(2))
        found[plan.run] = world.at(Storage(client, world.storage.bucket)).promote(plan)

    threads = [threading.Thread(target=run, args=(plan,)) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    winner, loser = sorted(found.values(), key=lambda decision: decision.sequence)
    assert (winner.sequence, loser.sequence) == (2, 3)
    assert winner.outcome == "released"
    # The same weights: against the champion of the evening they would have won as well.
    assert (loser.outcome, loser.champion_before) == ("kept", winner.final)
    assert world.champion() == winner.final
    assert world.chain.verify() == 3


class MeetingClient:
    """Waits before its first put of one key until somebody else is as far."""

    def __init__(self, client: Any, meeting: threading.Barrier, key: str) -> None:
        self._client, self._meeting, self._key = client, meeting, key

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def put_object(self, **arguments: Any) -> Any:
        if arguments["Key"] == self._key:
            self._key = ""
            self._meeting.wait()
        return self._client.put_object(**arguments)


def test_two_tries_of_one_run_at_once_make_one_decision(world: Any) -> None:
    """The first try's worker was thought dead."""
    plan, _ = world.train(1, "good")
    meeting = threading.Barrier(2, timeout=60)
    found: list[Decision] = []

    def run(later: int) -> None:
        client = MeetingClient(world.storage.client, meeting, LAYOUT.decision(1))
        found.append(world.at(Storage(client, world.storage.bucket)).promote(plan, later=later))

    threads = [threading.Thread(target=run, args=(later,)) for later in (0, 30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found[0] == found[1]
    assert world.chain.verify() == 1
    assert world.champion() == found[0].final


def test_many_runs_at_once_leave_one_unbroken_chain(world: Any) -> None:
    names = ["fair", "good", "close", "good"]
    plans = [world.train(night, name)[0] for night, name in enumerate(names)]
    threads = [threading.Thread(target=world.promote, args=(plan,)) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert world.chain.verify() == len(names)
    assert {decisions.find_of_run(world.chain, plan.run).sequence for plan in plans} == {1, 2, 3, 4}
    newest = world.chain.read(4).decision
    assert world.champion() == newest.champion_after


def test_the_cost_of_a_decision_does_not_grow_with_the_chain(world: Any) -> None:
    costs = []
    for night in range(1, 5):
        plan, _ = world.train(night, "good")
        watched = mortal(world.storage)
        world.at(watched).promote(plan)
        costs.append(len(watched.client.calls))
    assert len(set(costs[1:])) == 1, costs


def test_a_summary_is_plain_json(world: Any) -> None:
    decision = world.night(1, "good")
    summary = json.loads(json.dumps(decision.summary()))
    assert summary["champion"] == summary["final"] == decision.final
    assert (summary["decision"], summary["outcome"]) == (1, "released")
    assert summary["test_accuracy"] == decision.evaluation.accuracy


def test_no_decision_has_been_made_before_the_step_ran(world: Any) -> None:
    plan, _ = world.train(1, "good")
    assert decisions.find_of_run(world.chain, plan.run) is None
    assert release.read_champion(world.storage, LAYOUT) is None
