"""A mail as MIME: what a client finds in it, and what nobody can smuggle into it."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnist_tasks.errors import ConfigurationError
from mnist_tasks.notify import Mail, MailServer, build_message, message_id, one_line

NOW = datetime(2026, 11, 24, 2, 5, tzinfo=UTC)
SENDER = "mnist@example.com"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
MAIL = Mail(
    "MNIST: promoted and released: 97.93% on test",
    "Text alone.\n",
    '<p>Words</p><img src="cid:curves@plots">',
    {"curves@plots": PNG},
)


def received(mail: Mail = MAIL, **changes: object) -> EmailMessage:
    """The mail as a client parses it from the wire."""
    arguments = {
        "sender": SENDER,
        "recipients": ["team@example.com"],
        "message_id": message_id("manual-1-2bb5fcb4", "report", SENDER),
        "date": NOW,
    }
    message = build_message(mail, **{**arguments, **changes})  # type: ignore[arg-type]
    parsed = message_from_bytes(message.as_bytes(), policy=default)
    assert isinstance(parsed, EmailMessage)
    assert not parsed.defects
    return parsed


def test_a_client_may_choose_between_the_text_and_the_html_with_its_images() -> None:
    message = received()

    assert message.get_content_type() == "multipart/alternative"
    text, related = message.iter_parts()
    assert text.get_content().strip() == "Text alone."
    assert related.get_content_type() == "multipart/related"
    html, image = related.iter_parts()
    assert html.get_content_type() == "text/html"
    assert "cid:curves@plots" in html.get_content()
    assert (image["Content-ID"], image.get_content()) == ("<curves@plots>", PNG)
    assert (image.get_content_type(), image.get_content_disposition()) == ("image/png", "inline")


def test_headers_say_who_when_and_that_a_machine_wrote_it() -> None:
    message = received(recipients=["a@example.com", "b@example.com"])

    assert message["From"] == SENDER
    assert [address.addr_spec for address in message["To"].addresses] == ["a@example.com", "b@example.com"]
    assert message["Date"].datetime == NOW
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"] == "<manual-1-2bb5fcb4.report@example.com>"


def test_a_mail_without_images_is_a_plain_choice_of_two() -> None:
    text, html = received(Mail("s", "t", "<p>h</p>")).iter_parts()

    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")


def test_the_message_id_depends_on_run_and_kind_and_on_nothing_else() -> None:
    first = message_id("run-a", "report", SENDER)

    assert first == message_id("run-a", "report", SENDER)
    assert len({first, message_id("run-b", "report", SENDER), message_id("run-a", "failure", SENDER)}) == 3


def test_a_line_break_in_the_subject_starts_no_header() -> None:
    message = received(Mail("failed at x\r\nBcc: thief@example.org\n\nbody", "t", "h"))

    assert message["Bcc"] is None
    assert message["Subject"] == "failed at x Bcc: thief@example.org body"


@pytest.mark.parametrize("word", ["=?utf-8?q?a=0D=0ABcc:_thief@example.org?=", "=?utf-8?b?YQ0KQmNjOiBi?=", "=?=?x"])
def test_a_line_break_in_an_encoded_word_starts_no_header(word: str) -> None:
    arrived = received(Mail(f"failed: {word}", "t", "h"))

    assert arrived["Bcc"] is None
    assert arrived["Subject"] == f"failed: {word.replace('=?', '= ?')}"


def test_a_line_break_in_the_message_id_starts_no_header() -> None:
    message = received(message_id="<a\r\nBcc: thief@example.org\r\n@example.com>")

    assert message["Bcc"] is None


@pytest.mark.parametrize(
    "address",
    ["", "a", "a@b.c\r\nBcc: thief@example.org", "a@example.com, b@example.com", "a b@example.com", "ü@example.com"],
)
def test_what_is_not_one_plain_address_is_refused_as_recipient_and_as_sender(address: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a mail address"):
        received(recipients=[address])
    with pytest.raises(ConfigurationError, match="is not a mail address"):
        received(sender=address)


def test_a_mail_to_nobody_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no recipient"):
        received(recipients=[])


def test_letters_of_all_alphabets_arrive_in_subject_text_and_html() -> None:
    words = "größer: 数字 🎉"
    message = received(Mail(words, words, f"<p>{words}</p>"))

    assert message["Subject"] == words
    assert message.get_body(("plain",)).get_content().strip() == words  # type: ignore[union-attr]
    assert words in message.get_body(("html",)).get_content()  # type: ignore[union-attr]


def test_what_travels_is_plain_ascii_in_lines_far_below_the_limit_of_998() -> None:
    mail = Mail("ü" * 300, "ü" * 5000, "ü" * 5000, {"a@plots": PNG * 20})
    recipients = [f"name{i}@example.com" for i in range(20)]
    wire = build_message(mail, sender=SENDER, recipients=recipients, message_id="<a@b>", date=NOW).as_bytes()

    assert wire.isascii()
    assert max(map(len, wire.split(b"\r\n"))) < 100


def test_the_longest_slug_and_domain_keep_their_message_id_in_one_piece() -> None:
    sender = "m@" + ".".join(["d" * 60] * 4)
    expected = message_id("s" * 57, "failure", sender)

    assert received(sender=sender, message_id=expected)["Message-ID"] == expected


@given(st.text(max_size=400))
@settings(max_examples=200)
def test_no_subject_whatever_changes_the_set_of_headers(text: str) -> None:
    message = received(Mail(text or "x", "t", "h"))

    assert sorted(message.keys()) == sorted(received().keys())
    assert message["Subject"] == one_line(text or "x", 150)


def test_one_line_drops_control_characters_and_direction_marks_and_cuts_with_a_sign() -> None:
    assert one_line("\x1b[31mred\u202e\x00  alert", 50) == "[31mred alert"
    assert one_line("abcdef", 4) == "abc…"


def test_the_password_is_not_in_what_gets_logged() -> None:
    server = MailServer("mail.example.com", 465, "robot", "canary-secret", ssl=True)

    assert "canary-secret" not in f"{server!r} {server}"


def test_tls_from_the_start_and_starttls_exclude_each_other() -> None:
    with pytest.raises(ConfigurationError, match=r"mail\.example\.com:465.*STARTTLS"):
        MailServer("mail.example.com", 465, ssl=True, starttls=True)
