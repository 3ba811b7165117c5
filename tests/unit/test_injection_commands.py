"""What came from people and from S3 is one word in commands that are shown to be pasted, and a value in RunTask's."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mnist_tasks.config import PromotionJob
from mnist_tasks.ecs import request
from mnist_tasks.errors import ConfigurationError
from mnist_tasks.report import words
from tests.decided_run import KEPT
from tests.hostile import TEXTS
from tests.jobs import JOB

# Airflow's ids are printable on their way here or not; a command that is pasted has to be either way.
COMMANDS: dict[str, Callable[[str], str]] = {
    "retry": lambda text: words.retry_command(text, text),
    "repeat": lambda text: words.repeat_command(KEPT.plan.model_copy(update={"dag_id": text})),
    "rollback": lambda text: words.rollback_command("mnist_model_20261124_020005_final", text),
}
# No word of a command can have a null.
WORDS = [case for case in TEXTS if case != "a null"]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("case", WORDS)
def test_a_shell_sees_the_text_as_a_word_and_does_nothing_else(command: str, case: str, tmp_path: Path) -> None:
    """A real shell, with a program in Airflow's place that tells its words."""
    program = tmp_path / "airflow"
    program.write_text("#!/bin/sh\nfor word; do printf '%s\\n.\\n' \"$word\"; done\n")
    program.chmod(0o755)
    line = COMMANDS[command](TEXTS[case])

    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    result = subprocess.run(
        ["/bin/sh", "-c", line], env=environment, cwd=tmp_path, capture_output=True, check=True, timeout=60
    )

    assert result.stderr == b""
    harmless = COMMANDS[command]("harmless")
    assert len(shlex.split(line)) == len(shlex.split(harmless))
    assert result.stdout.count(b"\n.\n") == len(shlex.split(harmless)) - 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["airflow"]
    assert not Path("/tmp/hostile").exists()


@pytest.mark.parametrize("case", TEXTS)
def test_a_reason_is_the_value_of_a_variable_and_nothing_else_of_runtasks_overrides(case: str) -> None:
    job = PromotionJob(
        action="rollback",
        bucket="a-bucket",
        checkpoints_prefix="checkpoints",
        run="a-run",
        to="mnist_model_20261124_020005_final",
        reason="the field says so",
    )
    try:
        job = PromotionJob.checked(job.model_dump() | {"reason": f"it is wrong {TEXTS[case]}"}, mend="")
    except ConfigurationError:
        assert not TEXTS[case].isprintable() or len(TEXTS[case]) > 400
        return

    asked = request(job, "promoter")

    (override,) = asked["overrides"].pop("containerOverrides")
    assert asked == {"overrides": {}, "tags": {"mnist-run": "a-run", "mnist-job": "rollback"}}
    assert override.pop("environment")[-1] == {"name": "MNIST_REASON", "value": f"it is wrong {TEXTS[case]}"}
    assert override == {"name": "promoter", "command": ["rollback"]}


def test_a_training_job_carries_no_command_and_no_role() -> None:
    asked = request(JOB, "trainer")

    assert set(asked["overrides"]) == {"containerOverrides"}
    assert set(asked["overrides"]["containerOverrides"][0]) == {"name", "environment"}
    assert json.loads(json.dumps(asked)) == asked
