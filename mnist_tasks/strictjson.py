"""JSON that came from outside, read so that no two readers can understand it differently.

Python's own reader takes the last of several equal names, numbers that JSON does not have, and halves of characters
that nothing can print; and what is nested deeply enough ends whoever compares or prints it. All of that is refused.
"""

from __future__ import annotations

import json
import math
from typing import Any

# Our own records have ten; an attestation's evidence a few more.
_DEPTH = 32


def from_json(body: bytes) -> Any:
    """The value in these bytes.

    Raises:
        ValueError: they are not JSON in UTF-8, or could be understood in more than one way.
    """
    try:
        value = json.loads(
            body.decode(), object_pairs_hook=_object, parse_constant=_no_number, parse_float=_finite_float
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    _check_depth(value)
    # Bytes are UTF-8, but an escape may still stand for half a character: that cannot be encoded again.
    json.dumps(value, ensure_ascii=False).encode()
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for name, content in pairs:
        if name in value:
            raise ValueError(f"the name {name!r:.60} occurs more than once in one object")
        value[name] = content
    return value


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number in JSON")


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text:.20} is too large a number")
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(_DEPTH + 1):
        nested = [part for part in level if isinstance(part, dict | list)]
        if not nested:
            return
        level = [child for part in nested for child in (part.values() if isinstance(part, dict) else part)]
    raise ValueError(f"it is nested more than {_DEPTH} levels deep")
