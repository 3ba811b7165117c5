"""What a run took of Fargate, in seconds and in dollars, and what of that came to nothing. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from mnist_tasks.attempts import Attempt
from mnist_tasks.config import Settings


@dataclass(frozen=True)
class Prices:
    """US dollars for an hour of a vCPU and of a GB; `spot_share` is what Spot costs as a share of them."""

    vcpu_hour: float
    gb_hour: float
    spot_share: float

    @classmethod
    def of(cls, settings: Settings) -> Prices:
        """The deployment's prices."""
        return cls(settings.price_vcpu_hour, settings.price_gb_hour, settings.price_spot_share)

    def dollars(self, attempt: Attempt, now: datetime) -> float:
        """What the attempt has cost so far."""
        share = self.spot_share if attempt.capacity == "FARGATE_SPOT" else 1.0
        hourly = attempt.vcpus * self.vcpu_hour + attempt.memory_gb * self.gb_hour
        return share * hourly * attempt.seconds(now) / 3600


@dataclass(frozen=True)
class Line:
    """One attempt: billed seconds, and whether its job had to be tried again."""

    attempt: Attempt
    seconds: float
    dollars: float
    wasted: bool

    @property
    def ending(self) -> str:
        """How the ECS task ended, in words."""
        attempt = self.attempt
        if attempt.stopped is None:
            return "runs, or its end was not seen"
        if attempt.exit_code is None:
            return attempt.stop_code or "stopped"
        return "done" if attempt.exit_code == 0 else f"exit code {attempt.exit_code}"


@dataclass(frozen=True)
class Cost:
    """All attempts of a run at `prices`. `on_demand_dollars` is what the same seconds cost without Spot."""

    lines: tuple[Line, ...]
    on_demand_dollars: float
    prices: Prices

    @property
    def vcpu_seconds(self) -> float:
        """VCPU times billed seconds."""
        return sum(line.attempt.vcpus * line.seconds for line in self.lines)

    @property
    def gb_seconds(self) -> float:
        """GB of memory times billed seconds."""
        return sum(line.attempt.memory_gb * line.seconds for line in self.lines)

    @property
    def dollars(self) -> float:
        """The whole price."""
        return sum(line.dollars for line in self.lines)

    @property
    def wasted_dollars(self) -> float:
        """What went into attempts that had to be made again."""
        return sum(line.dollars for line in self.lines if line.wasted)

    @property
    def retries(self) -> int:
        """How many attempts had to be made again."""
        return sum(line.wasted for line in self.lines)


def cost_of(
    attempts: Iterable[Attempt], prices: Prices, now: datetime, *, failed: frozenset[str] = frozenset()
) -> Cost:
    """The bill of a run.

    An attempt is wasted if another one of the same job came after it, or if the job is in `failed`: the
    candidates that a run has ended without. (What a retry saved by going on from the last epoch is not subtracted.)
    """
    known = tuple(attempts)
    last = {attempt.job: attempt.generation for attempt in known}  # ascending: the last one stays
    lines = tuple(
        Line(
            attempt=attempt,
            seconds=attempt.seconds(now),
            dollars=prices.dollars(attempt, now),
            wasted=attempt.generation != last[attempt.job] or attempt.job in failed,
        )
        for attempt in known
    )
    plain = Prices(prices.vcpu_hour, prices.gb_hour, 1.0)
    return Cost(lines, sum(plain.dollars(attempt, now) for attempt in known), prices)
