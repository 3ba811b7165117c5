"""What report and mail say about an outcome, and that the commands in them can be run."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from mnist_tasks.config import RollbackConfig, RunConfig
from mnist_tasks.report import ReportData, words
from tests.decided_run import BEFORE, DECLINED, FIRST, KEPT, REJECTED, RELEASED, UNANSWERED, WORSE, decided_run

SUBJECTS = [
    (RELEASED, "MNIST: promoted and released: 98.00% on test"),
    (FIRST, "MNIST: promoted and released: 98.00% on test"),
    (KEPT, "MNIST: promoted, champion kept: too close to tell"),
    (WORSE, "MNIST: promoted, champion kept: the new model is worse"),
    (REJECTED, "MNIST: not promoted: test accuracy 95.50% is below 97.50%"),
    (DECLINED, "MNIST: promoted nothing: rejected by ada"),
    (UNANSWERED, "MNIST: promoted nothing: nobody answered in 12 hours"),
]
HEADLINES = [
    (RELEASED, "Promoted and released: this model is the new champion."),
    (FIRST, "Promoted and released: this model is the first champion."),
    (KEPT, "Promoted, champion kept: too close to tell."),
    (WORSE, "Promoted, champion kept: the new model is worse."),
    (REJECTED, "Not promoted: test accuracy 95.50% is below 97.50%."),
    (DECLINED, "Promoted nothing: rejected by ada."),
    (UNANSWERED, "Promoted nothing: nobody answered in 12 hours."),
]


@pytest.mark.parametrize(("data", "subject"), SUBJECTS)
def test_the_subject_tells_the_outcome(data: ReportData, subject: str) -> None:
    assert words.subject(data) == subject


@pytest.mark.parametrize(("data", "headline"), HEADLINES)
def test_the_headline_tells_the_outcome_as_a_sentence(data: ReportData, headline: str) -> None:
    assert words.headline(data.decision) == headline


def test_several_failed_gates_are_counted_beside_the_first() -> None:
    data = decided_run(wrong=range(0, 600, 10))

    assert words.subject(data).endswith("is below 97.50% (and 1 more)")
    assert words.reason(data.decision) == "2 of 12 gates failed; what is in service stays in service."


def test_the_reason_does_not_say_the_verdict_twice() -> None:
    assert words.reason(KEPT.decision).startswith("Of the images that only one")
    assert words.reason(FIRST.decision) == "The first model that passed: there was no champion before it."


def parsed(command: str) -> tuple[list[str], dict[str, Any]]:
    *head, flag, conf = shlex.split(command)
    assert flag == "--conf"
    return head, json.loads(conf)


def test_the_repeat_command_triggers_the_same_run_with_the_seed_that_was_drawn() -> None:
    data = decided_run(epochs=3, candidates=4, rule="not_worse", champion_wrong=range(50))

    head, conf = parsed(words.repeat_command(data.plan))

    assert head == ["airflow", "dags", "trigger", "mnist_training"]
    config = RunConfig.from_params(conf, conf)
    assert config == data.plan.config.model_copy(update={"seed": data.plan.seed})


def test_a_run_that_asked_is_repeated_with_its_question_and_others_do_not_mention_it() -> None:
    _, asked = parsed(words.repeat_command(DECLINED.plan))
    _, unasked = parsed(words.repeat_command(KEPT.plan))

    assert asked["approval_hours"] == 12
    assert "approval_hours" not in unasked


def test_a_released_model_comes_with_the_command_that_goes_back() -> None:
    commands = [step.command for step in words.next_steps(RELEASED) if "mnist_rollback" in step.command]

    head, conf = parsed(commands[0])
    assert head == ["airflow", "dags", "trigger", "mnist_rollback"]
    assert RollbackConfig.from_params(conf, conf).to == BEFORE


def test_a_kept_champion_comes_with_the_command_that_releases_the_new_model_all_the_same() -> None:
    commands = [step.command for step in words.next_steps(KEPT) if "mnist_rollback" in step.command]

    _, conf = parsed(commands[0])
    assert RollbackConfig.from_params(conf, conf).to == KEPT.decision.final


@pytest.mark.parametrize("data", [FIRST, REJECTED, DECLINED])
def test_without_a_final_to_go_to_no_rollback_is_offered(data: ReportData) -> None:
    assert not any("mnist_rollback" in step.command for step in words.next_steps(data))


def test_a_run_id_with_shell_characters_stays_one_word_of_the_retry_command() -> None:
    run_id = "manual__1; rm -rf / '$(reboot)' `x`"

    assert shlex.split(words.retry_command("mnist_training", run_id))[4:6] == ["--run-id", run_id]


def test_the_link_to_a_run_quotes_whatever_its_id_holds() -> None:
    url = words.run_url("https://airflow.example.com/", "mnist_training", 'a/b?c=d#e"<f>')

    assert url == "https://airflow.example.com/dags/mnist_training/runs/a%2Fb%3Fc%3Dd%23e%22%3Cf%3E"
    assert words.run_url("", "mnist_training", "x") == ""
