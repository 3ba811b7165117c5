"""`make bench`: is training as fast as we say?

    python -m benchmarks [--only epoch container progress] [--rounds 15] [--quick]

Prints two tables and writes build/benchmarks.json: the seven figures that count, everything that was measured, and the
machine. A ratio says how many times our CPU time another one took; the limit's is below 1. The progress's cost is the
other way round: how many times the CPU time of a training that tells and saves nothing ours takes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import container, epochs, progress
from benchmarks.measure import CPU, ROOT
from benchmarks.ratios import Rounds, details, machine, median, ratio, table

QUICK_IMAGES = 3200


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    options = _parser().parse_args(arguments)
    started, where = time.monotonic(), machine()
    logs = options.output.parent / "benchmarks"
    logs.mkdir(parents=True, exist_ok=True)
    print(", ".join(f"{what} {value}" for what, value in where.items()))
    print(f"measuring on CPU {CPU}; CPU seconds as they come (wall-clock seconds in brackets)", flush=True)
    epoch_rounds: Rounds = []
    container_rounds: Rounds = []
    progress_rounds: Rounds = []
    if contenders := _contenders(options.only):
        images = QUICK_IMAGES if options.quick else 60_000
        rounds = 2 if options.quick else options.rounds
        epoch_rounds = epochs.measure(contenders, rounds=rounds, images=images, logs=logs)
    if "container" in options.only:
        count, length = (1, 1) if options.quick else (options.container_rounds, 10)
        container_rounds = container.measure(rounds=count, epochs=length, logs=logs)
    if "progress" in options.only:
        count, length = (1, 1) if options.quick else (options.container_rounds, 10)
        progress_rounds = progress.measure(rounds=count, epochs=length, logs=logs)
    _print(epoch_rounds, container_rounds, progress_rounds)
    result = figures(epoch_rounds, container_rounds, progress_rounds) | {
        "quick": options.quick,
        "machine": where,
        "epochs": details(epoch_rounds),
        "containers": details(container_rounds),
        "progress": details(progress_rounds),
    }
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\n{options.output} written; {time.monotonic() - started:.0f} s")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="How fast training is, and against what.")
    known = ["epoch", "container", "progress", *(name for name in epochs.LABELS if name != "ours")]
    parser.add_argument(
        "--only", nargs="+", choices=known, default=["epoch", "container", "progress"], help="what to measure"
    )
    parser.add_argument("--rounds", type=int, default=15, help="rounds of epochs (%(default)s)")
    parser.add_argument("--container-rounds", type=int, default=5, help="rounds of trainings, up to 16 (%(default)s)")
    parser.add_argument(
        "--quick", action="store_true", help="a few images and rounds: does it work? Figures mean nothing"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "benchmarks.json", help="(%(default)s)")
    return parser


def _contenders(only: Sequence[str]) -> list[str]:
    """Whose epochs are asked for; ours is always among them, since all ratios are to it."""
    asked = [name for name in epochs.LABELS if name in only or "epoch" in only]
    return ["ours", *(name for name in asked if name != "ours")] if asked else []


def figures(epoch_rounds: Rounds, container_rounds: Rounds, progress_rounds: Rounds) -> dict[str, float | None]:
    """The seven figures that count; None where it was not measured."""
    tutorial = faster_tutorial(container_rounds)
    return {
        "epoch_vs_fit": _ratio(epoch_rounds, "fit", "ours"),
        "epoch_vs_jax": _ratio(epoch_rounds, "jax_scan", "ours"),
        "epoch_vs_limit": _ratio(epoch_rounds, "limit", "ours"),
        "container_vs_tutorial": _ratio(container_rounds, tutorial, container.CONTAINER),
        "peak_mb": _peak(container_rounds, container.CONTAINER),
        "peak_mb_tutorial": _peak(container_rounds, tutorial),
        "progress_cost": _ratio(progress_rounds, progress.TOLD, progress.QUIET),
    }


def faster_tutorial(rounds: Rounds) -> str:
    """The tutorial's better setting, by the same measure as everything else: one CPU, or all of them."""
    settings = [name for name in (container.TUTORIAL, container.TUTORIAL_ALL_CPUS) if rounds and name in rounds[0]]
    return min(settings, key=lambda name: rounds[0][name].cpu, default=container.TUTORIAL)


def _ratio(rounds: Rounds, other: str, ours: str) -> float | None:
    return round(ratio(rounds, other, ours).median, 3) if rounds and other in rounds[0] else None


def _peak(rounds: Rounds, name: str) -> float | None:
    return round(median(rounds, name, "peak_mb"), 1) if rounds else None


def _print(epoch_rounds: Rounds, container_rounds: Rounds, progress_rounds: Rounds) -> None:
    if epoch_rounds:
        print(f"\nOne epoch, median of {len(epoch_rounds)} rounds:\n")
        print("\n".join(table(epoch_rounds, epochs.LABELS, "ours", memory=False)))
    if container_rounds:
        print(f"\nFrom start to saved weights, median of {len(container_rounds)} rounds:\n")
        print("\n".join(table(container_rounds, container.LABELS, container.CONTAINER, memory=True)))
    if progress_rounds:
        cost = ratio(progress_rounds, progress.TOLD, progress.QUIET)
        print(f"\nTelling progress and saving the resume state: {cost} times the CPU seconds of training without")


if __name__ == "__main__":
    sys.exit(main())
