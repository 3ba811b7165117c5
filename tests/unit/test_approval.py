"""What a person is asked, what an answer leads to, and how the operator asks."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default

import pytest

from examples.contracts.classifier import CONTRACTS
from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.errors import ConfigurationError
from mnist_tasks.notify import build_message, message_id
from mnist_tasks.plan import Plan
from mnist_tasks.promotion.answers import Answer, check, hours
from mnist_tasks.promotion.records import Champion
from mnist_tasks.report.approval import render_question
from tests.decided_run import APPROVED, DECLINED, KEPT, decided_run
from tests.unit.test_report_render import Page

ASKED = "ab" * 32
AIRFLOW = "https://airflow.example.com"
ASKING, SILENT = DECLINED.plan, KEPT.plan
CHAMPION = KEPT.decision.champion
YES, NO, NOBODY = (
    Answer(reply="approved", by="ada", manifest_sha256=ASKED),
    Answer(reply="rejected", by="ada", manifest_sha256=ASKED),
    Answer(reply="unanswered", manifest_sha256=ASKED),
)


def question(plan: Plan = ASKING, champion: Champion | None = CHAMPION, airflow_url: str = AIRFLOW):
    return render_question(MNIST, plan, DECLINED.best, ASKED, champion, step="approve", airflow_url=airflow_url)


def test_the_question_has_the_candidates_figures_and_what_each_answer_leads_to() -> None:
    asked = question()
    for part in (asked.body, asked.mail.text, Page(asked.mail.html).text):
        assert DECLINED.best.name in part
        assert f"{100 * DECLINED.best.validation_accuracy:.2f}% accuracy" in part
        assert f"{CHAMPION.name}, 97.00% on test images" in part
        assert "If you reject it, nothing is promoted and the champion stays." in part
        assert "nobody answers within 12 hours, nothing is promoted" in part
    assert asked.subject == f"May {DECLINED.best.name} be promoted?"
    assert asked.mail.subject == "MNIST: waits for your approval: 98.41% on validation"
    assert asked.hours == 12


def test_without_a_champion_the_question_says_so() -> None:
    assert "**Champion now:** none" in question(champion=None).body


def test_the_mail_leads_to_where_airflow_takes_the_answer() -> None:
    run = "scheduled__2026-11-24T02%3A00%3A00%2B00%3A00"
    url = f"{AIRFLOW}/dags/mnist_training/runs/{run}/tasks/approve/required_actions"
    asked = question()
    assert url in asked.mail.text
    assert url in Page(asked.mail.html).references


def test_the_mail_names_the_dag_that_waits() -> None:
    plan = ASKING.model_copy(update={"dag_id": CONTRACTS.training_dag})
    mail = render_question(CONTRACTS, plan, DECLINED.best, ASKED, CHAMPION, step="approve").mail

    for part in (mail.text, Page(mail.html).text):
        assert "A run of contracts_training waits for a person's answer." in part
        assert "mnist_training" not in part


def test_without_an_address_the_mail_says_where_to_look() -> None:
    asked = question(airflow_url="")
    assert "http" not in asked.mail.text
    assert Page(asked.mail.html).references == []
    assert "required actions" in asked.mail.text


def test_a_run_id_of_an_attacker_adds_no_header_no_markup_and_nothing_to_what_airflow_shows() -> None:
    run_id = "x\r\nBcc: thief@example.org\r\n<script>alert(1)</script>[a](javascript:b){{ 7 * 7 }}"
    asked = question(decided_run(run_id=run_id, answer=NO).plan)
    message = build_message(
        asked.mail,
        sender="mnist@example.com",
        recipients=["team@example.com"],
        message_id=message_id(ASKING.run, "approval", "mnist@example.com"),
        date=datetime(2026, 11, 24, tzinfo=UTC),
    )
    assert message_from_bytes(message.as_bytes(), policy=default)["Bcc"] is None
    assert "script" not in Page(asked.mail.html).tags
    assert "thief" not in asked.body + asked.subject
    assert "{{" not in asked.body


@pytest.mark.parametrize("answer", [YES, NO, NOBODY])
def test_an_answer_is_taken_where_one_was_asked_for_and_nowhere_else(answer: Answer) -> None:
    check(answer, ASKING)
    with pytest.raises(ConfigurationError, match="asks nobody"):
        check(answer, SILENT)


def test_a_run_that_asks_is_not_decided_without_an_answer() -> None:
    check(None, SILENT)
    with pytest.raises(ConfigurationError, match="no answer came"):
        check(None, ASKING)


def test_only_an_approval_names_somebody_who_takes_the_responsibility() -> None:
    assert (YES.approved_by, NO.approved_by, NOBODY.approved_by) == ("ada", None, None)
    assert YES.refusal(ASKING) is None
    assert NO.refusal(ASKING) == "rejected by ada"
    assert NOBODY.refusal(ASKING) == "nobody answered in 12 hours"
    assert [hours(number) for number in (1, 0.5, 12)] == ["1 hour", "0.5 hours", "12 hours"]


def test_an_approved_run_names_its_approver_in_the_signed_decision() -> None:
    assert APPROVED.decision.evidence.approved_by == "ada"
    assert APPROVED.decision.final is not None
