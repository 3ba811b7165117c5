"""The background process that holds the parts together: they start together and end together.

It runs the front, the container runtime and the mail server in threads and the emulator as its child. Started by `up`,
never by hand: `python -m localcloud.supervisor HOME DESCRIPTOR`, with the configuration as JSON on standard input. It
reports to the descriptor, a pipe: one JSON line, `{"error": null}` when everything is ready.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from localcloud import emulator, mail, ports
from localcloud.aws import ACCOUNT, REGION, client_factory
from localcloud.errors import LocalCloudError
from localcloud.front import credentials
from localcloud.front.calls import Calls
from localcloud.front.ecs import Ecs
from localcloud.front.emulator import EmulatorEcs
from localcloud.front.http import Answer, Head
from localcloud.front.ledger import Ledger
from localcloud.front.proxy import Front
from localcloud.home import Home, Ports, State
from localcloud.images import Image
from localcloud.processes import ProcessId
from localcloud.runtime.child import ChildProcesses
from localcloud.runtime.container import ContainerSpec, Runner
from localcloud.runtime.engine import Engine
from localcloud.runtime.server import DockerServer
from localcloud.runtime.sibling import SiblingContainers
from localcloud.runtime.tasks import NAME_LABEL, TASK_LABEL, EcsTasks
from localcloud.surroundings import Surroundings

CONTAINER_GRACE_SECONDS = 5.0
EMULATOR_GRACE_SECONDS = 20.0
PACKAGES = ("ministack", "docker", "aiosmtpd", "botocore")

_log = logging.getLogger(__name__)


def main() -> None:
    """Detach from whoever started us, then run until SIGTERM or until the emulator ends."""
    home, report = Home(Path(sys.argv[1])), int(sys.argv[2])
    configuration = json.load(sys.stdin)
    # The starter waits for the first process; the second one then belongs to init, so nobody has to reap it.
    if os.fork():
        os._exit(0)
    os.set_inheritable(report, False)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # aiosmtpd reports each connection's every step.
    logging.getLogger("mail.log").setLevel(logging.WARNING)
    stop_requested, stop = os.pipe()
    # A pipe, because a handler must not touch a lock that the interrupted code may hold.
    signal.signal(signal.SIGTERM, lambda _number, _frame: _request_stop(stop))
    with contextlib.ExitStack() as parts:
        try:
            process = _start(home, configuration, parts)
        except LocalCloudError as error:
            # The kernel closes the pipe when this process is gone: that tells the starter that nothing is left running.
            _report(report, str(error))
        else:
            _report(report, None)
            os.close(report)
            threading.Thread(target=_watch, args=(process, stop), name="emulator-watch", daemon=True).start()
            os.read(stop_requested, 1)


def _start(home: Home, configuration: dict[str, Any], parts: contextlib.ExitStack) -> subprocess.Popen[bytes]:
    """Start every part; each one leaves in `parts` how it is ended, in reverse order."""
    _require_packages()
    descriptor = home.claim()
    parts.callback(os.close, descriptor)
    last = home.read_state()
    surroundings = Surroundings.from_dict(configuration["surroundings"])
    listening = surroundings.listening
    chosen = ports.choose(last.ports if last else None, listening)
    _start_mail(home, chosen, listening.address, parts)
    ledger = Ledger(home.tasks)
    engine, socket = _start_runtime(home, chosen, configuration, ledger, parts)
    _start_front(home, chosen, engine, ledger, parts, surroundings=surroundings)
    process = emulator.start(home, chosen, socket)
    parts.callback(_end_emulator, process)
    # Containers go before the emulator, so that their last words and their exit codes still find it.
    parts.callback(engine.shut_down, CONTAINER_GRACE_SECONDS)
    parts.callback(ledger.lose_all)
    emulator.wait_ready(process, chosen)
    home.write_state(
        State(
            supervisor=ProcessId.of(os.getpid()),
            emulator=ProcessId.of(process.pid),
            ports=chosen,
            configuration=configuration,
        )
    )
    return process


def _require_packages() -> None:
    missing = [package for package in PACKAGES if not _is_installed(package)]
    if missing:
        raise LocalCloudError(
            f"{sys.executable} lacks {', '.join(missing)}: install the servers' requirements into it, or name another "
            "interpreter in LOCALCLOUD_SERVER_PYTHON"
        )


def _is_installed(package: str) -> bool:
    # A mere folder of that name (the checkout has a `docker/`) is found as well, but has no origin.
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None


def _start_mail(home: Home, chosen: Ports, address: str, parts: contextlib.ExitStack) -> None:
    controller = mail.start(home.maildir, address, chosen.smtp)
    parts.callback(controller.stop)


def _start_runtime(
    home: Home, chosen: Ports, configuration: dict[str, Any], ledger: Ledger, parts: contextlib.ExitStack
) -> tuple[Engine, Path]:
    surroundings = Surroundings.from_dict(configuration["surroundings"])
    endpoint = (surroundings.engine and surroundings.engine.endpoint) or f"http://127.0.0.1:{chosen.aws}"
    clients = client_factory(f"http://127.0.0.1:{chosen.emulator}")
    find = functools.partial(credentials.environment, credentials.secret_of(home.secret), endpoint)
    tasks = EcsTasks(clients, REGION, endpoint, ledger.await_task, find)
    runner = _runner(home, configuration, surroundings)
    runner.clear()

    def note_exit(container: ContainerSpec, exit_code: int) -> None:
        ledger.note_exit(container.labels.get(TASK_LABEL, ""), container.labels.get(NAME_LABEL, ""), exit_code)

    engine = Engine(runner, tasks.settings, note_exit)
    socket = home.create_sockets() / "docker.sock"
    parts.callback(home.remove_sockets)
    server = DockerServer(socket, engine)
    threading.Thread(target=server.serve_forever, name="docker-api", daemon=True).start()
    parts.callback(server.server_close)
    parts.callback(server.shutdown)
    return engine, socket


def _runner(home: Home, configuration: dict[str, Any], surroundings: Surroundings) -> Runner:
    if surroundings.engine:
        # Not the home's path: that is the same in every container.
        name = hashlib.sha256(credentials.secret_of(home.secret)).hexdigest()[:16]
        return SiblingContainers(surroundings.engine.url, surroundings.engine.network, name)
    images = {name: Image.from_dict(image) for name, image in configuration["images"].items()}
    return ChildProcesses(images, home.containers)


def _start_front(
    home: Home,
    chosen: Ports,
    engine: Engine,
    ledger: Ledger,
    parts: contextlib.ExitStack,
    *,
    surroundings: Surroundings,
) -> None:
    ecs = Ecs(EmulatorEcs(chosen.emulator), ledger, lambda arn: engine.runs(TASK_LABEL, arn))
    clients = client_factory(f"http://127.0.0.1:{chosen.emulator}")
    roles = credentials.Credentials(clients, ACCOUNT, credentials.secret_of(home.secret))

    def pick(head: Head) -> Callable[[bytes], Answer] | None:
        if head.path.startswith(credentials.PREFIX):
            return lambda _body: roles.answer(head)
        return ecs.pick(head)

    note = Calls(home.calls, roles.role_of).note if surroundings.recording else None
    front = Front((surroundings.listening.address, chosen.aws), chosen.emulator, pick, note)
    threading.Thread(target=front.serve_forever, name="front", daemon=True).start()
    parts.callback(front.server_close)
    parts.callback(front.shutdown)


def _end_emulator(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(EMULATOR_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        _log.warning("the emulator did not end within %.0f s: killed", EMULATOR_GRACE_SECONDS)
        process.kill()
        process.wait()


def _watch(process: subprocess.Popen[bytes], stop: int) -> None:
    _log.info("the emulator ended with exit code %d", process.wait())
    _request_stop(stop)


def _request_stop(stop: int) -> None:
    os.write(stop, b".")


def _report(pipe: int, error: str | None) -> None:
    os.write(pipe, json.dumps({"error": error}).encode() + b"\n")


if __name__ == "__main__":
    main()
