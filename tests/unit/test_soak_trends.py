"""What the soak calls flat, and what not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.soak.nights import Night, Taken
from tests.soak.trends import Trend, flat, slope, trends
from tests.soak.usage import Holding

Change = Callable[[int], float]


def night(number: int, *, seconds: Change, calls: Change, memory: Change, objects: Change) -> Night:
    step = Taken(seconds=seconds(number), cpu_seconds=0.5, calls={"s3.GetObject": int(calls(number))}, clocked={})
    held = {name: Holding("1/1", memory(number), 10, 1) for name in ("runner", "supervisor")}
    held["emulator"] = Holding("2/2", 100 + 2 * number, 10, 1)
    return Night(
        number,
        "kept",
        interrupted=False,
        steps={"plan": step},
        processes=held,
        objects=int(objects(number)),
        megabytes=number,
    )


def year(
    *,
    seconds: Change = lambda number: 1,
    calls: Change = lambda number: 3,
    memory: Change = lambda number: 50,
    objects: Change = lambda number: 9 * number,
) -> list[Night]:
    return [night(n, seconds=seconds, calls=calls, memory=memory, objects=objects) for n in range(1, 366)]


def verdicts(nights: list[Night]) -> dict[str, str]:
    return {trend.measure: trend.verdict for trend in trends(nights)}


def test_a_year_that_is_always_the_same_is_flat_though_the_emulator_keeps_what_it_is_given() -> None:
    found = trends(year())
    assert flat(found)
    by_name = {trend.measure: trend for trend in found}
    assert by_name["emulator: memory"].verdict == "grows"
    assert not by_name["emulator: memory"].ours
    assert by_name["emulator: memory"].per_night == pytest.approx(2)


@pytest.mark.parametrize(
    ("nights", "measure", "verdict"),
    [
        (year(seconds=lambda n: 1 + 0.002 * n), "plan: time", "grows"),
        (year(seconds=lambda n: 1 + 0.2 * (n % 2)), "plan: time", "flat"),
        (year(seconds=lambda n: 0.01 + 0.0001 * n), "plan: time", "flat"),  # less than the clock's grain
        (year(memory=lambda n: 50 + 0.01 * n), "runner: memory", "grows"),
        # After an hour, 180 nights of these, it forgets as many tasks as come.
        (year(seconds=lambda n: 20, memory=lambda n: 50 + min(0.1 * n, 18)), "supervisor: memory", "flat"),
        (year(seconds=lambda n: 20, memory=lambda n: 50 + 0.1 * n), "supervisor: memory", "grows"),
        (year(memory=lambda n: 50 + min(n, 20)), "runner: memory", "flat"),  # its pools and caches have filled
        (year(calls=lambda n: 4 if n == 200 else 3), "plan: S3 calls", "varies"),
        (year(calls=lambda n: 3 + n // 300), "plan: S3 calls", "varies"),
        (year(objects=lambda n: n * n), "objects added (kept)", "varies"),
    ],
)
def test_what_grows_is_called_so_and_noise_is_not(nights: list[Night], measure: str, verdict: str) -> None:
    assert verdicts(nights)[measure] == verdict
    if verdict != "flat":
        assert not flat(trends(nights))


def test_the_first_night_and_interrupted_ones_do_not_count() -> None:
    nights = year(calls=lambda n: 9 if n in {1, 100} else 3)
    assert verdicts(nights)["plan: S3 calls"] == "varies"
    nights[99] = replace(nights[99], interrupted=True)
    assert verdicts(nights)["plan: S3 calls"] == "constant"


def test_calls_are_compared_among_nights_of_one_outcome() -> None:
    steps = {"released": 14, "kept": 13}
    nights = [
        replace(
            each,
            outcome=outcome,
            steps={"promote": Taken(1, 0.5, {"s3.GetObject": steps[outcome]}, {})},
        )
        for each in year()
        for outcome in ["released" if each.number % 7 == 0 else "kept"]
    ]
    found = verdicts(nights)
    assert found["promote (kept): S3 calls"] == found["promote (released): S3 calls"] == "constant"


def test_memory_is_judged_by_the_longest_life_of_a_process() -> None:
    nights = [
        replace(
            each,
            processes=each.processes
            | {"runner": Holding(f"{each.number > 100}", 50 if each.number > 100 else 10, 10, 1)},
        )
        for each in year()
    ]
    trend = next(trend for trend in trends(nights) if trend.measure == "runner: memory")
    assert (trend.first, trend.last) == (50, 50)


def test_nothing_is_said_of_a_supervisor_that_has_not_lived_for_an_hour() -> None:
    assert "supervisor: memory" not in verdicts(year(seconds=lambda n: 9))


def test_one_wild_night_does_not_tilt_a_slope() -> None:
    points = [(number, 1e6 if number == 50 else 2.0 * number) for number in range(100)]
    assert slope(points) == pytest.approx(2, rel=0.01)
    assert slope([(1, 5.0)]) == 0


def test_a_trend_that_is_not_ours_does_not_spoil_the_verdict() -> None:
    trend = Trend("x", "", 1, 2, 1, 0.1, "grows")
    assert not flat([trend])
    assert flat([replace(trend, ours=False)])
