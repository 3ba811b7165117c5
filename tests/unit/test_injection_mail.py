"""What came from people and from S3 adds no header, no recipient and no part to a mail, and no line to its text."""

from __future__ import annotations

from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest

from mnist_tasks.config import RunConfig
from mnist_tasks.errors import ConfigurationError
from mnist_tasks.layout import run_slug
from mnist_tasks.notify import Mail, build_message, message_id
from mnist_tasks.report.mail import FailedStep, render_failure_mail, render_report_mail, render_rollback_mail
from tests.decided_run import KEPT, NOW, rollback
from tests.hostile import TEXTS
from tests.unit.test_injection_html import told

SENDER, TEAM = "mnist@example.com", "team@example.com"


def failure(text: str) -> Mail:
    step = FailedStep(step=text, error=text, problem=text, mend=text, log_tail=(text,))
    return render_failure_mail([step], dag_id=text, run_id=text)


MAILS: dict[str, Callable[[str], Mail]] = {
    "report": lambda text: render_report_mail(told(KEPT, text), {}, earlier_failure=text),
    "failure": failure,
    "rollback": lambda text: render_rollback_mail(
        rollback().model_copy(update={"reason": text}), dag_id=text, run_id=text
    ),
}


def arrived(mail: Mail, run_id: str) -> EmailMessage:
    identifier = message_id(run_slug("mnist_training", run_id), "report", SENDER)
    message = build_message(mail, sender=SENDER, recipients=[TEAM], message_id=identifier, date=NOW)
    found = message_from_bytes(message.as_bytes(), policy=policy.default)
    assert isinstance(found, EmailMessage)
    return found


def form(mail: EmailMessage) -> list[tuple[str, list[str]]]:
    """The parts of a mail and their headers."""
    return [(part.get_content_type(), list(part.keys())) for part in mail.walk()]


@pytest.mark.parametrize("kind", MAILS)
@pytest.mark.parametrize("case", TEXTS)
def test_a_hostile_text_adds_no_header_and_no_part(kind: str, case: str) -> None:
    harmless, hostile = (arrived(MAILS[kind](text), text) for text in ("harmless", TEXTS[case]))

    assert form(hostile) == form(harmless)
    assert (hostile["To"], hostile["From"]) == (TEAM, SENDER)
    assert str(hostile["Subject"]).isprintable()
    assert len(" ".join(str(hostile["Subject"]).split())) <= 150
    text = hostile.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert {c for c in text.replace("\r\n", "\n") if not c.isprintable()} <= {"\n"}


@pytest.mark.parametrize("case", TEXTS)
def test_a_hostile_recipient_is_refused_as_a_parameter_and_as_an_address(case: str) -> None:
    for recipient in (TEXTS[case], f"team@{TEXTS[case]}"):
        with pytest.raises(ConfigurationError):
            RunConfig.from_params({"recipients": [recipient]})


@pytest.mark.parametrize("case", TEXTS)
def test_a_mail_to_a_hostile_address_is_never_built(case: str) -> None:
    with pytest.raises(ConfigurationError):
        build_message(Mail("s", "t", "<p>t"), sender=SENDER, recipients=[TEXTS[case]], message_id="<a@b>", date=NOW)
