"""`make compose-up`, `make compose-down`: docker-compose.yaml on the engine that this machine's `docker` talks to."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tools.environment import ROOT

# Containers of localcloud/runtime/sibling.py; a killed one-machine cloud leaves them, and their network could not go.
TASKS = "network=mnist_tasks"
_SOCKET = "unix://"


def compose(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`docker compose ...` in the checkout; its output is captured."""
    return subprocess.run(
        ["docker", "compose", *words],
        cwd=ROOT,
        env={**os.environ, **socket(), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def socket() -> dict[str, str]:
    """Where the engine's socket is, for the one-machine cloud that mounts it."""
    host = os.environ.get("DOCKER_HOST", "")
    return {"DOCKER_SOCKET": host.removeprefix(_SOCKET)} if host.startswith(_SOCKET) else {}


def remove_tasks() -> None:
    """Remove containers of tasks whose cloud is gone."""
    found = subprocess.run(
        ["docker", "ps", "--all", "--quiet", "--filter", TASKS], capture_output=True, text=True, check=True
    )
    if left := found.stdout.split():
        subprocess.run(["docker", "rm", "--force", *left], capture_output=True, check=True)


def up(**environment: str) -> None:
    """Start everything; returns when the UI works. Raises SystemExit with the words of `docker compose`."""
    done = compose("up", "--wait", "--quiet-pull", **environment)
    if done.returncode:
        logs = compose("logs", "--tail", "20", **environment).stdout
        raise SystemExit(f"error: docker compose up failed:\n{done.stderr[-3000:]}\n{logs[-6000:]}")


def down(*options: str, **environment: str) -> None:
    """Stop everything; `--volumes` forgets all data as well."""
    compose("stop", "scheduler", "localcloud", **environment)
    remove_tasks()
    done = compose("down", "--remove-orphans", *options, **environment)
    if done.returncode:
        raise SystemExit(f"error: docker compose down failed:\n{done.stderr[-3000:]}")


def password(**environment: str) -> str:
    """The password of the UI's user `admin`."""
    answer = compose("exec", "-T", "api-server", "cat", "/secrets/ui/passwords.json", **environment)
    return str(json.loads(answer.stdout)["admin"])


def main() -> None:
    """Run `up` or `down`."""
    if sys.argv[1:] == ["up"]:
        up()
        print(f"Airflow:   http://127.0.0.1:{os.environ.get('MNIST_UI_PORT', '8080')}")
        print("user:      admin")
        print("password:  docker compose exec api-server cat /secrets/ui/passwords.json")
        print("mails:     docker compose exec localcloud ls /var/lib/localcloud/mail/new")
    else:
        down(*sys.argv[2:])


if __name__ == "__main__":
    main()
