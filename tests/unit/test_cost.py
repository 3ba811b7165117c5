"""What a run cost: from what ECS says of its tasks to seconds, dollars and waste."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mnist_tasks.attempts import Attempt, of_task
from mnist_tasks.config import Settings
from mnist_tasks.cost import Prices, cost_of

START = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
PRICES = Prices(vcpu_hour=0.04, gb_hour=0.004, spot_share=0.3)
JOB = "mnist_model_20261124_020005"
TASK = {
    "lastStatus": "STOPPED",
    "capacityProviderName": "FARGATE_SPOT",
    "cpu": "1024",
    "memory": "2048",
    "createdAt": START - timedelta(seconds=20),
    "pullStartedAt": START,
    "startedAt": START + timedelta(seconds=30),
    "stoppedAt": START + timedelta(minutes=5),
    "stopCode": "EssentialContainerExited",
    "containers": [{"name": "sidecar", "exitCode": 1}, {"name": "trainer", "exitCode": 0}],
}


def attempt(generation=1, *, seconds=3600.0, capacity="FARGATE", job=JOB, running=False):
    return Attempt(
        job=job,
        generation=generation,
        capacity=capacity,
        vcpus=1,
        memory_gb=2,
        started=START,
        stopped=None if running else START + timedelta(seconds=seconds),
    )


def test_an_attempt_is_what_ecs_says_of_its_task_billed_from_the_images_download():
    found = of_task(TASK, JOB, 2, "trainer")

    assert found == Attempt(
        job=JOB,
        generation=2,
        capacity="FARGATE_SPOT",
        vcpus=1,
        memory_gb=2,
        started=START,
        stopped=START + timedelta(minutes=5),
        stop_code="EssentialContainerExited",
        exit_code=0,
    )
    assert found.seconds(START + timedelta(days=1)) == 300


def test_a_task_that_runs_has_no_end_and_is_billed_until_now():
    found = of_task(TASK | {"lastStatus": "RUNNING", "stoppedAt": None}, JOB, 1, "trainer")

    assert (found.stopped, found.exit_code, found.stop_code) == (None, None, "")
    assert found.seconds(START + timedelta(minutes=7)) == 420


def test_a_task_that_never_got_a_place_costs_nothing_and_leaves_no_record():
    assert of_task(TASK | {"pullStartedAt": None, "startedAt": None}, JOB, 1, "trainer") is None


def test_a_minute_is_the_least_that_is_billed():
    assert attempt(seconds=7).seconds(START) == 60


def test_an_hour_costs_what_the_settings_say_and_less_on_spot():
    plain = cost_of([attempt()], PRICES, START)
    spot = cost_of([attempt(capacity="FARGATE_SPOT")], PRICES, START)

    assert (plain.vcpu_seconds, plain.gb_seconds) == (3600, 7200)
    assert plain.dollars == pytest.approx(0.04 + 2 * 0.004)
    assert spot.dollars == pytest.approx(0.3 * plain.dollars)
    assert spot.on_demand_dollars == pytest.approx(plain.dollars)


def test_every_attempt_but_the_last_one_of_a_candidate_is_waste():
    other = "mnist_model_20261124_020006"
    cost = cost_of([attempt(1, seconds=1800), attempt(2), attempt(1, job=other)], PRICES, START)

    assert [line.wasted for line in cost.lines] == [True, False, False]
    assert cost.retries == 1
    assert cost.wasted_dollars == pytest.approx(0.024)


def test_what_a_failed_run_never_committed_is_waste_as_a_whole():
    cost = cost_of([attempt(1), attempt(2)], PRICES, START, failed=frozenset({JOB}))

    assert cost.wasted_dollars == cost.dollars > 0


def test_prices_come_from_the_deployments_settings():
    settings = Settings.from_environment({"MNIST_PRICE_VCPU_HOUR": "0.05", "MNIST_PRICE_SPOT_SHARE": "0.4"})

    assert Prices.of(settings) == Prices(vcpu_hour=0.05, gb_hour=0.004445, spot_share=0.4)
