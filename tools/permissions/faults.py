"""What AWS would refuse of a request, whoever asks: by the constraints of its own models.

The emulator checks hardly any of them, and botocore only some: names, types and what is required.
https://smithy.io/2.0/spec/constraint-traits.html
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tools.permissions.calls import Call, model

# Python's `re` knows no Unicode categories; its own classes are these three, and an underscore more.
_CATEGORIES = {r"\p{L}": r"\w", r"\p{N}": r"\w", r"\p{Z}": r"\s"}


def faults(call: Call) -> list[str]:
    """What is wrong with a call, in words; empty when it is as AWS wants it."""
    shape = model(call.service).operation_model(call.operation).input_shape
    return [f"{call}: {fault}" for fault in _faults(shape, call.parameters, "")] if shape else []


def _faults(shape: Any, value: Any, place: str) -> Iterator[str]:
    if check := _CHECKS.get(shape.type_name):
        yield from check(shape, value, place)


def _structure(shape: Any, value: Mapping[str, Any], place: str) -> Iterator[str]:
    prefix = f"{place}." if place else ""
    # An object's content is not on record.
    required = set(shape.required_members) - {shape.serialization.get("payload")}
    yield from (f"{prefix}{name} is missing" for name in sorted(required - value.keys()))
    for name, item in value.items():
        if name in shape.members:
            yield from _faults(shape.members[name], item, f"{prefix}{name}")
        else:
            yield f"{prefix}{name} is no parameter"


def _list(shape: Any, value: list[Any], place: str) -> Iterator[str]:
    yield from _size(shape, len(value), place)
    for number, item in enumerate(value):
        yield from _faults(shape.member, item, f"{place}[{number}]")


def _map(shape: Any, value: Mapping[str, Any], place: str) -> Iterator[str]:
    for key, item in value.items():
        yield from _faults(shape.key, key, f"a key of {place}")
        yield from _faults(shape.value, item, f"{place}.{key}")


def _blob(shape: Any, value: str, place: str) -> Iterator[str]:
    yield from _size(shape, len(base64.b64decode(value)), place)


def _string(shape: Any, value: str, place: str) -> Iterator[str]:
    yield from _size(shape, len(value), place)
    if shape.enum and value not in shape.enum:
        yield f"{place} is {value!r}, expected one of {', '.join(shape.enum)}"
    pattern = shape.metadata.get("pattern")
    if pattern and not re.fullmatch(_python(pattern), value):
        yield f"{place} is {value!r}, expected {pattern}"


def _size(shape: Any, size: int, place: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if (least is not None and size < least) or (most is not None and size > most):
        yield f"{place} has the size {size}, expected {least or 0} to {most}"


_CHECKS: Mapping[str, Callable[[Any, Any, str], Iterator[str]]] = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _string,
    "blob": _blob,
    "integer": _size,
    "long": _size,
}


def _python(pattern: str) -> str:
    for category, ours in _CATEGORIES.items():
        pattern = pattern.replace(category, ours)
    return pattern
