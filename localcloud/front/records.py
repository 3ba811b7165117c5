"""What is remembered of each RunTask: under which token, which tasks it started, and how they ended.

The rules are those of https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

HOUR_SECONDS = 3600.0
TOKEN_SECONDS = 24 * HOUR_SECONDS
# A token outlives its tasks by this time, and DescribeTasks shows a stopped task "for at least one hour":
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html
STOPPED_SECONDS = HOUR_SECONDS


@dataclass(frozen=True)
class TokenKey:
    """A client token and where it counts: requests to another cluster are separate requests."""

    account: str
    region: str
    cluster: str
    token: str


@dataclass(frozen=True)
class Stop:
    """Why a task stops or has stopped: ECS's stopCode and stoppedReason, and when that was decided (Unix time)."""

    code: str
    reason: str
    at: float


@dataclass(frozen=True)
class TaskRecord:
    """One task: ECS's last description of it that was kept, and what the emulator does not know or forgets."""

    description: Mapping[str, Any]
    exit_codes: Mapping[str, int] = field(default_factory=dict)
    stop: Stop | None = None
    stopped_at: float | None = None

    @property
    def arn(self) -> str:
        """The task's ARN."""
        arn: str = self.description["taskArn"]
        return arn

    @property
    def has_exited(self) -> bool:
        """Whether each of its containers ran and ended."""
        return {container["name"] for container in self.description["containers"]} <= set(self.exit_codes)


@dataclass(frozen=True)
class RunRecord:
    """One RunTask that succeeded."""

    key: TokenKey
    fingerprint: str
    created_at: float
    tasks: tuple[TaskRecord, ...]

    def stopped_at(self) -> float | None:
        """When its last task stopped; None while one runs."""
        times = [task.stopped_at for task in self.tasks]
        return None if None in times else max(time for time in times if time is not None)

    def token_counts(self, now: float) -> bool:
        """Whether a retry gets these tasks: for 24 hours, or until an hour after the last one stopped if sooner."""
        return now < self.created_at + TOKEN_SECONDS and not self.is_forgotten(now)

    def is_forgotten(self, now: float) -> bool:
        """Whether nobody gets to see its tasks any more."""
        stopped_at = self.stopped_at()
        return stopped_at is not None and now >= stopped_at + STOPPED_SECONDS

    @classmethod
    def from_json(cls, text: str) -> RunRecord:
        """The inverse of `to_json`. Raises ValueError, TypeError or KeyError for anything else."""
        data = json.loads(text)
        tasks = tuple(
            TaskRecord(**{**task, "stop": None if task["stop"] is None else Stop(**task["stop"])})
            for task in data["tasks"]
        )
        return cls(TokenKey(**data["key"]), data["fingerprint"], data["created_at"], tasks)

    def to_json(self) -> str:
        """The text that is kept."""
        return json.dumps(asdict(self), indent=1)


def fingerprint(request: Mapping[str, Any]) -> str:
    """The same for two requests with the same parameters, whatever their order; the token itself does not count.

    The cluster does not either: it is part of the key, by its name, where a request may name it by its ARN as well.
    """
    parameters = {name: value for name, value in request.items() if name not in {"clientToken", "cluster"}}
    return hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()
