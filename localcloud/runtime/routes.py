"""The Docker Engine API requests that the emulator makes for ECS, and what they do.

Reference: https://docs.docker.com/reference/api/engine/ (version 1.44). Anything else is answered with 404.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any

from localcloud.runtime.container import Container, NotFoundError
from localcloud.runtime.engine import CreateRequest, Engine

API_VERSION = "1.44"
# The name under which the emulator looks for itself, to learn which network its containers share with it.
EMULATOR_HOSTNAME = "localcloud-emulator"

Query = Mapping[str, str]
# A JSON value or, for logs, a stream of frames.
Answer = tuple[HTTPStatus, Any]


def dispatch(engine: Engine, method: str, path: str, query: Query, body: Mapping[str, Any]) -> Answer:
    """Answer one request. Raises NotFoundError, ConflictError or ValueError for what Docker would refuse."""
    for pattern, handler in _ROUTES.items():
        if match := re.fullmatch(pattern, f"{method} {path}"):
            return handler(engine, match.groups()[-1] if match.groups() else "", query, body)
    raise NotFoundError(f"page not found: {method} {path}")


def _ping(_engine: Engine, _reference: str, _query: Query, _body: Mapping[str, Any]) -> Answer:
    return HTTPStatus.OK, "OK"


def _version(_engine: Engine, _reference: str, _query: Query, _body: Mapping[str, Any]) -> Answer:
    return HTTPStatus.OK, {"Version": "localcloud", "ApiVersion": API_VERSION, "MinAPIVersion": "1.24", "Os": "linux"}


def _create(engine: Engine, _reference: str, query: Query, body: Mapping[str, Any]) -> Answer:
    request = CreateRequest(
        name=query.get("name", ""),
        image=body["Image"],
        entrypoint=_words(body.get("Entrypoint")),
        command=_words(body.get("Cmd")),
        environment=dict(item.partition("=")[::2] for item in body.get("Env") or ()),
        working_dir=body.get("WorkingDir") or None,
        labels=body.get("Labels") or {},
    )
    return HTTPStatus.CREATED, {"Id": engine.create(request).id, "Warnings": []}


def _start(engine: Engine, reference: str, _query: Query, _body: Mapping[str, Any]) -> Answer:
    engine.get(reference).start()
    return HTTPStatus.NO_CONTENT, None


def _stop(engine: Engine, reference: str, query: Query, _body: Mapping[str, Any]) -> Answer:
    engine.stop(reference, timeout=float(query.get("t", 10)))
    return HTTPStatus.NO_CONTENT, None


def _wait(engine: Engine, reference: str, _query: Query, _body: Mapping[str, Any]) -> Answer:
    return HTTPStatus.OK, {"StatusCode": engine.get(reference).wait()}


def _remove(engine: Engine, reference: str, query: Query, _body: Mapping[str, Any]) -> Answer:
    engine.remove(reference, force=_flag(query, "force"))
    return HTTPStatus.NO_CONTENT, None


def _logs(engine: Engine, reference: str, query: Query, _body: Mapping[str, Any]) -> Answer:
    lines = engine.get(reference).log.read(follow=_flag(query, "follow"))
    if query.get("tail", "all").isdigit():
        lines = iter(list(lines)[-int(query["tail"]) :])
    frames: Iterator[bytes] = (line.frame() for line in lines)
    return HTTPStatus.OK, frames


def _inspect(engine: Engine, reference: str, _query: Query, _body: Mapping[str, Any]) -> Answer:
    if reference == EMULATOR_HOSTNAME:
        return HTTPStatus.OK, {"Id": reference, **_ON_LOOPBACK}
    return HTTPStatus.OK, _describe(engine.get(reference))


def _list(engine: Engine, _reference: str, query: Query, _body: Mapping[str, Any]) -> Answer:
    wanted = json.loads(query.get("filters", "{}")).get("label", [])
    containers = [
        container
        for container in engine.list()
        if (_flag(query, "all") or container.status == "running") and _has_labels(container, wanted)
    ]
    return HTTPStatus.OK, [_summarise(container) for container in containers]


def _image(engine: Engine, reference: str, _query: Query, _body: Mapping[str, Any]) -> Answer:
    engine.image(reference)
    return HTTPStatus.OK, {"Id": reference, "RepoTags": [reference]}


def _pull(engine: Engine, _reference: str, query: Query, _body: Mapping[str, Any]) -> Answer:
    name, tag = query.get("fromImage", ""), query.get("tag", "latest")
    engine.image(f"{name}@{tag}" if tag.startswith("sha256:") else f"{name}:{tag}")
    return HTTPStatus.OK, {"status": f"Image is up to date for {name}:{tag}"}


_ROUTES = {
    r"(?:GET|HEAD) /_ping": _ping,
    r"GET /version": _version,
    r"POST /containers/create": _create,
    r"GET /containers/json": _list,
    r"GET /containers/([^/]+)/json": _inspect,
    r"GET /containers/([^/]+)/logs": _logs,
    r"POST /containers/([^/]+)/start": _start,
    r"POST /containers/([^/]+)/stop": _stop,
    r"POST /containers/([^/]+)/wait": _wait,
    r"DELETE /containers/([^/]+)": _remove,
    r"GET /images/(.+)/json": _image,
    r"POST /images/create": _pull,
}

# Where the emulator believes itself to be. What it makes of it is replaced: see `localcloud.runtime.tasks`.
_ON_LOOPBACK = {"NetworkSettings": {"Networks": {"loopback": {"IPAddress": "127.0.0.1"}}}}
# Docker's time for what has not happened yet.
_NEVER = "0001-01-01T00:00:00Z"


def _describe(container: Container) -> dict[str, Any]:
    # Without the environment: it holds the task's credentials, and the emulator does not ask for it.
    status = container.status
    return {
        "Id": container.id,
        "Name": f"/{container.spec.name}",
        "Created": _timestamp(container.created_at),
        "Image": container.spec.image,
        "State": {
            "Status": status,
            "Running": status == "running",
            "Pid": container.pid,
            "ExitCode": container.exit_code or 0,
            "StartedAt": _timestamp(container.started_at),
            "FinishedAt": _timestamp(container.finished_at),
        },
        "Config": {"Image": container.spec.image, "Labels": dict(container.spec.labels), "Tty": False},
        **_ON_LOOPBACK,
    }


def _summarise(container: Container) -> dict[str, Any]:
    return {
        "Id": container.id,
        "Names": [f"/{container.spec.name}"],
        "Image": container.spec.image,
        "Labels": dict(container.spec.labels),
        "State": container.status,
        "Created": int(container.created_at.timestamp()),
    }


def _has_labels(container: Container, wanted: list[str]) -> bool:
    labels = container.spec.labels
    return all(labels.get(key) == value if equals else key in labels for key, equals, value in map(_partition, wanted))


def _partition(label: str) -> tuple[str, str, str]:
    return label.partition("=")


def _timestamp(moment: datetime | None) -> str:
    return _NEVER if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _flag(query: Query, name: str) -> bool:
    return query.get(name, "").lower() in {"1", "true"}


def _words(value: list[str] | None) -> tuple[str, ...] | None:
    return tuple(value) if value else None
