"""What AWS does to a task sooner or later and a test wants now: no capacity, and a Spot interruption."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from localcloud.front.http import Answer

SPOT = "FARGATE_SPOT"
# https://repost.aws/knowledge-center/ecs-fargate-runtask-capacity
NO_CAPACITY = "Capacity is unavailable at this time. Please try again later or in a different availability zone"
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-capacity-providers.html
SPOT_INTERRUPTION = ("SpotInterruption", "Your Spot Task was interrupted.")


class Capacity:
    """How many of the next requests to a capacity provider find none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._missing: dict[str, int] = {}

    def plan(self, request: Mapping[str, Any]) -> Answer:
        """`{"failures": 2}`: the next two RunTasks on FARGATE_SPOT, or on the `provider` that is named, fail."""
        failures, provider = request.get("failures"), request.get("provider", SPOT)
        if not isinstance(failures, int) or provider not in {SPOT, "FARGATE"}:
            message = f'{dict(request)}: expected {{"failures": number, "provider": "{SPOT}" or "FARGATE"}}'
            return Answer(HTTPStatus.BAD_REQUEST, {"message": message})
        with self._lock:
            self._missing[provider] = failures
        return Answer(HTTPStatus.OK, {"failures": failures, "provider": provider})

    def is_missing(self, request: Mapping[str, Any]) -> bool:
        """Whether this RunTask finds no capacity; counts it."""
        strategy = request.get("capacityProviderStrategy") or [{"capacityProvider": request.get("launchType")}]
        providers = {item["capacityProvider"] for item in strategy}
        with self._lock:
            for provider in providers & self._missing.keys():
                if self._missing[provider] > 0:
                    self._missing[provider] -= 1
                    return True
        return False
