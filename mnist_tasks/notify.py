"""Build a mail as MIME and hand it to a mail server.

Built with the standard library: Airflow's SMTP provider attaches inline images as `application/octet-stream` files,
which mail clients show as attachments below an empty frame.

What is promised about doubles: nothing has left while `deliver` can still raise `TemporaryError`, with one exception
that SMTP leaves open to everybody: the server took the content and its answer was lost. The second mail then carries
the same Message-ID, by which servers and clients recognise it.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

from mnist_tasks.errors import ConfigurationError, MnistError, TemporaryError

_SUBJECT_LIMIT = 150
_CHECK_CONNECTION = "check the Airflow connection smtp_default (host, port, login, disable_ssl, disable_tls)"


@dataclass(frozen=True)
class Mail:
    """What a mail says. `html` refers to `images` (PNG) as `cid:<key>`; a key has the form of an address, `a@b`."""

    subject: str
    text: str
    html: str
    images: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class MailServer:
    """How to reach the mail server. `ssl`: TLS from the first byte; `starttls`: after a greeting in the clear.

    Raises:
        ConfigurationError: both were asked for.
    """

    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    starttls: bool = False
    ssl: bool = False
    timeout: float = 30.0  # seconds, for each answer of the server

    def __post_init__(self) -> None:
        if self.ssl and self.starttls:
            raise ConfigurationError(
                f"the mail server {self} asks for TLS from the start and for STARTTLS as well",
                mend="set disable_ssl or disable_tls in the extras of smtp_default",
            )

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def one_line(text: str, limit: int) -> str:
    r"""`text` on one line of at most `limit` characters, without anything that a terminal or a mail header acts upon.

    >>> one_line("first\r\nBcc: everybody@example.com", 20)
    'first Bcc: everybod…'
    """
    words = "".join(c if c.isprintable() else " " for c in text).split()
    line = " ".join(words)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def message_id(slug: str, kind: str, sender: str) -> str:
    """The same for the same mail of the same run, so that a mail sent twice is recognised as one.

    >>> message_id("manual-1-2bb5fcb4", "report", "mnist@example.com")
    '<manual-1-2bb5fcb4.report@example.com>'
    """
    return f"<{slug}.{kind}@{sender.rpartition('@')[2]}>"


def build_message(
    mail: Mail, *, sender: str, recipients: Sequence[str], message_id: str, date: datetime
) -> EmailMessage:
    """The mail as MIME: the text, or instead of it the HTML together with its images.

    Args:
        mail: What it says.
        sender: One plain address, also the envelope's.
        recipients: Plain addresses, all visible to each other.
        message_id: See `message_id`.
        date: With a time zone.

    Raises:
        ConfigurationError: no recipient, or an address that is none.
    """
    if not recipients:
        raise ConfigurationError("the mail has no recipient", mend="set MNIST_MAIL_TO, or `recipients` of the run")
    message = EmailMessage(policy=SMTP)
    message["From"] = _address(sender)
    message["To"] = [_address(recipient) for recipient in recipients]
    # Python decodes what looks like an encoded word (RFC 2047), and writes line breaks that were in it as line breaks.
    message["Subject"] = one_line(mail.subject.replace("=?", "= ?"), _SUBJECT_LIMIT)
    message["Date"] = date
    message["Message-ID"] = one_line(message_id, 500).replace(" ", "")
    # RFC 3834: keeps out-of-office replies away.
    message["Auto-Submitted"] = "auto-generated"
    # Quoted-printable is plain ASCII in short lines: no server needs 8BITMIME for it, and the raw form stays readable.
    message.set_content(mail.text, cte="quoted-printable")
    message.add_alternative(mail.html, subtype="html", cte="quoted-printable")
    _attach_images(message, mail.images)
    return message


def _attach_images(message: EmailMessage, images: Mapping[str, bytes]) -> None:
    html = message.get_body(("html",))
    assert isinstance(html, EmailMessage)  # noqa: S101 - it was added two lines before
    for cid, png in images.items():
        name = cid.partition("@")[0] + ".png"
        html.add_related(png, "image", "png", cid=f"<{cid}>", disposition="inline", filename=name)


def _address(text: str) -> Address:
    try:
        return Address(addr_spec=text)
    except (ValueError, IndexError, MessageError) as error:
        raise ConfigurationError(
            f"{text!r} is not a mail address: {error}", mend="give plain addresses like name@example.com"
        ) from None


def deliver(message: EmailMessage, server: MailServer) -> None:
    """Hand `message` to `server` for all its recipients.

    A recipient refused for good (5xx) does not keep the mail from the others: they get it, then the error names the
    refused one. A recipient refused for now (4xx) does: nothing is sent to anybody, so the next try doubles nothing.

    Raises:
        TemporaryError: the server is down, slow, or said 4xx.
        ConfigurationError: the server said 5xx, refused a recipient or the login, or lacks the TLS that was asked for.
    """
    with _explained(server), _connection(server) as connection:
        accepted, refused = _address_envelope(connection, message, server)
        if accepted:
            _check(connection.data(message.as_bytes(policy=SMTP)), "the content", server)
    if refused:
        share = f"{len(refused)} of {len(refused) + len(accepted)} recipients"
        others = "the others got it" if accepted else "nobody got it"
        raise ConfigurationError(
            f"the mail server {server} refused {share} ({others}): {'; '.join(refused)}",
            mend="correct `recipients` of the run or MNIST_MAIL_TO, or let the mail server accept them",
        )


def _address_envelope(
    connection: smtplib.SMTP, message: EmailMessage, server: MailServer
) -> tuple[list[str], list[str]]:
    """Name sender and recipients; returns who was accepted, and a sentence on each who was refused for good."""
    _check(connection.mail(_addresses(message, "From")[0]), "the sender", server)
    accepted, refused = [], []
    for recipient in _addresses(message, "To"):
        code, answer = connection.rcpt(recipient)
        if code >= 500:
            refused.append(f"{recipient} ({_said(code, answer)})")
        else:
            _check((code, answer), f"the recipient {recipient}", server)
            accepted.append(recipient)
    return accepted, refused


def _addresses(message: EmailMessage, header: str) -> list[str]:
    return [address.addr_spec for address in message[header].addresses]


@contextmanager
def _connection(server: MailServer) -> Iterator[smtplib.SMTP]:
    connection = _connect(server)
    try:
        if server.starttls:
            connection.starttls(context=ssl.create_default_context())
        if server.username is not None:
            connection.login(server.username, server.password or "")
        connection.ehlo_or_helo_if_needed()  # last: what was said before STARTTLS is forgotten after it
        yield connection
        # The mail is accepted by now: a server that is too tired to say goodbye must not make it look failed.
        with suppress(smtplib.SMTPException, OSError):
            connection.quit()
    finally:
        connection.close()


def _connect(server: MailServer) -> smtplib.SMTP:
    if server.ssl:
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(server.host, server.port, timeout=server.timeout, context=context)
    return smtplib.SMTP(server.host, server.port, timeout=server.timeout)


@contextmanager
def _explained(server: MailServer) -> Iterator[None]:
    """Turn what smtplib and the network raise into our own errors; the order goes from special to general."""
    try:
        yield
    except smtplib.SMTPNotSupportedError as error:
        raise ConfigurationError(f"the mail server {server}: {error}", mend=_CHECK_CONNECTION) from error
    except smtplib.SMTPServerDisconnected as error:
        raise _unreachable(server, error) from error
    except smtplib.SMTPResponseException as error:
        subject = "the login" if isinstance(error, smtplib.SMTPAuthenticationError) else "to go on"
        raise _refusal(subject, server, error.smtp_code, error.smtp_error) from error
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:  # it hung up in the middle of the handshake
        raise _unreachable(server, error) from error
    except ssl.SSLError as error:
        raise ConfigurationError(f"no TLS with the mail server {server}: {error}", mend=_CHECK_CONNECTION) from error
    except (smtplib.SMTPException, OSError) as error:
        raise _unreachable(server, error) from error


def _unreachable(server: MailServer, error: Exception) -> TemporaryError:
    return TemporaryError(
        f"the mail server {server} does not answer within {server.timeout:g} s: {error}",
        mend=f"run the step again once it is up; {_CHECK_CONNECTION}",
    )


def _check(reply: tuple[int, bytes], subject: str, server: MailServer) -> None:
    code, answer = reply
    if not 200 <= code < 300:
        raise _refusal(subject, server, code, answer)


def _refusal(subject: str, server: MailServer, code: int, answer: bytes | str) -> MnistError:
    problem = f"the mail server {server} refused {subject}: {_said(code, answer)}"
    if code >= 500:
        return ConfigurationError(problem, mend=_CHECK_CONNECTION)
    return TemporaryError(problem, mend="run the step again later")  # also -1, which smtplib makes of what is no reply


def _said(code: int, answer: bytes | str) -> str:
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    return one_line(f"{code} {text}", 200)
