"""Containers in a real Docker engine: siblings of the container, or children of the host, that this process runs on."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from typing import IO, Any

from localcloud.errors import LocalCloudError
from localcloud.images import Image
from localcloud.runtime.container import ContainerSpec, NotFoundError

HOME_LABEL = "localcloud.home"
# Docker's own values, https://docs.docker.com/reference/api/engine/version/v1.44/#tag/Container/operation/ContainerCreate
_NANO = 1_000_000_000


class SiblingContainers:
    """Runs images that the engine has; none is pulled, since a typing error must not fetch a stranger's code."""

    def __init__(self, url: str, network: str, home: str) -> None:
        """`network` is where the containers reach AWS; `home` marks them as those of one local account.

        Raises:
            LocalCloudError: no engine answers at `url`.
        """
        import docker

        self._errors = docker.errors
        self._network = network
        self._labels = {HOME_LABEL: home}
        try:
            # No time limit: following a log and waiting for an exit take as long as the container.
            self._api = docker.APIClient(base_url=url, version="auto", timeout=None)
        except (docker.errors.DockerException, OSError) as error:
            raise LocalCloudError(f"no Docker engine answers at {url}: {error}") from error

    def image(self, name: str) -> Image:
        """Raises NotFoundError, in Docker's words, for an image that the engine does not have."""
        try:
            config = self._api.inspect_image(name)["Config"]
        except self._errors.ImageNotFound:
            raise NotFoundError(f"No such image: {name}") from None
        # Not the environment: the engine adds it by itself.
        return Image(
            entrypoint=tuple(config.get("Entrypoint") or ()),
            command=tuple(config.get("Cmd") or ()),
            working_dir=config.get("WorkingDir") or None,
        )

    def run(self, identity: str, spec: ContainerSpec) -> SiblingContainer:
        """Create, attach, start, so that no line is lost. Raises OSError when its command cannot be executed."""
        try:
            created = self._create(identity, spec)
        except self._errors.APIError as error:
            raise OSError(error.explanation) from error
        try:
            output = self._api.attach(created, stream=True, logs=True, demux=True)
            self._api.start(created)
            pid = int(self._api.inspect_container(created)["State"]["Pid"])
        except self._errors.APIError as error:
            self._remove(created)
            raise OSError(error.explanation) from error
        return SiblingContainer(self._api, created, pid, output)

    def clear(self) -> None:
        """Remove every container of this home: those of a killed supervisor went on without it."""
        labels = [f"{name}={value}" for name, value in self._labels.items()]
        for container in self._api.containers(all=True, quiet=True, filters={"label": labels}):
            self._remove(container["Id"])

    def _create(self, identity: str, spec: ContainerSpec) -> str:
        limits = spec.limits
        host = self._api.create_host_config(
            network_mode=self._network,
            mem_limit=f"{limits.memory_mb}m" if limits.memory_mb else None,
            nano_cpus=int(limits.cpus * _NANO) if limits.cpus else None,
            read_only=limits.read_only,
            tmpfs=dict.fromkeys(limits.writable, ""),
            security_opt=["no-new-privileges"],
        )
        created: str = self._api.create_container(
            spec.image,
            name=f"localcloud-{identity[:12]}-{spec.name}",
            entrypoint=list(spec.argv[:1]),
            command=list(spec.argv[1:]),
            environment=dict(spec.environment),
            working_dir=spec.working_dir,
            labels={**spec.labels, **self._labels},
            host_config=host,
        )["Id"]
        return created

    def _remove(self, container: str) -> None:
        with contextlib.suppress(self._errors.APIError):
            self._api.remove_container(container, v=True, force=True)


class SiblingContainer:
    """One container of the engine."""

    def __init__(self, api: Any, identity: str, pid: int, output: Iterator[tuple[bytes | None, bytes | None]]) -> None:
        self._api = api
        self._id = identity
        self.pid = pid
        (stdout, out), (stderr, err) = _pipe(), _pipe()
        self.outputs: tuple[IO[bytes] | None, IO[bytes] | None] = (stdout, stderr)
        self._copy = threading.Thread(target=_copy, args=(output, out, err), name=f"attached-{pid}", daemon=True)
        self._copy.start()

    def wait(self) -> int:
        """The exit code as the engine gives it; the container is removed then, since its output is here."""
        code = int(self._api.wait(self._id, timeout=None)["StatusCode"])
        self._copy.join()
        self.discard()
        return code

    def kill(self, number: signal.Signals) -> None:
        """Signal its first process; SIGKILL ends all of them."""
        # It may have ended meanwhile.
        with contextlib.suppress(OSError):
            self._api.kill(self._id, number.name)

    def discard(self) -> None:
        """Remove it from the engine."""
        with contextlib.suppress(OSError):
            self._api.remove_container(self._id, v=True, force=True)


def _pipe() -> tuple[IO[bytes], IO[bytes]]:
    reader, writer = os.pipe()
    return os.fdopen(reader, "rb"), os.fdopen(writer, "wb", buffering=0)


def _copy(output: Iterable[tuple[bytes | None, bytes | None]], out: IO[bytes], err: IO[bytes]) -> None:
    with out, err:
        for stdout, stderr in output:
            out.write(stdout or b"")
            err.write(stderr or b"")
