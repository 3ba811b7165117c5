"""What the promoter takes from whoever starts it: a job, a few variables, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mnist_tasks.config import PromotionJob
from mnist_tasks.errors import ConfigurationError
from mnist_tasks.promotion.surroundings import admitted

ROOT = Path(__file__).resolve().parents[2]
PROMOTE = {
    "MNIST_BUCKET": "the-bucket",
    "MNIST_CHECKPOINTS_PREFIX": "checkpoints",
    "MNIST_RUN": "a-run",
    "MNIST_CLASSIFIER": "mnist",
}
BACK = {"MNIST_TO": "mnist_model_20261124_020005_final", "MNIST_REASON": "the field says so"}


ABOUT = {"MNIST_ANSWERED_MANIFEST": "ab" * 32}
APPROVED = ABOUT | {"MNIST_ANSWER": "approved", "MNIST_ANSWERED_BY": "Ada Lovelace <ada@example.com>"}
UNANSWERED = ABOUT | {"MNIST_ANSWER": "unanswered"}


def test_what_is_asked_for_survives_the_way_through_the_environment() -> None:
    for action, environment in (
        ("promote", PROMOTE),
        ("promote", PROMOTE | APPROVED),
        ("promote", PROMOTE | UNANSWERED),
        ("rollback", PROMOTE | BACK),
    ):
        job = PromotionJob.from_container([action], environment)

        assert (job.action, job.to_environment(), job.arguments) == (action, environment, (action,))


@pytest.mark.parametrize(
    "arguments",
    [[], ["promote", "rollback"], ["train"], ["-m"], ["--help"], ["PROMOTE"], ["promote\n"], ["-c", "import os"]],
)
def test_any_other_argument_is_refused(arguments: list[str]) -> None:
    with pytest.raises(ConfigurationError):
        PromotionJob.from_container(arguments, PROMOTE)


@pytest.mark.parametrize(
    ("action", "change"),
    [
        ("promote", BACK),
        ("rollback", {}),
        ("rollback", {"MNIST_TO": BACK["MNIST_TO"]}),
        ("rollback", BACK | {"MNIST_TO": "mnist_model_20261124_020005"}),
        ("rollback", BACK | {"MNIST_TO": "../mnist_model_20261124_020005_final"}),
        ("rollback", BACK | {"MNIST_REASON": "short"}),
        ("rollback", BACK | {"MNIST_REASON": "first line\r\nBcc: somebody@example.com"}),
        ("promote", ABOUT),
        ("promote", {"MNIST_ANSWER": "unanswered"}),
        ("promote", APPROVED | {"MNIST_ANSWERED_MANIFEST": "mnist_model_20261124_020005"}),
        ("promote", ABOUT | {"MNIST_ANSWER": "approved"}),
        ("promote", {"MNIST_ANSWERED_BY": "ada"}),
        ("promote", UNANSWERED | {"MNIST_ANSWERED_BY": "ada"}),
        ("promote", APPROVED | {"MNIST_ANSWER": "yes"}),
        ("promote", APPROVED | {"MNIST_ANSWERED_BY": ""}),
        ("promote", APPROVED | {"MNIST_ANSWERED_BY": "ada\nBcc: somebody@example.com"}),
        ("promote", APPROVED | {"MNIST_ANSWERED_BY": "ada\u202egnihton"}),
        ("promote", APPROVED | {"MNIST_ANSWERED_BY": "a" * 251}),
        ("rollback", BACK | APPROVED),
        ("promote", {"MNIST_RUN": "../other"}),
        ("promote", {"MNIST_RUN": ""}),
        ("promote", {"MNIST_BUCKET": "a/b"}),
    ],
)
def test_a_job_outside_its_bounds_is_refused(action: str, change: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        PromotionJob.from_container([action], PROMOTE | change)


def test_what_is_not_ours_and_not_aws_s_is_dropped() -> None:
    harmless: dict[str, Any] = {
        "HTTPS_PROXY": "http://10.0.0.1",
        "SSL_CERT_FILE": "/tmp/ca",
        "REQUESTS_CA_BUNDLE": "/tmp/ca",
        "PYTHONPATH": "/tmp",
        "LD_PRELOAD": "/tmp/x.so",
        "OPENSSL_CONF": "/tmp/x",
    }
    kept = {**PROMOTE, "PATH": "/usr/bin", "AWS_REGION": "eu-central-1"}

    assert admitted(kept | harmless) == kept


@pytest.mark.parametrize(
    "name",
    [
        "MNIST_THRESHOLD",
        "MNIST_ACTION",
        "AWS_CONFIG_FILE",
        "AWS_PROFILE",
        "AWS_CA_BUNDLE",
        "AWS_ENDPOINT_URL_S3",
        "AWS_X",
    ],
)
def test_an_unknown_variable_of_ours_or_aws_s_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        admitted(PROMOTE | {name: "x"})


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_CONTAINER_CREDENTIALS_FULL_URI"])
@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1",
        "https://s3.example.com",
        "https://127.0.0.1.example.com",
        "https://127.0.0.1@example.com",
        "http://localhost:1",
        "http://[2001:db8::1]/",
        "http://0x7f000001/",
        "",
    ],
)
def test_another_machine_in_aws_s_place_is_refused(name: str, url: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        admitted(PROMOTE | {name: url})


@pytest.mark.parametrize("url", ["http://127.0.0.1:4566", "http://169.254.170.2/v2/credentials/x", "http://[::1]:80"])
def test_this_machine_may_stand_in_for_aws(url: str) -> None:
    assert admitted({"AWS_ENDPOINT_URL": url}) == {"AWS_ENDPOINT_URL": url}


def test_a_classifier_that_the_image_does_not_know_is_refused_before_anything_is_imported_for_it() -> None:
    key = "arn:aws:kms:us-east-1:000000000000:key/a"
    keys = {"MNIST_CHECKPOINT_KEY": key, "MNIST_FINAL_KEY": key, "MNIST_SIGNING_KEY": key}
    run = "runpy.run_module('mnist_tasks.promotion', run_name='__main__', alter_sys=True)"
    code = f"import runpy, sys; sys.path.insert(0, {str(ROOT)!r}); {run}"
    ended = subprocess.run(
        [sys.executable, "-I", "-c", code, "promote"],
        env=PROMOTE | keys | {"AWS_DEFAULT_REGION": "us-east-1", "MNIST_CLASSIFIER": "antigravity"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 2
    assert "there is no classifier 'antigravity', expected one of mnist, " in ended.stdout
