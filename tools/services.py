"""Airflow's long-running parts on a laptop: API server with the UI, scheduler, DAG processor.

Like `airflow standalone`, with three differences: everything listens on 127.0.0.1 alone (the log servers of standalone
listen everywhere), the parts outlive the terminal, and stopping ends all their children. No triggerer: nothing defers.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from localcloud.processes import ProcessId, wait_until
from tools.laptop import Laptop

PARTS = {
    "api-server": ("api-server", "--workers", "1", "--host", "127.0.0.1", "--port", "{port}"),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
}
PREFERRED_PORT = 8080
START_SECONDS = 420.0
STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Services:
    """What was started in one Airflow home, as its `services.json` remembers it."""

    port: int
    parts: dict[str, ProcessId]

    @property
    def url(self) -> str:
        """Where the UI is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Whether every part's process is alive."""
        return bool(self.parts) and all(part.is_alive() for part in self.parts.values())

    def stop(self) -> None:
        """End every part and all that it started. Returns when they are gone.

        The API server goes last: until then, a task that is about to end can still say so. The scheduler would wait for
        its tasks without limit; a task that is cut short here is taken up again at the next start.
        """
        for name in reversed(PARTS):
            self.parts[name].terminate(STOP_SECONDS)
            self.kill(name)

    def kill(self, name: str) -> None:
        """End a part without warning, with its workers and their tasks, as the loss of its host would.

        Each part leads a session of its own, and each task in it a process group of its own.
        """
        part = self.parts[name]
        if _was_given_away(part):
            return
        for pid in psutil.pids():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if os.getsid(pid) == part.pid:
                    os.kill(pid, signal.SIGKILL)


def start(laptop: Laptop, **environment: str) -> Services:
    """Start what does not run yet; returns once the UI answers and scheduler and DAG processor are healthy.

    Raises:
        SystemExit: a part ended or did not become healthy; everything that runs is stopped.
    """
    known = read(laptop.home)
    if known and known.running:
        return known
    laptop.migrate()
    alive = {name: part for name, part in known.parts.items() if part.is_alive()} if known else {}
    if known:
        for name in known.parts.keys() - alive.keys():
            known.kill(name)  # what it left behind
    port = known.port if known and "api-server" in alive else _free_port(known.port if known else PREFERRED_PORT)
    url = f"http://127.0.0.1:{port}"
    variables = laptop.environment(
        AIRFLOW__API__BASE_URL=url,
        AIRFLOW__CORE__EXECUTION_API_SERVER_URL=f"{url}/execution/",
        MNIST_AIRFLOW_URL=url,
        **environment,
    )
    parts = {name: alive.get(name) or _start_part(laptop, name, port, variables) for name in PARTS}
    services = Services(port, parts)
    (laptop.home / "services.json").write_text(json.dumps(asdict(services)))
    if not wait_until(lambda: not services.running or _healthy(services), START_SECONDS) or not services.running:
        services.stop()
        raise SystemExit(f"error: Airflow did not start{_log_tails(laptop)}")
    return services


def read(home: Path) -> Services | None:
    """What was last started in this home, if anything."""
    try:
        data = json.loads((home / "services.json").read_text())
        return Services(data["port"], {name: ProcessId(**part) for name, part in data["parts"].items()})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _was_given_away(part: ProcessId) -> bool:
    # The kernel does so only when nothing of the part's session is left.
    try:
        return ProcessId.of(part.pid) != part
    except ProcessLookupError:
        return False


def _start_part(laptop: Laptop, name: str, port: int, environment: dict[str, str]) -> ProcessId:
    command = [sys.executable, "-m", "airflow", *(word.format(port=port) for word in PARTS[name])]
    with _log_file(laptop, name).open("ab") as log:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=laptop.home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return ProcessId.of(process.pid)


def _healthy(services: Services) -> bool:
    try:
        with urllib.request.urlopen(f"{services.url}/api/v2/monitor/health", timeout=5) as answer:  # noqa: S310
            health: dict[str, Any] = json.load(answer)
    except (urllib.error.URLError, OSError, ValueError):
        return False
    return all(health[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor"))


def _free_port(preferred: int) -> int:
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise SystemExit("error: no free TCP port on 127.0.0.1")


def _log_file(laptop: Laptop, name: str) -> Path:
    return laptop.home / f"{name}.log"


def _log_tails(laptop: Laptop) -> str:
    tails = []
    for name in PARTS:
        lines = _log_file(laptop, name).read_text(errors="replace").splitlines()[-10:]
        tails.append("\n".join([f"\n--- end of {_log_file(laptop, name)}", *lines]))
    return "".join(tails)
