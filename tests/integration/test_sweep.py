"""A sample of `make sweep`: one point for each kind of call and each kind of fault, in real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.container import ROOT
from tests.sweep.faults import KILLS, S3_READ_FAULTS, SMTP_COMMANDS, SMTP_FAULTS

OPERATIONS = {
    "airflow.CreateHITLDetail",
    "airflow.SetTaskState",
    "ecs.DescribeTasks",
    "ecs.RunTask",
    "kms.Decrypt",
    "kms.GenerateDataKey",
    "kms.GetPublicKey",
    "kms.Sign",
    "logs.GetLogEvents",
    "s3.DeleteObject",
    "s3.GetObject",
    "s3.HeadBucket",
    "s3.HeadObject",
    "s3.ListObjectsV2",
    "s3.PutObject",
    *(f"smtp.{command}" for command in SMTP_COMMANDS),
}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, mnist_file: bytes) -> dict[str, Any]:
    """What the sweep reports. `mnist_file` sees to it that the data set is at hand."""
    output = tmp_path_factory.mktemp("sweep") / "sweep.json"
    command = [sys.executable, "-m", "tests.sweep", "--sample", "--output", str(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=1700)
    assert output.exists(), done.stderr[-3000:]
    return json.loads(output.read_text()) | {"status": done.returncode, "said": done.stdout}


def test_whatever_strikes_a_call_the_step_ends_in_the_same_state(swept: dict[str, Any]) -> None:
    bad = [entry for entry in swept["details"] if entry["verdict"] not in {"same", "repeated_mail_same_message_id"}]

    assert bad == []
    assert swept["points"] == swept["same"] + swept["repeated_mail_same_message_id"]
    assert (swept["doubled"], swept["lost"], swept["status"]) == (0, 0, 0), swept["said"]


def test_only_a_mail_whose_acceptance_nobody_heard_of_is_sent_again_under_the_same_message_id(
    swept: dict[str, Any],
) -> None:
    repeated = {
        tuple(entry["point"].split(" | ")[2:])
        for entry in swept["details"]
        if entry["verdict"] == "repeated_mail_same_message_id"
    }

    after_the_content = {("smtp.data 1", "killed-after"), ("smtp.data 1", "unanswered")}
    assert after_the_content <= repeated
    assert {call for call, _ in repeated} <= {"smtp.data 1", "smtp.quit 1"}


def test_the_sample_has_every_kind_of_call_and_of_fault_in_both_processes(swept: dict[str, Any]) -> None:
    points = [entry["point"].split(" | ") for entry in swept["details"]]

    assert {call.split()[0] for _, _, call, _ in points} == OPERATIONS
    assert {kind for _, _, _, kind in points} == {*S3_READ_FAULTS, *SMTP_FAULTS, *KILLS}
    assert {process for _, process, _, _ in points} == {"worker", "container"}
