"""All containers of one runtime, found by id, by the beginning of the id, or by name."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from localcloud.images import Image
from localcloud.runtime.container import (
    UNLIMITED,
    UNREAD_OUTPUT_SECONDS,
    Container,
    ContainerSpec,
    Limits,
    NotFoundError,
    Runner,
)


class ConflictError(RuntimeError):
    """The container's name is taken, or its state forbids the request."""


@dataclass(frozen=True)
class CreateRequest:
    """The fields of Docker's ContainerCreate that every runtime can honour; None means: as the image says."""

    name: str
    image: str
    entrypoint: tuple[str, ...] | None
    command: tuple[str, ...] | None
    environment: Mapping[str, str]
    working_dir: str | None
    labels: Mapping[str, str]


@dataclass(frozen=True)
class TaskSettings:
    """What the container's ECS task decides: the whole environment, how long a stop waits for it, and its limits.

    `forwarded`: its output goes to a log.
    """

    environment: Mapping[str, str] = field(repr=False)
    stop_timeout: float | None = None
    limits: Limits = UNLIMITED
    forwarded: bool = False


def _ignore(_spec: ContainerSpec, _exit_code: int) -> None:
    pass


TaskLookup = Callable[[CreateRequest], TaskSettings]


class Engine:
    """Creates, finds, stops and removes containers."""

    def __init__(
        self,
        runner: Runner,
        look_up_task: TaskLookup,
        on_exit: Callable[[ContainerSpec, int], None] = _ignore,
    ) -> None:
        self._runner = runner
        self._look_up_task = look_up_task
        self._on_exit = on_exit
        self._containers: dict[str, Container] = {}
        self._lock = threading.Lock()

    def image(self, name: str) -> Image:
        """Raises NotFoundError, in Docker's words, for an image that is not here."""
        return self._runner.image(name)

    def create(self, request: CreateRequest) -> Container:
        """Register a container. Raises NotFoundError (image), ConflictError (name) or ValueError (no command)."""
        image = self.image(request.image)
        spec = _specify(request, image, self._look_up_task(request))
        identity = secrets.token_hex(32)
        container = Container(identity, spec, self._runner, self._on_exit)
        with self._lock:
            if any(other.spec.name == request.name for other in self._containers.values()):
                raise ConflictError(f'Conflict. The container name "/{request.name}" is already in use')
            self._containers[identity] = container
        return container

    def get(self, reference: str) -> Container:
        """Find by id, name or unambiguous beginning of an id. Raises NotFoundError."""
        matches = [
            container
            for container in self.list()
            if reference in (container.id, container.spec.name) or container.id.startswith(reference)
        ]
        if len(matches) != 1 or not reference:
            raise NotFoundError(f"No such container: {reference}")
        return matches[0]

    def list(self) -> list[Container]:
        """Every container, oldest first."""
        with self._lock:
            return list(self._containers.values())

    def runs(self, label: str, value: str) -> bool:
        """Whether a container with that label has a process, or output that nobody has fetched yet."""
        return any(
            container.spec.labels.get(label) == value and container.status == "running" for container in self.list()
        )

    def stop(self, reference: str, timeout: float) -> None:
        """Stop a container; the stop timeout of its ECS task, when there is one, counts for more than the caller's.

        Returns when its process is gone and its last words were fetched, or nobody came for them: then it is removed.
        """
        container = self.get(reference)
        own = container.spec.stop_timeout
        container.stop(timeout if own is None else own)
        # The emulator sends nobody for the output of a container that was stopped while it started.
        container.log.wait_read(container.patience if container.log.was_followed() else UNREAD_OUTPUT_SECONDS)

    def remove(self, reference: str, *, force: bool) -> None:
        """Forget a container and delete its files. Raises ConflictError for a running one unless forced."""
        container = self.get(reference)
        if container.is_running():
            if not force:
                raise ConflictError(f"You cannot remove a running container {container.id}. Stop it or force remove")
            container.stop(timeout=0)
        with self._lock:
            self._containers.pop(container.id, None)
        container.discard()

    def shut_down(self, grace_seconds: float) -> None:
        """Stop everything that runs, side by side, and remove what is left."""
        running = [container for container in self.list() if container.is_running()]
        with ThreadPoolExecutor(max_workers=max(1, len(running))) as pool:
            list(pool.map(lambda container: container.stop(grace_seconds), running))
        self._runner.clear()


def _specify(request: CreateRequest, image: Image, task: TaskSettings) -> ContainerSpec:
    entrypoint = image.entrypoint if request.entrypoint is None else request.entrypoint
    # Docker drops the image's own command once the entry point is replaced.
    default_command = image.command if request.entrypoint is None else ()
    command = default_command if request.command is None else request.command
    return ContainerSpec(
        name=request.name,
        image=request.image,
        argv=entrypoint + command,
        environment={**image.environment, **task.environment},
        labels=request.labels,
        working_dir=request.working_dir or image.working_dir,
        stop_timeout=task.stop_timeout,
        limits=task.limits,
        forwarded=task.forwarded,
    )
