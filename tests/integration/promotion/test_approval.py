"""A run that asks a person: what the promoter makes of the answer, or of none."""

from __future__ import annotations

from typing import Any

import pytest

from mnist_tasks.errors import ConfigurationError, GateFailed
from mnist_tasks.promotion import answers, decisions
from mnist_tasks.promotion.answers import Answer
from mnist_tasks.promotion.release import Settled, find_settled
from mnist_tasks.report.approval import compose_question
from tests.faults import contents, finals

OTHER = "ab" * 32
YES, NO, NOBODY = (
    Answer(reply="approved", by="ada", manifest_sha256=OTHER),
    Answer(reply="rejected", by="ada", manifest_sha256=OTHER),
    Answer(reply="unanswered", manifest_sha256=OTHER),
)


def about(world: Any, plan: Any, answer: Answer) -> Answer:
    """The answer, given to what the run's question shows now."""
    asked = compose_question(world.chain, plan.run, step="approve")
    return answer.model_copy(update={"manifest_sha256": asked.manifest_sha256})


def test_an_approved_candidate_is_promoted_and_the_decision_names_who_approved(world: Any) -> None:
    plan, _ = world.train(1, "good", approval_hours=2)
    decision = world.promote(plan, answer=about(world, plan, YES))
    assert (decision.outcome, decision.evidence.approved_by) == ("released", "ada")
    assert world.champion() == decision.final
    assert decisions.find_of_run(world.chain, plan.run) == decision


@pytest.mark.parametrize(("answer", "reason"), [(NO, "rejected by ada"), (NOBODY, "nobody answered in 2 hours")])
def test_without_an_approval_there_is_no_final_and_the_champion_stays(world: Any, answer: Answer, reason: str) -> None:
    first = world.night(1, "fair")
    plan, (candidate,) = world.train(2, "good", approval_hours=2)
    decision = world.promote(plan, answer=about(world, plan, answer))
    assert (decision.outcome, decision.reason, decision.candidate) == ("declined", reason, candidate.name)
    assert (decision.final, decision.evidence.approved_by, decision.comparison) == (None, None, None)
    assert finals(world.storage) == {first.final}
    assert world.champion() == first.final
    assert find_settled(world.chain, plan.run) == Settled(decision, in_service=False)


def test_an_answer_that_came_stands_whatever_a_retry_says(world: Any) -> None:
    plan, _ = world.train(1, "good", approval_hours=2)
    first = world.promote(plan, answer=about(world, plan, NO))
    before = contents(world.storage)
    assert world.promote(plan, later=60, answer=about(world, plan, YES)) == first
    assert contents(world.storage) == before


@pytest.mark.parametrize("answer", [YES, NO, NOBODY])
def test_an_answer_to_another_candidate_decides_nothing(world: Any, answer: Answer) -> None:
    """The one that a person was shown was damaged and trained again, or another one is the best by now."""
    plan, _ = world.train(1, "good", approval_hours=2)
    before = contents(world.storage)

    with pytest.raises(ConfigurationError, match=f"{answer.reply}.* was given to another candidate"):
        world.promote(plan, answer=answer)

    assert contents(world.storage) == before


def test_an_approval_opens_no_gate(world: Any) -> None:
    plan, _ = world.train(1, "bad", approval_hours=2)
    with pytest.raises(GateFailed):
        world.promote(plan, answer=about(world, plan, YES))
    decision = decisions.find_of_run(world.chain, plan.run)
    assert (decision.outcome, decision.evidence.approved_by) == ("rejected", "ada")
    assert finals(world.storage) == set()


def test_a_run_that_asks_gets_nothing_decided_without_an_answer(world: Any) -> None:
    plan, _ = world.train(1, "good", approval_hours=2)
    before = contents(world.storage)
    with pytest.raises(ConfigurationError, match="no answer came"):
        world.promote(plan)
    assert contents(world.storage) == before


def test_an_answer_that_nobody_asked_for_is_refused(world: Any) -> None:
    plan, _ = world.train(1, "good")
    with pytest.raises(ConfigurationError, match="asks nobody"):
        world.promote(plan, answer=YES)
    assert finals(world.storage) == set()


def test_the_question_is_about_the_best_candidate_and_tells_of_the_champion(world: Any) -> None:
    first = world.night(1, "fair")
    plan, manifests = world.train(2, "bad", "good", approval_hours=2)
    asked = compose_question(world.chain, plan.run, step="approve")
    assert manifests[1].name in asked.subject
    assert f"{first.final}, " in asked.body


def test_the_first_answer_stays(world: Any) -> None:
    """A person who answers after the time-out of a step that is tried again comes too late."""
    assert answers.find(world.storage, world.layout, "a-run") is None
    answers.keep(world.storage, world.layout, "a-run", NOBODY)
    answers.keep(world.storage, world.layout, "a-run", YES)
    assert answers.find(world.storage, world.layout, "a-run") == NOBODY
