"""A recognisable secret in every place that holds one: after a good and a failed run, it is nowhere else.

The third run prints one on purpose: a search that finds nothing has to be one that could.
"""

from __future__ import annotations

import base64
import json
import secrets
import socket
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography.fernet import Fernet

from mnist_tasks.cost import Prices
from mnist_tasks.page import data, render
from mnist_tasks.promotion.chain import Chain
from mnist_tasks.signing import TrustedKeys
from tests.e2e.conftest import DAG, LAYOUT, Outcome, Pipeline

USER = "mnist-mailer"


@dataclass
class Postmaster:
    """A mail server that takes mails from whoever knows the password, and keeps what it was sent."""

    password: str
    kept: list[bytes]

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, mechanism: str, login: Any) -> AuthResult:
        known = mechanism in {"PLAIN", "LOGIN"} and (login.login, login.password) == (
            USER.encode(),
            self.password.encode(),
        )
        return AuthResult(success=known, handled=known)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.kept.append(envelope.content)
        return "250 OK"


@dataclass(frozen=True)
class Planted:
    """The secrets by where they are, the environment that holds them, and the mail server that knows one."""

    secrets: dict[str, str]
    environment: dict[str, str]
    postmaster: Postmaster


@pytest.fixture(scope="module")
def planted(pipeline: Pipeline) -> Iterator[Planted]:
    cloud = pipeline.laptop.cloud.environment
    role = cloud["MNIST_WORKER_ROLE"]
    keys = pipeline.client("sts").assume_role(RoleArn=role, RoleSessionName="canary")["Credentials"]
    found = {
        "password of smtp_default": canary("smtp"),
        "secret key of aws_default": keys["SecretAccessKey"],
        "session token of aws_default": keys["SessionToken"],
        "secret key in the environment": canary("aws-key"),
        "session token in the environment": canary("aws-token"),
        "Fernet key of Airflow": Fernet.generate_key().decode(),
        "JWT secret of Airflow": canary("jwt"),
        "secret key of Airflow's API server": canary("api"),
        "password in the data set's URL": canary("url-password"),
        "signature in the data set's URL": canary("url-signature"),
    }
    assert all(len(secret) >= 20 for secret in found.values())
    postmaster = Postmaster(found["password of smtp_default"], [])
    server = Controller(
        postmaster,
        hostname="127.0.0.1",
        port=free_port(),
        ready_timeout=60,
        authenticator=postmaster.authenticate,
        auth_required=True,
        auth_require_tls=False,
    )
    server.start()
    smtp = {
        "conn_type": "smtp",
        "host": "127.0.0.1",
        "port": server.port,
        "login": USER,
        "password": postmaster.password,
        "extra": {"disable_ssl": True, "disable_tls": True, "timeout": 60},
    }
    aws = {
        "conn_type": "aws",
        "login": keys["AccessKeyId"],
        "password": keys["SecretAccessKey"],
        "extra": {"aws_session_token": keys["SessionToken"], "region_name": cloud["AWS_DEFAULT_REGION"]},
    }
    environment = {
        "AIRFLOW_CONN_SMTP_DEFAULT": json.dumps(smtp),
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(aws),
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": found["secret key in the environment"],
        "AWS_SESSION_TOKEN": found["session token in the environment"],
        "AIRFLOW__CORE__FERNET_KEY": found["Fernet key of Airflow"],
        "AIRFLOW__API_AUTH__JWT_SECRET": found["JWT secret of Airflow"],
        "AIRFLOW__API__SECRET_KEY": found["secret key of Airflow's API server"],
    }
    try:
        yield Planted(found, environment, postmaster)
    finally:
        server.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def canary(name: str) -> str:
    return f"canary-{name}-{secrets.token_hex(12)}"


def everything(pipeline: Pipeline, planted: Planted, outcome: Outcome) -> dict[str, str]:
    """All that a run leaves, and all that anybody is shown of it, by place."""
    found = {"log of the run": outcome.log}
    home = pipeline.laptop.home
    for path in (path for root in (home, pipeline.home / "build") for path in root.rglob("*") if path.is_file()):
        found[str(path.relative_to(pipeline.home))] = path.read_bytes().decode("latin-1")
    with sqlite3.connect(f"file:{home / 'airflow.db'}?mode=ro", uri=True) as database:
        # XComs, rendered templates, the run's conf, audit log, serialized DAGs, and whatever else there is.
        found["Airflow's database"] = "\n".join(database.iterdump())
    for key in pipeline.all_keys():
        found[f"s3: {key}"] = pipeline.storage.get(key).body.decode("latin-1")
    logs = pipeline.client("logs")
    for group in logs.describe_log_groups()["logGroups"]:
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"])
        found[f"logs: {group['logGroupName']}"] = "\n".join(e["message"] for page in pages for e in page["events"])
    for number, raw in enumerate(planted.postmaster.kept):
        found[f"mail {number}"] = raw.decode("latin-1") + "\n".join(parts(raw))
    return found | pages_of(pipeline, outcome)


def parts(raw: bytes) -> Iterator[str]:
    """What people read: quoted-printable breaks lines in the middle of words."""
    message = message_from_bytes(raw, policy=policy.default)
    assert isinstance(message, EmailMessage)
    yield str(message.items())
    for part in message.walk():
        if part.get_content_maintype() == "text":
            yield part.get_content()  # type: ignore[attr-defined]


def pages_of(pipeline: Pipeline, outcome: Outcome) -> dict[str, str]:
    keys = TrustedKeys.from_file(pipeline.laptop.cloud.environment["MNIST_SIGNING_KEYS"])
    place = data.Place(Chain(pipeline.storage, LAYOUT, keys), Prices(0.04, 0.004, 0.3))
    run, now = data.AirflowRun(DAG, outcome.run_id, outcome.state), datetime.now(UTC)
    return {
        "page of the run": render.run(data.read_run(place, run, now)),
        "page of all": render.overview(data.read_overview(place, [run], [], now)),
    }


def leaks(planted: Planted, places: dict[str, str]) -> dict[str, list[str]]:
    """Where each secret was found, in the clear or as HTTP and SMTP would carry it."""
    forms = {
        name: (secret, base64.b64encode(secret.encode()).decode().rstrip("="))
        for name, secret in planted.secrets.items()
    }
    found = {
        name: [place for place, text in places.items() if any(form in text for form in known)]
        for name, known in forms.items()
    }
    return {name: where for name, where in found.items() if where}


def test_a_good_run_leaves_no_secret_anywhere(pipeline: Pipeline, planted: Planted) -> None:
    outcome = pipeline.run({"candidates": 1}, **planted.environment)

    assert outcome.state == "success", outcome.log[-3000:]
    places = everything(pipeline, planted, outcome)
    assert f"s3: {LAYOUT.run(outcome.slug, 'report.html')}" in places
    assert "mail 0" in places
    assert "Subject: MNIST: promoted" in places["mail 0"]
    assert len(places["Airflow's database"]) > 100_000
    assert outcome.run_id in places["Airflow's database"]
    assert any(place.startswith("logs: ") and "epoch" in text for place, text in places.items())
    assert leaks(planted, places) == {}


def test_a_failed_run_and_its_mail_leave_no_secret_anywhere(
    pipeline: Pipeline, planted: Planted, closed_port: int
) -> None:
    """The data set's address may be a pre-signed one, and is in the error."""
    before = len(planted.postmaster.kept)
    bucket = f"fresh-{secrets.token_hex(16)}"
    pipeline.client("s3").create_bucket(Bucket=bucket)
    cloud = pipeline.laptop.cloud.environment
    root = {"conn_type": "aws", "login": cloud["AWS_ACCESS_KEY_ID"], "password": cloud["AWS_SECRET_ACCESS_KEY"]}
    password, signature = (planted.secrets[f"{what} in the data set's URL"] for what in ("password", "signature"))
    url = f"http://user:{password}@127.0.0.1:{closed_port}/mnist.npz?X-Amz-Signature={signature}"

    outcome = pipeline.run(
        **planted.environment
        | {
            "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(root),  # the worker's role knows no other bucket
            "MNIST_BUCKET": bucket,
            "MNIST_DATASET_URL": url,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": "",
        }
    )

    assert outcome.steps["download"] == ["failed"]
    assert outcome.steps["email_failure"] == ["success"], outcome.log[-3000:]
    places = everything(pipeline, planted, outcome)
    (mail,) = planted.postmaster.kept[before:]
    assert any(f"127.0.0.1:{closed_port}/mnist.npz" in text for text in parts(mail))
    assert leaks(planted, places) == {}


def test_a_secret_that_a_container_prints_is_found_in_log_and_mail(
    pipeline: Pipeline, planted: Planted, task_definition: Any
) -> None:
    """The control. It is a secret that nobody has planted: one of Airflow's own would be masked in Airflow's log."""
    printed = canary("printed")
    code = f"print({printed!r}, flush=True); raise SystemExit(7)"
    definition = task_definition("python:3.11-slim", ["python", "-c", code])

    outcome = pipeline.run({"epochs": 1, "candidates": 1}, **planted.environment, MNIST_TASK_DEFINITION=definition)

    assert outcome.steps["train"] == ["failed"], outcome.log[-3000:]
    control = Planted({"printed": printed}, {}, planted.postmaster)
    found = leaks(control, everything(pipeline, planted, outcome))["printed"]
    newest = f"mail {len(planted.postmaster.kept) - 1}"
    assert {"log of the run", "Airflow's database", "logs: /mnist/containers", newest} <= set(found)
