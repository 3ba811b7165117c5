"""What is needed and not granted, and what is granted and not needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tools.iam.conditions import arn_like, as_list, glob, holds
from tools.iam.evaluate import Decision
from tools.iam.template import Template
from tools.permissions.needs import Need


@dataclass(frozen=True)
class Grant:
    """One action of one statement of a role's policies, on one of its resources."""

    role: str
    statement: str
    action: str
    resource: str
    condition: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return f"{self.role} {self.statement}: {self.action} {self.resource}"

    def covers(self, need: Need) -> bool:
        """Whether it is what lets this need pass."""
        return (
            self.role == need.role
            and glob(self.action.lower(), need.action.lower())
            and (self.resource == "*" or arn_like(self.resource, need.resource))
            and holds(self.condition, need.context)
        )


@dataclass(frozen=True)
class Reviewed:
    """What a person has looked at: these grants are needed, though nothing here can show it. `action` may be a glob."""

    role: str
    action: str
    resource: str
    reason: str

    def covers(self, grant: Grant) -> bool:
        """Whether the review is about this grant."""
        named = ((self.role, grant.role), (self.action, grant.action), (self.resource, grant.resource))
        return all(glob(pattern, text) for pattern, text in named)


@dataclass(frozen=True)
class Verdict:
    """`missing`: needs with AWS's answer. `implied`: grants with the reason for each. `idle`: reviews of nothing."""

    missing: tuple[tuple[Need, Decision], ...]
    unused: tuple[Grant, ...]
    implied: tuple[tuple[Grant, str], ...]
    idle: tuple[Reviewed, ...]

    @property
    def fits(self) -> bool:
        """Whether the roles may do exactly what they do."""
        return not (self.missing or self.unused or self.idle)

    def summary(self) -> str:
        """`N missing, M unused, K implied`."""
        return f"{len(self.missing)} missing, {len(self.unused)} unused, {len(self.implied)} implied"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "missing": [{**asdict(need), "answer": decision.value} for need, decision in self.missing],
            "unused": [str(grant) for grant in self.unused],
            "implied": [{"grant": str(grant), "reason": reason} for grant, reason in self.implied],
            "idle": [asdict(review) for review in self.idle],
        }


def judge(template: Template, needs: Iterable[Need], reviewed: Iterable[Reviewed]) -> Verdict:
    """Hold what was needed against what the template grants, both ways."""
    distinct = list({str(need) + need.because: need for need in needs}.values())
    reviews = list(reviewed)
    answers = [(need, template.decide(need.role, need.action, need.resource, **need.context)) for need in distinct]
    unused, implied, met = [], [], set[Reviewed]()
    for grant in grants(template):
        covered = [need.because for need in distinct if grant.covers(need)]
        if "" in covered:
            continue
        review = next((review for review in reviews if review.covers(grant)), None)
        if covered:
            implied.append((grant, covered[0]))
        elif review:
            implied.append((grant, review.reason))
            met.add(review)
        else:
            unused.append(grant)
    return Verdict(
        missing=tuple((need, answer) for need, answer in answers if answer is not Decision.ALLOWED),
        unused=tuple(unused),
        implied=tuple(implied),
        idle=tuple(review for review in reviews if review not in met),
    )


def grants(template: Template) -> list[Grant]:
    """All that the roles' own policies allow."""
    return [
        Grant(role, statement["Sid"], action, resource, statement.get("Condition", {}))
        for role in template.roles
        for document in template.identity(role)
        for statement in document["Statement"]
        if statement["Effect"] == "Allow"
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    ]
