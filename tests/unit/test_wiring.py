"""What the DAGs share, in a process of its own: importing it reads the environment's settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FAILED = {"task_id": "promote", "map_index": -1, "state": "failed", "duration": 1.25}
OTHER = {"task_id": "train", "map_index": 1, "state": "failed", "duration": None}


def failure_ids(tmp_path: Path, *failures: list[dict[str, Any]]) -> list[str]:
    code = "import json, sys, mnist_wiring; print(json.dumps([*map(mnist_wiring.failure_id, json.load(sys.stdin))]))"
    environment = {
        "PATH": os.environ["PATH"],
        "AIRFLOW_HOME": str(tmp_path),
        "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}",
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        input=json.dumps(failures),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_failure_has_one_id_at_every_try_to_mail_it_and_another_one_when_the_cleared_run_fails_again(
    tmp_path: Path,
) -> None:
    both, turned, again, less = failure_ids(
        tmp_path, [FAILED, OTHER], [OTHER, FAILED], [FAILED | {"duration": 1.5}, OTHER], [FAILED]
    )

    assert both == turned
    assert len({both, again, less}) == 3
