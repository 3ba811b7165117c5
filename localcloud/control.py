"""Start, stop and look at the one-machine cloud: the part that callers use.

It needs the standard library and botocore only, so it works from the project's environment as well as from the
emulator's; the servers always run in the latter.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from select import select
from typing import Any, TextIO

from localcloud import emulator, ports, stack
from localcloud.aws import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, client_factory
from localcloud.errors import LocalCloudError
from localcloud.front import credentials
from localcloud.home import CHECKOUT, DEFAULT_HOME, Home, State
from localcloud.images import Image, default_images
from localcloud.surroundings import Surroundings

START_SECONDS = 90.0
STOP_SECONDS = 40.0
_LOG_TAIL_LINES = 15
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@dataclass(frozen=True)
class Cloud:
    """A running local account: where it is and how to reach it. `environment` has the administrator's keys."""

    home: Path
    maildir: Path
    environment: Mapping[str, str]

    def as_role(self, role: str) -> dict[str, str]:
        """The environment of a process that acts in a role of the stack: "worker" or "reader".

        The credentials expire and are renewed as on AWS. Whatever else configures AWS on this machine stays outside.
        """
        arn = self.environment[f"MNIST_{role.upper()}_ROLE"]
        own = {name: value for name, value in self.environment.items() if name not in _KEYS}
        secret = credentials.secret_of(Home(self.home).secret)
        found = credentials.environment(secret, self.environment["AWS_ENDPOINT_URL"], arn, role)
        return {**own, **found, "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}

    @property
    def client_arguments(self) -> dict[str, Any]:
        """What `boto3.client` needs besides the service's name to reach this account and no other."""
        return {
            "endpoint_url": self.environment["AWS_ENDPOINT_URL"],
            "region_name": self.environment["AWS_DEFAULT_REGION"],
            "aws_access_key_id": self.environment["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": self.environment["AWS_SECRET_ACCESS_KEY"],
        }


@dataclass(frozen=True)
class Status:
    """Which parts of a home's cloud run; `running` means that all of them answer."""

    home: Path
    running: bool
    parts: Mapping[str, str]


def up(
    home: Path | str = DEFAULT_HOME,
    images: Mapping[str, Image] | None = None,
    surroundings: Surroundings = Surroundings(),  # noqa: B008 - frozen
) -> Cloud:
    """Start the cloud, or what is missing of it, and deploy the template. Safe to call again at any time.

    Args:
        home: the folder of everything that the cloud keeps.
        images: what the container images are; by default `default_images()`. A running cloud that was started with
            others is started anew, and its running tasks are lost. A Docker engine has its own.
        surroundings: where it listens and what runs its containers; the same holds for others.

    Raises:
        LocalCloudError: it does not start, or the template is refused; what this call has started is ended then, as
            it is by every other exception, also where the user interrupts it.
    """
    place = Home(Path(home))
    if surroundings.engine:
        table: Mapping[str, Image] = {}
    else:
        table = default_images() if images is None else images
    configuration = {
        "images": {name: image.to_dict() for name, image in table.items()},
        "surroundings": surroundings.to_dict(),
    }
    with place.lock():
        state = place.read_state()
        if state is not None and state.configuration == configuration and _is_healthy(state):
            return _cloud(place, _deploy(place, state))
        _stop(place, state)
        try:
            return _cloud(place, _deploy(place, _start(place, configuration)))
        except BaseException:
            _stop(place, place.read_state())
            raise


def down(home: Path | str = DEFAULT_HOME) -> None:
    """Stop everything that runs in this home, containers included; its data stays."""
    place = Home(Path(home))
    if not place.root.exists():
        return
    with place.lock():
        _stop(place, place.read_state())


def status(home: Path | str = DEFAULT_HOME) -> Status:
    """What runs, without changing anything."""
    place = Home(Path(home))
    state = place.read_state()
    if state is None:
        return Status(place.root, running=False, parts=dict.fromkeys(("emulator", "runtime", "mail"), "not running"))
    return Status(place.root, _is_healthy(state), _parts(state))


def current(home: Path | str = DEFAULT_HOME) -> Cloud:
    """The cloud that runs in this home. Raises LocalCloudError when none does."""
    place = Home(Path(home))
    state = place.read_state()
    if state is None or not state.outputs or not _is_healthy(state):
        raise LocalCloudError(f"nothing runs in {place.root}: start it with `python -m localcloud up`")
    return _cloud(place, state)


def _parts(state: State) -> dict[str, str]:
    supervisor = f"running, process {state.supervisor.pid}" if state.supervisor.is_alive() else "not running"
    return {
        "emulator": f"{_endpoint(state)}, process {state.emulator.pid}" if state.emulator.is_alive() else "not running",
        "runtime": supervisor,
        "mail": f"127.0.0.1:{state.ports.smtp}" if state.supervisor.is_alive() else "not running",
    }


def _is_healthy(state: State) -> bool:
    return (
        state.supervisor.is_alive()
        and state.emulator.is_alive()
        and emulator.is_healthy(state.ports.aws)
        and ports.is_open(state.ports.smtp)
    )


def _start(place: Home, configuration: Mapping[str, Any]) -> State:
    reader, writer = os.pipe()
    with place.log("supervisor").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - our own module
            [str(_server_python()), "-P", "-m", "localcloud.supervisor", str(place.root), str(writer)],
            env={"PATH": os.defpath, "PYTHONPATH": str(CHECKOUT), "LANG": "C.UTF-8"},
            cwd=place.root,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=(writer,),
            start_new_session=True,
        )
    os.close(writer)
    process.communicate(json.dumps(configuration).encode())
    with os.fdopen(reader) as pipe:
        failure = _await_report(pipe, group=process.pid)
    state = place.read_state()
    if failure or state is None:
        raise LocalCloudError(f"{failure or 'the servers wrote no state.json'}{_log_tail(place)}")
    return state


def _await_report(pipe: TextIO, group: int) -> str | None:
    """None once the supervisor is ready, else why it is not; its process group is ended when it says nothing."""
    answered = False
    try:
        answered = bool(select([pipe], [], [], START_SECONDS)[0])
    finally:
        if not answered:  # also when the user interrupts us
            _kill_group(group)
    if not answered:
        return f"the servers did not become ready within {START_SECONDS:.0f} s"
    line = pipe.readline()
    if not line:
        return "the servers ended while starting"
    error: str | None = json.loads(line)["error"]
    if error:
        # The end of the stream says that everything that had been started is ended.
        pipe.read()
    return error


def _stop(place: Home, state: State | None) -> None:
    if state is None:
        return
    state.supervisor.terminate(STOP_SECONDS)
    # Normally its parent has ended it by now.
    state.emulator.terminate(STOP_SECONDS)
    place.remove_sockets()


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _deploy(place: Home, state: State) -> State:
    client = client_factory(_endpoint(state))
    outputs, changed = stack.deploy(client, stack.TEMPLATE)
    if key := outputs.get(stack.SIGNING_KEY):
        stack.keep_public_key(stack.public_key(client, key), place.public_keys)
    if changed:
        # The emulator writes its state only when it ends: in a crash before that, the objects of S3 would outlive the
        # keys that encrypt them.
        _stop(place, state)
        state = _start(place, state.configuration)
    if outputs != state.outputs:
        state = replace(state, outputs=outputs)
        place.write_state(state)
    return state


def _endpoint(state: State) -> str:
    return f"http://127.0.0.1:{state.ports.aws}"


def _cloud(place: Home, state: State) -> Cloud:
    environment = {
        "AWS_ENDPOINT_URL": _endpoint(state),
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_DEFAULT_REGION": REGION,
        **stack.environment(state.outputs),
        "MNIST_SIGNING_KEYS": str(place.public_keys),
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(state.ports.smtp),
        "MAILDIR": str(place.maildir),
    }
    return Cloud(home=place.root, maildir=place.maildir, environment=environment)


def _server_python() -> Path:
    """The interpreter of the environment that has the servers."""
    own = CHECKOUT / ".venv-cloud" / "bin" / "python"
    chosen = os.environ.get("LOCALCLOUD_SERVER_PYTHON") or (own if own.exists() else sys.executable)
    if not Path(chosen).exists():
        raise LocalCloudError(f"LOCALCLOUD_SERVER_PYTHON={chosen}: there is no such interpreter")
    return Path(chosen)


def _log_tail(place: Home) -> str:
    tails = []
    for part in ("supervisor", "ministack"):
        path = place.log(part)
        lines = path.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:] if path.exists() else []
        if lines:
            tails.append("\n".join([f"\n--- end of {path}", *lines]))
    return "".join(tails)
