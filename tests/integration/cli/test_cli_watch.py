"""Training as it is followed in a terminal: a real process in a pseudo-terminal, while the run goes on."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mnist_tasks import checkpoints
from mnist_tasks.config import TrainingJob
from mnist_tasks.encryption import Encryption
from mnist_tasks.history import Epoch, History, Running
from mnist_tasks.plan import Plan
from mnist_tasks.progress import Progress
from mnist_tasks.storage import Storage, to_json
from tests.candidates import plan_run
from tests.deployment import IDS, LAYOUT, Deployment

ROOT = Path(__file__).resolve().parents[3]
DEADLINE = 60.0


@dataclass
class Terminal:
    """A command in a terminal of 80 columns, and everything that it has written so far."""

    process: subprocess.Popen[bytes]
    descriptor: int
    written: str = field(default="")

    def wait_for(self, pattern: str) -> str:
        """The first match, once it is there; colours and cursor movements are left out."""
        deadline = time.monotonic() + DEADLINE
        while not (match := re.search(pattern, self.text)):
            assert time.monotonic() < deadline, f"no {pattern!r} in {self.text[-2000:]!r}"
            if not self._read():
                raise AssertionError(f"ended without {pattern!r}: {self.text[-2000:]!r}")
        return match.group()

    def end(self) -> int:
        """Its exit status, once it has ended."""
        while self._read():
            pass
        return self.process.wait(DEADLINE)

    @property
    def text(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.written)

    def _read(self) -> bool:
        ready, _, _ = select.select([self.descriptor], [], [], DEADLINE)
        assert ready, "silent for too long"
        try:
            chunk = os.read(self.descriptor, 65536)
        except OSError:  # how Linux says that the other side is closed
            return False
        self.written += chunk.decode(errors="replace")
        return bool(chunk)


@pytest.fixture
def terminal(empty: Deployment, storage: Storage) -> Iterator[object]:
    """`terminal("watch", "latest")` runs a command in a terminal."""
    opened: list[Terminal] = []
    # A shell starts what runs in its background with this signal ignored, which a child would inherit.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def start(*words: str, **environment: str) -> Terminal:
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "mnist_tasks.cli", *words]
        variables = environment_of(empty, storage) | {"TERM": "xterm-256color", "COLUMNS": "80", **environment}
        process = subprocess.Popen(command, env=variables, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        opened.append(Terminal(process, ours))
        return opened[-1]

    yield start
    for one in opened:
        one.process.kill()
        one.process.wait()
        os.close(one.descriptor)
    signal.signal(signal.SIGINT, before)


def environment_of(deployment: Deployment, storage: Storage) -> Mapping[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, **deployment.environment, "MNIST_BUCKET": storage.bucket, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def plan(storage: Storage) -> Plan:
    """A run whose training is about to start."""
    now = datetime.now(UTC)
    return plan_run(storage, LAYOUT, IDS["first"], candidates=2, dataset_sha256="a" * 64, now=now, epochs=4)


def history(epochs: int) -> History:
    # So many seconds that what is left tells how many epochs that are, also when it is shown a minute later.
    figures = {"seconds": 150, "loss": 0.25, "accuracy": 0.9, "validation_loss": 0.2, "validation_accuracy": 0.95}
    return History(
        epochs=tuple(Epoch(epoch=n, **figures) for n in range(1, epochs + 1)), seconds=150 * epochs, peak_memory_mb=1
    )


def tell(storage: Storage, job: TrainingJob, epochs: int) -> None:
    """What the container stores after so many epochs; after none, it is in the middle of the first one."""
    start = (Running(batch=100, images=3200, loss=1.234, accuracy=0.5),)
    told = Progress(job=job, updated=datetime.now(UTC), start=start, history=history(epochs) if epochs else None)
    storage.put(LAYOUT.progress(job.run, job.candidate), to_json(told.model_dump(mode="json")))


def commit(storage: Storage, encryption: Encryption, job: TrainingJob) -> None:
    now = datetime.now(UTC)
    checkpoints.commit(storage, encryption, LAYOUT, job, weights=b"any", history=history(4), parameters=1, now=now)


def test_the_picture_changes_as_training_goes_on_and_ends_when_all_candidates_are_committed(
    terminal, storage: Storage, encryption: Encryption, plan: Plan
) -> None:
    first, second = plan.jobs
    watching = terminal("watch", "latest")

    watching.wait_for("Training has not started yet")
    tell(storage, first, 0)
    watching.wait_for(rf"{first.candidate} .* ~1/4 +1\.234 +50\.0%")
    tell(storage, first, 2)
    watching.wait_for(rf"{first.candidate} .* 2/4 +0\.250 +90\.0% +95\.0% +(5 min 00 s|4 min \d\d s)")
    assert re.search(rf"{second.candidate} .*waiting", watching.text)
    tell(storage, second, 4)
    commit(storage, encryption, second)
    watching.wait_for(rf"{second.candidate} .* 4/4 .*done")
    commit(storage, encryption, first)

    assert watching.end() == 0
    assert "All candidates are committed" in watching.text
    assert "\x1b[" in watching.written
    assert max(map(len, watching.text.splitlines())) <= 80


def test_without_colours_the_picture_moves_all_the_same(
    terminal, storage: Storage, encryption: Encryption, plan: Plan
) -> None:
    watching = terminal("watch", "latest", NO_COLOR="1")

    watching.wait_for("Training has not started yet")
    for job in plan.jobs:
        commit(storage, encryption, job)

    assert watching.end() == 0
    assert not re.search(r"\x1b\[(3|4|9)\d", watching.written)


def test_an_interruption_ends_the_command_and_gives_the_cursor_back(terminal, plan: Plan) -> None:
    watching = terminal("watch", plan.run)
    watching.wait_for("waiting")

    watching.process.send_signal(signal.SIGINT)

    assert watching.end() == 130
    assert watching.written.rindex("\x1b[?25h") > watching.written.rindex("\x1b[?25l")
    assert "Traceback" not in watching.text


def test_a_pipe_gets_a_line_for_each_piece_of_news(
    empty: Deployment, storage: Storage, encryption: Encryption, plan: Plan
) -> None:
    command = [sys.executable, "-m", "mnist_tasks.cli", "watch", "latest"]
    environment = {**environment_of(empty, storage), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        lines = [process.stdout.readline().split() for _ in plan.jobs]
        tell(storage, plan.jobs[0], 2)
        lines.append(process.stdout.readline().split())
        for job in plan.jobs:
            commit(storage, encryption, job)
        lines += [line.split() for line in process.stdout]

    names = [job.candidate for job in plan.jobs]
    assert process.returncode == 0
    assert lines[:2] == [[name, "waiting"] for name in names]
    assert lines[2][:3] == [names[0], "epoch", "2/4"]
    assert sorted(lines[3:]) == [[name, "committed"] for name in names]


def test_with_json_it_waits_in_silence_and_prints_one_document_at_the_end(
    empty: Deployment, storage: Storage, encryption: Encryption, plan: Plan
) -> None:
    for job in plan.jobs:
        commit(storage, encryption, job)
    command = [sys.executable, "-m", "mnist_tasks.cli", "watch", "latest", "--json"]

    done = subprocess.run(command, env=environment_of(empty, storage), capture_output=True, text=True, check=True)

    found = json.loads(done.stdout)
    assert found["run"] == plan.run
    assert [candidate["committed"] for candidate in found["candidates"]] == [True, True]


def test_a_rollback_asks_first_and_no_is_an_answer(terminal, nights: Deployment) -> None:
    bucket = nights.storage.bucket
    words = ("rollback", "--to", "mnist_model_20261127_020000_final", "--reason", "it is wrong in the field")
    access = {"MNIST_AIRFLOW_URL": "http://127.0.0.1:9", "MNIST_AIRFLOW_TOKEN": "t", "MNIST_BUCKET": bucket}
    asking = terminal(*words, **access)

    asking.wait_for(r"Move the champion of .*\?")
    assert "In service: mnist_model_20261124_020000_final" in asking.text
    os.write(asking.descriptor, b"n\n")

    assert asking.end() == 1
    assert "nothing was done" in asking.text
