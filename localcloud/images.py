"""What an image is where containers are processes: a command line, and the environment that it needs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from localcloud.errors import LocalCloudError
from localcloud.home import CHECKOUT

TRAINER_IMAGE = "mnist-trainer:local"
PROMOTER_IMAGE = "mnist-promoter:local"
PYTHON_IMAGE = "python:3.11-slim"
_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class Image:
    """The part of an image's configuration that a process can honour.

    A container's command replaces `command` and is appended to `entrypoint`, as Docker does.
    """

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    working_dir: str | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Image:
        """The inverse of `to_dict`."""
        return cls(
            entrypoint=tuple(data["entrypoint"]),
            command=tuple(data["command"]),
            environment=dict(data["environment"]),
            working_dir=data["working_dir"],
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"entrypoint": list(self.entrypoint), "command": list(self.command)}


def default_images(python: Path | None = None) -> dict[str, Image]:
    """Trainer and promoter, run by the project's own interpreter, and a bare Python for whoever brings a command.

    Args:
        python: the interpreter; by default $LOCALCLOUD_PYTHON, else the checkout's `.venv`.

    Raises:
        LocalCloudError: there is no such interpreter.
    """
    # Not resolved: the symbolic link is what tells Python that it belongs to a virtual environment.
    executable = python or Path(os.environ.get("LOCALCLOUD_PYTHON") or CHECKOUT / ".venv" / "bin" / "python")
    if not executable.exists():
        raise LocalCloudError(
            f"there is no interpreter {executable} for the containers: make the project's environment, or name another "
            "one in LOCALCLOUD_PYTHON"
        )
    executable = executable.absolute()
    base = {"PATH": f"{executable.parent}:{_SYSTEM_PATH}", "LANG": "C.UTF-8"}
    # PYTHONPATH for whoever puts a program of his own in their place; theirs do not look at it.
    ours = {**base, "PYTHONPATH": str(CHECKOUT)}
    return {
        TRAINER_IMAGE: Image(entrypoint=_isolated(executable, "mnist_tasks.training"), environment=ours),
        PROMOTER_IMAGE: Image(entrypoint=_isolated(executable, "mnist_tasks.promotion"), environment=ours),
        PYTHON_IMAGE: Image(command=("python",), environment=base),
    }


def _isolated(executable: Path, module: str) -> tuple[str, ...]:
    """An entry point that runs a module, and that no variable and no argument of a task can make run anything else.

    With `-I`, neither PYTHONPATH nor the working folder leads to the checkout; in an image, the package is installed.
    So this one says where it is, and then does what `python -m` does.
    """
    path, run = (
        f"sys.path.insert(0, {str(CHECKOUT)!r})",
        f"runpy.run_module({module!r}, run_name='__main__', alter_sys=True)",
    )
    return (str(executable), "-I", "-u", "-c", f"import runpy, sys; {path}; {run}")
