"""Whether a request is allowed: by identity policies, a permissions boundary and the resource's own policy.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-basics.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from tools.iam.conditions import Context, UnsupportedError, arn_like, as_list, glob, holds

Document = Mapping[str, Any]

_KNOWN = {"Sid", "Effect", "Principal", "Action", "Resource", "Condition"}
# Where only the resource's policy opens the door, even to the account that owns it.
_POLICY_DECIDES = {"kms"}


class Decision(Enum):
    """How a request ends."""

    ALLOWED = "allowed"
    DENIED = "denied by a statement"
    NOT_ALLOWED = "allowed by none"


@dataclass(frozen=True)
class Request:
    """What a role asks for. `principal` is the role's ARN, `resource` an ARN; `context` has the condition keys."""

    principal: str
    action: str
    resource: str
    context: Context = field(default_factory=dict)


@dataclass(frozen=True)
class Policies:
    """All that is to be considered: the role's documents, its boundary, and what the resource says itself."""

    identity: Sequence[Document]
    boundary: Document | None = None
    resource: Document | None = None


def evaluate(request: Request, policies: Policies) -> Decision:
    """The answer to a request.

    Raises:
        UnsupportedError: a document uses what this evaluator does not know.
    """
    context = {"aws:PrincipalArn": request.principal, **request.context}
    bounds = [policies.boundary] if policies.boundary is not None else []
    own = list(_matching(policies.identity, request, context))
    bound = list(_matching(bounds, request, context))
    resource = [
        statement
        for statement in _matching([policies.resource] if policies.resource else [], request, context)
        if _names(statement["Principal"], request.principal)
    ]
    if any(statement["Effect"] == "Deny" for statement in (*own, *bound, *resource)):
        return Decision.DENIED
    within = not bounds or bool(bound)
    by_name = any(not _is_account(statement["Principal"]) for statement in resource)
    if request.action.partition(":")[0].lower() in _POLICY_DECIDES:
        allowed = by_name or (bool(own) and bool(resource))
    else:
        allowed = by_name or bool(own)
    return Decision.ALLOWED if allowed and within else Decision.NOT_ALLOWED


def _matching(documents: Iterable[Document], request: Request, context: Context) -> Iterator[Mapping[str, Any]]:
    for document in documents:
        for statement in document["Statement"]:
            if unknown := set(statement) - _KNOWN:
                raise UnsupportedError(f"statement {statement.get('Sid')}: {', '.join(sorted(unknown))}")
            if _applies(statement, request) and holds(statement.get("Condition", {}), context):
                yield statement


def _applies(statement: Mapping[str, Any], request: Request) -> bool:
    actions, resources = as_list(statement["Action"]), as_list(statement["Resource"])
    return any(glob(action.lower(), request.action.lower()) for action in actions) and any(
        resource == "*" or arn_like(resource, request.resource) for resource in resources
    )


def _names(principal: Any, role: str) -> bool:
    account = role.split(":")[4]
    return any(one in {"*", role} or _account_of(one) == account for one in _aws(principal))


def _is_account(principal: Any) -> bool:
    """Whether a statement names no more than the account: then the account's identity policies decide."""
    return all(_account_of(one) is not None for one in _aws(principal))


def _aws(principal: Any) -> list[str]:
    return as_list(principal.get("AWS", []) if isinstance(principal, Mapping) else principal)


def _account_of(principal: str) -> str | None:
    match = re.fullmatch(r"(?:arn:[a-z-]+:iam::)?(\d{12})(?::root)?", principal)
    return match.group(1) if match else None
