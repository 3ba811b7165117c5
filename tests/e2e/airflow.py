"""Airflow's long-running parts over a pipeline's cloud, and its REST API as its users call it."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tools import services
from tools.laptop import Laptop
from tools.up import password_file

DAG = "mnist_training"
DEADLINE_SECONDS = 600.0
# SQLite has one writer at a time, and a request may wait for 60 s until it is the one (`Laptop.environment`).
ANSWER_SECONDS = 120.0
# The next 29 February: a suite that runs at two in the morning gets no night that it has not asked for.
NEVER = "0 0 29 2 *"


def eventually(look: Callable[[], Any], what: str, seconds: float = DEADLINE_SECONDS) -> Any:
    """The first true value of `look`; an assertion that names `what` if there is none in time."""
    deadline = time.monotonic() + seconds
    while not (value := look()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.2)
    return value


class Api:
    """Airflow's REST API as its users call it."""

    def __init__(self, url: str, password: str = "", user: str = "admin") -> None:
        self.url, self.token = url, ""
        if password:
            self.token = self.post("/auth/token", {"username": user, "password": password})["access_token"]

    def get(self, path: str) -> Any:
        return self._call("GET", path)

    def post(self, path: str, body: Any) -> Any:
        return self._call("POST", path, body)

    def patch(self, path: str, body: Any) -> Any:
        return self._call("PATCH", path, body)

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(self.url + path, method=method)
        request.add_header("Content-Type", "application/json")
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(request, data, timeout=ANSWER_SECONDS) as answer:
            return json.load(answer)

    def trigger(self, conf: Any, dag_id: str = DAG) -> str:
        """Start a run; returns its id."""
        run = self.post(f"/api/v2/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})
        return str(run["dag_run_id"])

    def await_run(self, run_id: str, dag_id: str = DAG) -> tuple[Any, list[Any]]:
        """The run's end state and its task instances."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}"

        def ended() -> Any:
            run = self.get(path)
            return run if run["state"] in {"success", "failed"} else None

        run = eventually(ended, f"the end of {run_id}")
        return run, self.get(f"{path}/taskInstances")["task_instances"]


@dataclass(frozen=True)
class Airflow:
    """API server, scheduler and DAG processor of one home."""

    laptop: Laptop
    environment: dict[str, str]
    api: Api

    @property
    def passwords(self) -> dict[str, str]:
        """Those that Airflow's simple auth manager has made, by user."""
        return passwords_of(self.laptop)

    def kill(self, part: str) -> None:
        """As the loss of its host would end it."""
        found = services.read(self.laptop.home)
        assert found is not None
        found.kill(part)
        eventually(lambda: not found.parts[part].is_alive(), f"the end of the {part}", 10)

    def start(self) -> None:
        """Start what does not run."""
        services.start(self.laptop, **self.environment)


def passwords_of(laptop: Laptop) -> dict[str, str]:
    """Of the users of this home, once the API server has started."""
    passwords: dict[str, str] = json.loads(password_file(laptop.home).read_text())
    return passwords


@contextmanager
def started(laptop: Laptop, **environment: str) -> Iterator[Airflow]:
    """Airflow with the DAG in its database."""
    running = services.start(laptop, **environment)
    try:
        api = Api(running.url, passwords_of(laptop)["admin"])
        eventually(lambda: any(dag["dag_id"] == DAG for dag in api.get("/api/v2/dags")["dags"]), "the DAG, parsed")
        yield Airflow(laptop, environment, api)
    finally:
        running = services.read(laptop.home) or running
        running.stop()
    assert not running.running


@contextmanager
def switched_on(pipeline: Any, **environment: str) -> Iterator[Airflow]:
    """Airflow over a pipeline's cloud, its DAG out of the pause; without nights unless the environment says when."""
    laptop = Laptop(pipeline.home / ".airflow" / "up", pipeline.laptop.cloud)
    with started(laptop, **{"MNIST_SCHEDULE": NEVER} | environment) as running:
        running.api.patch(f"/api/v2/dags/{DAG}", {"is_paused": False})
        yield running


def states(tasks: list[Any]) -> dict[tuple[str, int], str]:
    """By step and map index."""
    return {(task["task_id"], task["map_index"]): task["state"] for task in tasks}
