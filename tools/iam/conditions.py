"""Conditions of policy statements.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-logic-multiple-context-keys-or-values.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Values = str | Sequence[str]
Context = Mapping[str, Values]


class UnsupportedError(ValueError):
    """A policy uses what this evaluator does not know; to guess would be worse than to fail."""


def glob(pattern: str, text: str) -> bool:
    """Whether the text is what the pattern says: `*` any characters, `?` one, all others themselves.

    >>> glob("mnist_model_????????_??????", "mnist_model_20261124_020005_final")
    False
    """
    if "${" in pattern:
        raise UnsupportedError(f"policy variables are not evaluated: {pattern}")
    parts = ("." if c == "?" else ".*" if c == "*" else re.escape(c) for c in pattern)
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


def arn_like(pattern: str, arn: str) -> bool:
    """Whether an ARN matches a pattern part by part: a wildcard does not reach over a colon, but in the last part.

    >>> arn_like("arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket/a:b/c")
    True
    >>> arn_like("arn:aws:s*:bucket", "arn:aws:s3:::bucket")
    False
    """
    wanted, given = pattern.split(":", 5), arn.split(":", 5)
    return len(wanted) == len(given) and all(map(glob, wanted, given))


# Each compares one value of the policy with one of the request.
_COMPARISONS: Mapping[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda wanted, given: wanted == given,
    "StringLike": glob,
    "ArnEquals": arn_like,
    "ArnLike": arn_like,
    "Bool": lambda wanted, given: wanted.lower() == given.lower(),
}
_NEGATED = {name.replace("Equals", "NotEquals").replace("Like", "NotLike"): name for name in _COMPARISONS}
del _NEGATED["Bool"]


def holds(conditions: Mapping[str, Mapping[str, Any]], context: Context) -> bool:
    """Whether all conditions of a statement hold for a request's context.

    Raises:
        UnsupportedError: an operator is unknown.
    """
    given = {key.lower(): values for key, values in context.items()}
    return all(
        _holds(operator, as_list(wanted), given.get(key.lower()))
        for operator, block in conditions.items()
        for key, wanted in block.items()
    )


def as_list(value: Any) -> list[str]:
    """One value or several, as policies write both."""
    return [str(item) for item in (value if isinstance(value, list | tuple) else [value])]


def _holds(operator: str, wanted: list[str], given: Values | None) -> bool:
    if operator == "Null":
        return (given is None) == (wanted == ["true"])
    quantifier, _, name = operator.rpartition(":")
    if quantifier not in {"", "ForAllValues", "ForAnyValue"}:
        raise UnsupportedError(f"condition operator {operator}")
    name, if_exists = name.removesuffix("IfExists"), name.endswith("IfExists")
    negated = name in _NEGATED
    compare = _COMPARISONS.get(_NEGATED.get(name, name))
    if compare is None:
        raise UnsupportedError(f"condition operator {operator}")
    if given is None:
        # An absent key: true for "not", for ...IfExists and for all of no values.
        return if_exists or quantifier == "ForAllValues" or (negated and not quantifier)
    values = [given] if isinstance(given, str) else list(given)
    matches = [any(compare(one, value) for one in wanted) != negated for value in values]
    return any(matches) if quantifier == "ForAnyValue" else all(matches)
