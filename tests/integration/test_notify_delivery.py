"""Handing a mail to real SMTP servers: willing, refusing, slow, silent, gone, and with TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mnist_tasks.errors import ConfigurationError, TemporaryError
from mnist_tasks.notify import Mail, MailServer, build_message, deliver, message_id

SENDER = "mnist@example.com"
Start = Callable[..., MailServer]


class Postmaster:
    """Keeps what it accepts; answers each command with what the test put into `answers`."""

    def __init__(self, answers: dict[str, str] | None = None, slow: str = "") -> None:
        self.answers = answers or {}
        self.slow = slow
        self.kept: list[Envelope] = []

    async def _answer(self, command: str, otherwise: str) -> str:
        if command == self.slow:
            await asyncio.sleep(30)
        return self.answers.get(command, otherwise)

    async def handle_MAIL(self, _s: Any, _x: Any, envelope: Envelope, address: str, _o: Any) -> str:  # noqa: N802
        envelope.mail_from = address
        return await self._answer("MAIL", "250 OK")

    async def handle_RCPT(self, _s: Any, _x: Any, envelope: Envelope, address: str, _o: Any) -> str:  # noqa: N802
        answer = await self._answer(address, "250 OK")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: Any, _x: Any, envelope: Envelope) -> str:  # noqa: N802
        answer = await self._answer("DATA", "250 OK")
        if answer == "hang up":
            server.transport.close()
        if answer.startswith("250"):
            self.kept.append(envelope)
        return answer

    async def handle_QUIT(self, server: Any, _session: Any, _envelope: Any) -> str:  # noqa: N802
        if self.answers.get("QUIT") == "hang up":
            server.transport.close()
        return "221 Bye"


@pytest.fixture
def start() -> Iterator[Start]:
    """`start(postmaster, **controller options)` runs a server until the test ends and says how to reach it."""
    running: list[Controller] = []

    def start_one(postmaster: Postmaster, **options: Any) -> MailServer:
        controller = Controller(postmaster, hostname="127.0.0.1", port=free_port(), ready_timeout=60, **options)
        controller.start()
        running.append(controller)
        return MailServer("127.0.0.1", controller.port, timeout=60)

    yield start_one
    for controller in running:
        controller.stop()


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def message(*recipients: str) -> EmailMessage:
    mail = Mail("MNIST: größer", ".\nA line with a dot alone, and ü\n.\n", "<p>ü</p>", {"a@plots": b"\x89PNG"})
    return build_message(
        mail,
        sender=SENDER,
        recipients=recipients or ["team@example.com"],
        message_id=message_id("run", "report", SENDER),
        date=datetime(2026, 11, 24, 2, 5, tzinfo=UTC),
    )


def test_the_mail_arrives_whole_at_every_recipient(start: Start) -> None:
    postmaster = Postmaster()

    deliver(message("a@example.com", "b@example.com"), start(postmaster))

    (envelope,) = postmaster.kept
    assert (envelope.mail_from, envelope.rcpt_tos) == (SENDER, ["a@example.com", "b@example.com"])
    arrived = message_from_bytes(envelope.content, policy=default)  # type: ignore[arg-type]
    assert arrived["Subject"] == "MNIST: größer"
    text = arrived.get_body(("plain",))  # type: ignore[attr-defined]
    assert text.get_content().splitlines() == [".", "A line with a dot alone, and ü", "."]


def test_a_server_without_8bitmime_and_smtputf8_gets_letters_of_all_alphabets(start: Start) -> None:
    postmaster = Postmaster()

    deliver(message(), start(postmaster, decode_data=True))

    assert len(postmaster.kept) == 1


def test_a_refused_recipient_is_named_and_the_others_get_the_mail(start: Start) -> None:
    postmaster = Postmaster({"gone@example.com": "550 5.1.1 no such user"})

    with pytest.raises(
        ConfigurationError, match=r"refused 1 of 2 .*the others got it.*gone@example\.com \(550 5\.1\.1"
    ):
        deliver(message("gone@example.com", "here@example.com"), start(postmaster))

    assert [envelope.rcpt_tos for envelope in postmaster.kept] == [["here@example.com"]]


def test_all_recipients_refused_means_that_nothing_is_sent(start: Start) -> None:
    postmaster = Postmaster({"a@example.com": "550 no", "b@example.com": "553 no"})

    with pytest.raises(ConfigurationError, match=r"refused 2 of 2 .*nobody got it.*a@example\.com.*b@example\.com"):
        deliver(message("a@example.com", "b@example.com"), start(postmaster))

    assert not postmaster.kept


def test_a_recipient_refused_for_now_holds_the_mail_back_so_that_the_next_try_doubles_nothing(start: Start) -> None:
    postmaster = Postmaster({"busy@example.com": "451 greylisted, come back later"})
    server = start(postmaster)
    both = message("here@example.com", "busy@example.com")

    with pytest.raises(TemporaryError, match=r"busy@example\.com.*451 greylisted"):
        deliver(both, server)
    assert not postmaster.kept

    postmaster.answers.clear()
    deliver(both, server)
    assert [envelope.rcpt_tos for envelope in postmaster.kept] == [["here@example.com", "busy@example.com"]]


@pytest.mark.parametrize("command", ["MAIL", "DATA"])
def test_4xx_may_pass_and_5xx_does_not(start: Start, command: str) -> None:
    with pytest.raises(TemporaryError, match="451 try later"):
        deliver(message(), start(Postmaster({command: "451 try later"})))
    with pytest.raises(ConfigurationError, match="552 too big"):
        deliver(message(), start(Postmaster({command: "552 too big"})))


def test_nobody_listening_may_pass() -> None:
    with pytest.raises(TemporaryError, match=r"127\.0\.0\.1:\d+ does not answer.*[Rr]efused"):
        deliver(message(), MailServer("127.0.0.1", free_port(), timeout=5))


def test_a_host_that_has_no_address_is_named() -> None:
    with pytest.raises(TemporaryError, match=r"mail\.invalid:25"):
        deliver(message(), MailServer("mail.invalid", 25, timeout=5))


@pytest.mark.parametrize("command", ["MAIL", "team@example.com", "DATA"])
def test_a_server_that_is_too_slow_may_pass(start: Start, command: str) -> None:
    server = replace(start(Postmaster(slow=command)), timeout=0.2)

    with pytest.raises(TemporaryError, match=r"does not answer within 0\.2 s"):
        deliver(message(), server)


def test_a_port_that_accepts_and_says_nothing_may_pass() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        server = MailServer("127.0.0.1", silent.getsockname()[1], timeout=0.2)
        with pytest.raises(TemporaryError, match=r"does not answer within 0\.2 s"):
            deliver(message(), server)


def test_a_port_that_hangs_up_during_the_handshake_may_pass() -> None:
    """As a load balancer does while the mail server behind it starts."""

    def hang_up() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(1 << 16)  # or the system would reset the connection, which is another error

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(TemporaryError, match="does not answer"):
            deliver(message(), MailServer("127.0.0.1", listening.getsockname()[1], timeout=30, ssl=True))
        thread.join()


@pytest.mark.parametrize("command", ["MAIL", "team@example.com", "DATA"])
def test_what_is_no_reply_of_smtp_is_no_delivery(start: Start, command: str) -> None:
    with pytest.raises(TemporaryError, match=r"refused .*: -1"):
        deliver(message(), start(Postmaster({command: "garbage"})))


def test_a_connection_cut_while_the_mail_travels_may_pass(start: Start) -> None:
    with pytest.raises(TemporaryError, match="does not answer"):
        deliver(message(), start(Postmaster({"DATA": "hang up"})))


def test_a_connection_cut_after_the_mail_was_accepted_is_a_success(start: Start) -> None:
    postmaster = Postmaster({"QUIT": "hang up"})

    deliver(message(), start(postmaster))

    assert len(postmaster.kept) == 1


def login(password: str) -> Callable[..., AuthResult]:
    return lambda _server, _session, _envelope, _mechanism, data: AuthResult(
        success=data.password == password.encode(), handled=False
    )


WITHOUT_TLS = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")


@WITHOUT_TLS
def test_a_right_login_is_let_in_and_a_wrong_one_fails_without_showing_its_password(start: Start) -> None:
    postmaster = Postmaster()
    server = start(postmaster, authenticator=login("right"), auth_require_tls=False, auth_required=True)

    deliver(message(), replace(server, username="robot", password="right"))
    assert len(postmaster.kept) == 1

    with pytest.raises(ConfigurationError, match="refused the login: 535") as caught:
        deliver(message(), replace(server, username="robot", password="canary-secret"))
    assert "canary-secret" not in f"{caught.value!r} {caught.value}"


@WITHOUT_TLS
def test_a_server_that_wants_a_login_that_was_not_given_is_a_matter_of_configuration(start: Start) -> None:
    server = start(Postmaster(), authenticator=login("right"), auth_require_tls=False, auth_required=True)

    with pytest.raises(ConfigurationError, match="530"):
        deliver(message(), server)


def test_starttls_that_the_server_does_not_offer_is_not_silently_left_out(start: Start) -> None:
    postmaster = Postmaster()

    with pytest.raises(ConfigurationError, match="STARTTLS"):
        deliver(message(), replace(start(postmaster), starttls=True))

    assert not postmaster.kept


def test_tls_is_not_spoken_with_a_server_that_has_none(start: Start) -> None:
    with pytest.raises(ConfigurationError, match="no TLS"):
        deliver(message(), replace(start(Postmaster()), ssl=True))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificate and key for 127.0.0.1, signed by nobody else."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(hours=1), now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_starttls_with_a_trusted_certificate_delivers(
    start: Start, tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    postmaster = Postmaster()

    deliver(message(), replace(start(postmaster, tls_context=tls, require_starttls=True), starttls=True))

    assert len(postmaster.kept) == 1


def test_a_certificate_that_nobody_vouches_for_ends_the_conversation(start: Start, tls: ssl.SSLContext) -> None:
    postmaster = Postmaster()

    with pytest.raises(ConfigurationError, match=r"no TLS.*certificate verify failed"):
        deliver(message(), replace(start(postmaster, tls_context=tls), starttls=True))

    assert not postmaster.kept
