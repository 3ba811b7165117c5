"""Containers as child processes of this one: a process group each, with a folder of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from localcloud.images import Image
from localcloud.processes import die_with_parent
from localcloud.runtime.container import ContainerSpec, NotFoundError

# The kernel signals such children when the *thread* that started them ends; this one lasts as long as the process.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawn")


class ChildProcesses:
    """Runs an image's command line by the host's own interpreter. Limits and a read-only root it cannot honour."""

    def __init__(self, images: Mapping[str, Image], folder: Path) -> None:
        """`folder` holds the containers' own folders."""
        self._images = images
        self._folder = folder

    def image(self, name: str) -> Image:
        """Raises NotFoundError, in Docker's words, for a name that the table does not have."""
        try:
            return self._images[name]
        except KeyError:
            raise NotFoundError(f"No such image: {name}") from None

    def run(self, identity: str, spec: ContainerSpec) -> ChildProcess:
        """Start it. Raises OSError when its command cannot be executed."""
        folder = self._folder / identity[:12]
        folder.mkdir(mode=0o700, parents=True)
        try:
            return ChildProcess(_spawner.submit(_spawn, spec, folder).result(), folder)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def clear(self) -> None:
        """Delete what containers of an earlier start have left; the kernel has ended their processes."""
        shutil.rmtree(self._folder, ignore_errors=True)


class ChildProcess:
    """One container's process group."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self._process = process
        self._folder = folder
        self.pid = process.pid
        self.outputs: tuple[IO[bytes] | None, IO[bytes] | None] = (process.stdout, process.stderr)

    def wait(self) -> int:
        """The exit code, 128+n when signal n ended it; nothing of the container is left running then."""
        returncode = self._process.wait()
        # A container ends with its first process; stragglers would also keep the pipes open.
        self.kill(signal.SIGKILL)
        return 128 - returncode if returncode < 0 else returncode

    def kill(self, number: signal.Signals) -> None:
        """Signal every process of the container."""
        # PermissionError is macOS's answer for a group that holds nothing but zombies.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def discard(self) -> None:
        """Delete what the container wrote."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _spawn(spec: ContainerSpec, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - running what it is told to is a container runtime's purpose
        spec.argv,
        cwd=spec.working_dir or folder,
        env={"HOME": str(folder), "TMPDIR": str(folder), **spec.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - one prctl call, no locks taken
    )
