"""`mnist verify`: with the objects and a public key, and without AWS where the objects were downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.inference import read_weights
from mnist_tasks.storage import sha256_of
from tests.deployment import FIRST_FINAL, LAYOUT, SLUGS, Deployment
from tests.faults import contents
from tests.signatures import SoftwareSigner

OFFLINE = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "MNIST_BUCKET": "no-such-bucket"}


@pytest.fixture(scope="session")
def downloaded(nights: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `aws s3 sync` would leave."""
    folder = tmp_path_factory.mktemp("bucket")
    for key, body in contents(nights.storage).items():
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(body)
    return folder


@pytest.mark.parametrize(("subject", "checks"), [("champion", 4), ("chain", 1), (FIRST_FINAL, 4)])
def test_all_that_was_decided_is_verified_in_s3_and_offline(
    nights: Deployment, downloaded: Path, subject: str, checks: int
) -> None:
    online = nights.mnist("verify", subject, "--json").json
    offline = nights.mnist("verify", subject, "--from", str(downloaded), "--json", **OFFLINE).json

    assert online == offline
    assert online["ok"]
    assert [check["ok"] for check in online["checks"]] == [True] * checks


def test_what_was_checked_is_told_a_line_each(nights: Deployment) -> None:
    told = " ".join(nights.mnist("verify", width=400).out.split())

    assert "ok pointer, signed decision and manifest agree: mnist_model_" in told
    assert "ok weights as it was signed: SHA-256" in told


@pytest.mark.parametrize(
    ("subject", "key"),
    [
        ("champion", LAYOUT.champion),
        ("champion", LAYOUT.decision(5)),
        ("champion", LAYOUT.weights(FIRST_FINAL)),
        ("champion", LAYOUT.metrics(FIRST_FINAL)),
        ("chain", LAYOUT.decision(3)),
        (FIRST_FINAL, LAYOUT.final_decision(FIRST_FINAL)),
        (FIRST_FINAL, LAYOUT.manifest(FIRST_FINAL)),
        (FIRST_FINAL, LAYOUT.run(SLUGS["first"], "plan.json")),
        (FIRST_FINAL, LAYOUT.run(SLUGS["first"], "validation.json")),
    ],
)
def test_whatever_was_changed_in_a_download_is_found_and_named(
    nights: Deployment, downloaded: Path, subject: str, key: str
) -> None:
    original = (downloaded / key).read_bytes()
    (downloaded / key).write_bytes(original.replace(b"a", b"b", 1)[:-2])
    try:
        result = nights.mnist("verify", subject, "--from", str(downloaded), "--json", **OFFLINE)
    finally:
        (downloaded / key).write_bytes(original)

    assert result.status == 5
    assert key in result.out
    assert '"ok": false' in result.out


def test_another_public_key_believes_nothing(nights: Deployment, tmp_path: Path) -> None:
    (tmp_path / "other.pem").write_bytes(SoftwareSigner().pem)
    for subject in ("champion", "chain", FIRST_FINAL):
        result = nights.mnist("verify", subject, "--keys", str(tmp_path / "other.pem"), "--json")
        assert (result.status, "no valid signature" in result.out) == (5, True), subject


@pytest.mark.parametrize(
    ("words", "status", "problem"),
    [
        (("mnist_model_20260101_000000",), 2, "cannot be verified"),
        (("--from", f"{__file__}/nowhere"), 2, "there is no folder"),
        (("--keys", f"{__file__}/nowhere.pem"), 2, "cannot be read from"),
    ],
)
def test_what_cannot_be_verified_is_told(nights: Deployment, words: Any, status: int, problem: str) -> None:
    result = nights.mnist("verify", *words, "--json")
    assert (result.status, problem in result.error["problem"]) == (status, True)


def test_a_final_that_is_not_there_is_not_found_and_no_keys_are_no_answer(nights: Deployment) -> None:
    assert nights.mnist("verify", "--json", MNIST_SIGNING_KEYS="").error["kind"] == "ConfigurationError"
    missing = nights.mnist("verify", "mnist_model_20200101_000000_final", "--json")
    assert missing.status == 5
    assert "nobody vouches for it" in missing.out


def test_a_final_is_exported_as_the_plain_file_that_was_signed_and_never_over_another(
    nights: Deployment, tmp_path: Path
) -> None:
    target = tmp_path / "model.weights.h5"
    done = nights.mnist("export", FIRST_FINAL, "--to", str(target), "--json").json
    again = nights.mnist("export", FIRST_FINAL, "--to", str(target), "--json")

    assert sha256_of(target.read_bytes()) == done["sha256"]
    assert read_weights(target.read_bytes(), MNIST).hidden_kernel.shape == (784, 128)
    assert target.stat().st_mode & 0o777 == 0o600
    assert (again.status, again.error["kind"]) == (2, "ConfigurationError")
    assert nights.mnist("export", FIRST_FINAL, "--to", str(target), "--force", "--json").status == 0
    assert list(tmp_path.iterdir()) == [target]


def test_only_a_final_is_exported(nights: Deployment, tmp_path: Path) -> None:
    candidate = FIRST_FINAL.removesuffix("_final")
    error = nights.mnist("export", candidate, "--to", str(tmp_path / "weights.h5"), "--json").error

    assert (error["exit_status"], error["problem"]) == (2, f"{candidate!r} is no final")
    assert "mnist_model_..._final" in error["mend"]


def test_what_cannot_be_verified_or_decrypted_is_not_exported(nights: Deployment, tmp_path: Path) -> None:
    (tmp_path / "other.pem").write_bytes(SoftwareSigner().pem)
    target = tmp_path / "model.weights.h5"

    refused = nights.mnist(
        "export", FIRST_FINAL, "--to", str(target), "--json", MNIST_SIGNING_KEYS=str(tmp_path / "other.pem")
    )

    assert (refused.status, refused.error["kind"]) == (5, "SignatureRefused")
    assert not target.exists()
