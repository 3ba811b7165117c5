"""One try of the step `train`, in a process that can be killed as a worker can.

The operator is the real one. Of Airflow, only what calls it stands here: a context, and a task state that outlives the
process as Airflow's database does.
"""

from __future__ import annotations

import json
import multiprocessing
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

from mnist_tasks import ecs
from mnist_tasks.config import TrainingJob

ROOT = Path(__file__).resolve().parents[1]
Operator = Literal["ours", "stock"]

# Processes are forked off a server that has imported what a worker imports, but has no threads and no connections.
_WORKERS = multiprocessing.get_context("forkserver")
_WORKERS.set_forkserver_preload(["tests.tries", "airflow.providers.amazon.aws.operators.ecs", "pydantic"])


@dataclass(frozen=True)
class FileState:
    """Airflow's `task_state_store`, in a file."""

    path: Path

    def get(self, key: str, default: Any = None) -> Any:
        return self._read().get(key, default)

    def set(self, key: str, value: Any) -> None:
        self._write(self._read() | {key: value})

    def delete(self, key: str) -> None:
        self._write({name: value for name, value in self._read().items() if name != key})

    def _read(self) -> dict[str, Any]:
        return json.loads(self.path.read_text()) if self.path.exists() else {}

    def _write(self, values: Mapping[str, Any]) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(values))
        fresh.replace(self.path)


@dataclass(frozen=True)
class Try:
    """A try as Airflow makes it. `fault` is called in its process before the operator runs."""

    operator: Operator
    request: Mapping[str, Any]
    folder: Path
    number: int = 1
    max_tries: int = 2
    fault: Callable[[], None] | None = None

    def start(self) -> multiprocessing.process.BaseProcess:
        """In a process of its own, which the caller may kill."""
        self._outcome.unlink(missing_ok=True)
        process = _WORKERS.Process(target=self._execute)
        process.start()
        return process

    def run(self) -> dict[str, Any]:
        """To its end; the outcome has `error` and `message`, None on success."""
        process = self.start()
        process.join(300)
        assert process.exitcode is not None, "the try did not end within five minutes"
        return self.outcome()

    def outcome(self) -> dict[str, Any]:
        """What became of it."""
        outcome: dict[str, Any] = json.loads(self._outcome.read_text())
        return outcome

    @property
    def state(self) -> FileState:
        """What a later try finds."""
        return FileState(self.folder / "state.json")

    @property
    def _outcome(self) -> Path:
        return self.folder / "outcome.json"

    def _execute(self) -> None:
        outcome: dict[str, Any] = {"error": None, "message": ""}
        if self.fault:
            self.fault()
        operator = _make(self.operator, self.request)
        # As Airflow's task runner does: it calls `on_kill`, and lets the step end by itself.
        signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            _execute(operator, self._context(operator))
        except BaseException as error:  # noqa: BLE001 - also a KeyboardInterrupt is an outcome
            outcome = {"error": type(error).__name__, "message": str(error)}
        self._outcome.write_text(json.dumps(outcome))

    def _context(self, task: Any) -> dict[str, Any]:
        ti = SimpleNamespace(
            dag_id="mnist_training",
            task_id="train",
            run_id="a-run",
            map_index=0,
            try_number=self.number,
            max_tries=self.max_tries,
            stats_tags={},
        )
        return {"ti": ti, "task": task, "task_state_store": self.state}


def _make(kind: Operator, request: Mapping[str, Any]) -> Any:
    sys.path.append(str(ROOT / "plugins"))
    from datetime import timedelta

    common = {
        "task_id": "train",
        "awslogs_fetch_interval": timedelta(seconds=0.1),
        "waiter_delay": 0.1,
        "do_xcom_push": False,
        **request,
    }
    if kind == "stock":
        job = TrainingJob.checked(common.pop("job"), mend="")
        common |= ecs.request(job, common["container_name"])
        from airflow.providers.amazon.aws.operators.ecs import EcsRunTaskOperator

        return EcsRunTaskOperator(launch_type="FARGATE", reattach=True, **common)
    from mnist_ecs import EcsWorkOperator
    from mnist_tasks.definitions.mnist import MNIST
    from mnist_wiring import training

    return EcsWorkOperator(capacity="FARGATE_SPOT", work=partial(training, MNIST), **common)


def _execute(operator: Any, context: dict[str, Any]) -> None:
    from airflow.sdk.bases.operator import ExecutorSafeguard

    ExecutorSafeguard.tracker.set(operator)
    operator.execute(context)


# Faults: what happens to a try's AWS calls. They go in where botocore hands a request to the network.


@dataclass(frozen=True)
class Fail:
    """The first `times` calls of an operation are answered with an error."""

    operation: str
    code: str
    status: int = 400
    times: int = 10**9

    def __call__(self) -> None:
        answer = {"__type": self.code, "message": "the test wants it"}
        _answer(self.operation, answer, status=self.status, times=self.times)


@dataclass(frozen=True)
class Unknown:
    """The first `times` looks at a task find none: ECS does not know it yet."""

    times: int

    def __call__(self) -> None:
        _answer("DescribeTasks", {"tasks": [], "failures": [{"reason": "MISSING"}]}, status=200, times=self.times)


@dataclass(frozen=True)
class RefuseCheckpoints:
    """S3 refuses to show any checkpoint."""

    def __call__(self) -> None:
        def refuse(request: Any, send: Callable[[Any], Any]) -> Any:
            return _response(request, 403) if "/checkpoints/" in request.url else send(request)

        _intercept(refuse)


@dataclass(frozen=True)
class Forget:
    """Airflow cannot be told what belongs under this key of the task state."""

    key: str

    def __call__(self) -> None:
        keep = FileState.set

        def refuse(state: FileState, key: str, value: Any) -> None:
            if key == self.key:
                raise ConnectionError("the test wants it")
            keep(state, key, value)

        FileState.set = refuse  # type: ignore[method-assign]


@dataclass(frozen=True)
class KillAfter:
    """The process gets a signal when an operation has taken effect, before its answer arrives."""

    operation: str
    by: signal.Signals = signal.SIGKILL

    def __call__(self) -> None:
        import os

        def die(request: Any, send: Callable[[Any], Any]) -> Any:
            response = send(request)
            if _is(request, self.operation):
                os.kill(os.getpid(), self.by)
            return response

        _intercept(die)


@dataclass(frozen=True)
class CallOff:
    """Airflow ends the step (SIGTERM) when an operation is about to be called for the first time."""

    operation: str

    def __call__(self) -> None:
        import os

        left = iter(range(1))

        def call_off(request: Any, send: Callable[[Any], Any]) -> Any:
            if _is(request, self.operation) and next(left, None) is not None:
                os.kill(os.getpid(), signal.SIGTERM)
            return send(request)

        _intercept(call_off)


@dataclass(frozen=True)
class Interrupt:
    """The process gets a SIGINT at the first call of an operation after a file is there."""

    operation: str
    after: Path

    def __call__(self) -> None:
        left = iter([True])

        def interrupt(request: Any, send: Callable[[Any], Any]) -> Any:
            if _is(request, self.operation) and self.after.exists() and next(left, False):
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            return send(request)

        _intercept(interrupt)


def _is(request: Any, operation: str) -> bool:
    target = request.headers.get("X-Amz-Target", b"")
    return bool((target.decode() if isinstance(target, bytes) else target).endswith(f".{operation}"))


def _answer(operation: str, answer: Mapping[str, Any], *, status: int, times: int) -> None:
    left = iter(range(times))

    def handle(request: Any, send: Callable[[Any], Any]) -> Any:
        if not _is(request, operation) or next(left, None) is None:
            return send(request)
        return _response(request, status, json.dumps(answer).encode())

    _intercept(handle)


def _response(request: Any, status: int, body: bytes = b"") -> Any:
    from botocore.awsrequest import AWSResponse

    response = AWSResponse(request.url, status, {}, None)
    response._content = body  # type: ignore[attr-defined]
    return response


def _intercept(handle: Callable[[Any, Callable[[Any], Any]], Any]) -> None:
    from botocore.httpsession import URLLib3Session

    send = URLLib3Session.send
    URLLib3Session.send = lambda session, request: handle(request, lambda r: send(session, r))
