"""What a KMS key policy says to a request for the key's use, as far as attested requests need it.

The emulator knows no measurements (and evaluates key policies with `AUTH=true` alone). This does, for one principal,
with the conditions that decide about attestation. What it cannot evaluate it denies, so that a policy never seems to
allow more than on AWS.
https://docs.aws.amazon.com/kms/latest/developerguide/conditions-attestation.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

_NEGATED = re.compile(r"^StringNot")
_ARN_OF_ROOT = re.compile(r"^arn:aws:iam::(\d{12}):root$")

_EQUALS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda came, pattern: came == pattern,
    "StringNotEquals": lambda came, pattern: came == pattern,
    "StringEqualsIgnoreCase": lambda came, pattern: came.lower() == pattern.lower(),
    "StringNotEqualsIgnoreCase": lambda came, pattern: came.lower() == pattern.lower(),
    "StringLike": fnmatchcase,
    "StringNotLike": fnmatchcase,
}
# Keys outside these are not known here, and a condition on them cannot be evaluated.
_KNOWN_KEYS = re.compile(r"^(kms:recipientattestation:(imagesha384|pcr\d+)|kms:encryptioncontext:.+)$")


class CannotEvaluateError(ValueError):
    """A policy uses something that only AWS can judge."""


@dataclass(frozen=True)
class KeyRequest:
    """Who wants to do what with a key: `action` is like `kms:Decrypt`, `pcrs` None for a request without a document."""

    principal: str
    action: str
    key_arn: str
    pcrs: Mapping[int, bytes] | None
    encryption_context: Mapping[str, str]

    def context(self) -> dict[str, str]:
        """Condition keys (lower case: their names are not case-sensitive) and their values."""
        values = {f"kms:encryptioncontext:{name}".lower(): value for name, value in self.encryption_context.items()}
        for index, pcr in (self.pcrs or {}).items():
            values[f"kms:recipientattestation:pcr{index}"] = pcr.hex()
            if index == 0:
                values["kms:recipientattestation:imagesha384"] = pcr.hex()
        return values


def denial(policy: str, request: KeyRequest) -> str | None:
    """Why the key policy does not let this request through; None if it does.

    A statement for the account's root lets IAM policies decide. Those are the emulator's business, so it counts as if
    it named the principal.
    """
    try:
        statements = [s for s in _listed(json.loads(policy)["Statement"]) if _applies(s, request)]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        return f"because the key policy cannot be evaluated here: {error!r}"
    denying = next((s for s in statements if s["Effect"] == "Deny"), None)
    if denying is not None:
        return f"with an explicit deny in a resource-based policy ({denying.get('Sid', 'no Sid')})"
    if not statements:
        return f"because no resource-based policy allows the {request.action} action"
    return None


def _applies(statement: Mapping[str, Any], request: KeyRequest) -> bool:
    return (
        _has_action(statement, request.action)
        and any(fnmatchcase(request.key_arn, pattern) for pattern in _listed(statement.get("Resource", "*")))
        and _has_principal(statement, request.principal)
        and all(
            _holds(operator, key, _listed(patterns), request.context())
            for operator, block in statement.get("Condition", {}).items()
            for key, patterns in block.items()
        )
    )


def _has_action(statement: Mapping[str, Any], action: str) -> bool:
    if "NotAction" in statement:
        return not _matches_any(action, statement["NotAction"])
    return _matches_any(action, statement["Action"])


def _matches_any(action: str, patterns: Any) -> bool:
    return any(fnmatchcase(action.lower(), pattern.lower()) for pattern in _listed(patterns))


def _has_principal(statement: Mapping[str, Any], principal: str) -> bool:
    if "Principal" not in statement:
        raise CannotEvaluateError("a statement without Principal")
    named = statement["Principal"]
    identities = [named] if named == "*" else _listed(named.get("AWS", ()))
    return any(_is_same(identity, principal) for identity in identities)


def _is_same(identity: str, principal: str) -> bool:
    account = principal.split(":")[4]
    root = _ARN_OF_ROOT.match(identity)
    return identity in {"*", principal, account} or (root is not None and root[1] == account)


def _holds(operator: str, key: str, patterns: Iterable[Any], context: Mapping[str, str]) -> bool:
    if not _KNOWN_KEYS.match(key.lower()):
        raise CannotEvaluateError(f"the condition key {key}")
    came = context.get(key.lower())
    if operator == "Null":
        return str(next(iter(patterns))).lower() == str(came is None).lower()
    if operator not in _EQUALS:
        raise CannotEvaluateError(f"the condition operator {operator}")
    matches = came is not None and any(_EQUALS[operator](came, str(pattern)) for pattern in patterns)
    # What is not in the request equals nothing.
    return not matches if _NEGATED.match(operator) else matches


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
