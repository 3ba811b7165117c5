"""Recorded requests, read back as operations and parameters by AWS's own models (those of botocore).

https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html, https://smithy.io/2.0/aws/protocols/aws-restxml-protocol.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import botocore.session

from tools.iam.conditions import UnsupportedError
from tools.iam.template import PSEUDO, Template

# The outputs that are ARNs of what the emulator has named, and the resources that they name.
_KEYS = {
    "MNIST_CHECKPOINT_KEY": "CheckpointKey",
    "MNIST_FINAL_KEY": "FinalKey",
    "MNIST_SIGNING_KEY": "SigningKey",
}
_EMULATED_ACCOUNT = "us-east-1:000000000000"
# Of the signature and the transfer, or the caller's own to name: no parameters.
_OF_EVERY_REQUEST = (
    "x-amz-meta-",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-decoded-content-length",
    "x-amz-trailer",
)


@dataclass(frozen=True)
class Call:
    """A request of a role, by the role's own name. `parameters` has what the model does not know, too."""

    role: str
    service: str
    operation: str
    parameters: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.service}:{self.operation}"


def read(file: Path, template: Template, environment: Mapping[str, str]) -> list[Call]:
    """The recorded calls, with the emulator's account and keys replaced by those that `template` is evaluated for.

    Args:
        file: what `localcloud.front.calls` has written.
        template: as AWS gets it.
        environment: of the cloud; it has the stack's outputs.
    """
    text = file.read_text()
    for name, resource in _KEYS.items():
        text = text.replace(environment[name], template.arn(resource))
    text = text.replace(_EMULATED_ACCOUNT, f"{PSEUDO['AWS::Region']}:{PSEUDO['AWS::AccountId']}")
    return [parse(json.loads(line)) for line in text.splitlines()]


def parse(record: Mapping[str, Any]) -> Call:
    """One line of the record.

    Raises:
        UnsupportedError: of a protocol that nothing in this project has used so far.
    """
    service = record["service"]
    protocol = model(service).metadata["protocol"]
    if protocol == "json":
        operation = record["headers"]["x-amz-target"].rpartition(".")[2]
        return Call(record["role"], service, operation, json.loads(record["body"]))
    if protocol == "rest-xml":
        return Call(record["role"], service, *_rest(record))
    raise UnsupportedError(f"a request to {service}, whose protocol is {protocol}")


@cache
def model(service: str) -> Any:
    """AWS's description of a service, by the name that its requests are signed for."""
    return botocore.session.get_session().get_service_model(service)


def _rest(record: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    url = urlsplit(record["path"])
    labels = [unquote(label) for label in url.path.lstrip("/").split("/", 1) if label]
    query = dict(parse_qsl(url.query, keep_blank_values=True))
    operation, static = _operation(record, labels, query)
    wire = {**{("querystring", k): v for k, v in query.items()}, **_headers(record["headers"])}
    for name in static:
        wire.pop(("querystring", name), None)
    parameters: dict[str, Any] = dict(zip(("Bucket", "Key"), labels, strict=False))
    for name, member in operation.input_shape.members.items():
        place = (member.serialization.get("location"), member.serialization.get("name", "").lower())
        value = wire.pop((place[0], member.serialization["name"]), None) if place[0] == "querystring" else None
        value = wire.pop(place, value)
        if value is not None:
            parameters[name] = _typed(member.type_name, value)
    # What is left is nothing that the model knows, and stays under the name it has on the wire.
    return operation.name, parameters | {name: value for (_, name), value in wire.items()}


def _headers(headers: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """Those that a model may know: all of AWS's own, and HTTP's conditions."""
    names = ("x-amz-", "if-", "content-md5", "range")
    return {
        ("header", name): value
        for name, value in headers.items()
        if name.startswith(names) and not name.startswith(_OF_EVERY_REQUEST)
    }


def _operation(record: Mapping[str, Any], labels: list[str], query: Mapping[str, str]) -> tuple[Any, set[str]]:
    """The operation that has most in common with a request, and which names of the query are part of its address."""
    given = {"header": set(record["headers"]), "querystring": set(query)}
    found = []
    for operation in _operations(record["service"], record["method"]):
        path, _, rest = operation.http["requestUri"].partition("?")
        static = dict(parse_qsl(rest, keep_blank_values=True))
        required = set(_required(operation.input_shape))
        if path.count("{") == len(labels) and static.items() <= query.items() and _has(given, required):
            found.append((len(static) + len(required), operation, set(static)))
    if not found:
        raise UnsupportedError(f"no operation of {record['service']} is {record['method']} {record['path']}")
    _, operation, names = max(found, key=lambda entry: entry[0])
    return operation, names


@cache
def _operations(service: str, method: str) -> list[Any]:
    found = map(model(service).operation_model, model(service).operation_names)
    return [operation for operation in found if operation.http["method"] == method and operation.input_shape]


def _required(shape: Any) -> Iterator[tuple[str, str]]:
    for name in shape.required_members:
        serialization = shape.members[name].serialization
        if serialization.get("location") in {"header", "querystring"}:
            yield serialization["location"], serialization["name"]


def _has(given: Mapping[str, set[str]], required: set[tuple[str, str]]) -> bool:
    return all((name.lower() if place == "header" else name) in given[place] for place, name in required)


def _typed(kind: str, value: str) -> Any:
    if kind in {"integer", "long"}:
        return int(value)
    return value == "true" if kind == "boolean" else value
