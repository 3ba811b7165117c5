"""`make bench`: is training as fast as we say, and the DAG around it?

    python -m benchmarks [--only epoch container progress dags choosing] [--rounds 15] [--quick]

Prints tables and writes build/benchmarks.json: the figures that count, everything that was measured, and the machine.
A ratio says how many times our CPU time another one took; the limit's is below 1. The progress's cost and those of the
DAG are the other way round. README.md beside this file says what each figure is.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import choosing, container, dags, epochs, progress
from benchmarks.measure import CPU, ROOT
from benchmarks.ratios import Rounds, details, machine, median, ratio, table

QUICK_IMAGES = 3200
GROUPS = ("epoch", "container", "progress", "dags", "choosing")


@dataclass(frozen=True)
class Measured:
    """What was measured; empty what was not asked for."""

    epochs: Rounds = ()
    containers: Rounds = ()
    progress: Rounds = ()
    dags: Rounds = ()
    choosing: Mapping[str, int] | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    options = _parser().parse_args(arguments)
    started, where = time.monotonic(), machine()
    logs = options.output.parent / "benchmarks"
    logs.mkdir(parents=True, exist_ok=True)
    print(", ".join(f"{what} {value}" for what, value in where.items()))
    print(f"measuring on CPU {CPU}; CPU seconds as they come (wall-clock seconds in brackets)", flush=True)
    measured = _measure(options, logs)
    _print(measured)
    result = figures(measured) | {
        "quick": options.quick,
        "machine": where,
        "epochs": details(measured.epochs),
        "containers": details(measured.containers),
        "progress": details(measured.progress),
        "dags": details(measured.dags),
    }
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\n{options.output} written; {time.monotonic() - started:.0f} s")
    return 0


def _measure(options: argparse.Namespace, logs: Path) -> Measured:
    quick, only = options.quick, options.only
    rounds, images = (2, QUICK_IMAGES) if quick else (options.rounds, 60_000)
    trainings, length = (1, 1) if quick else (options.container_rounds, 10)
    contenders = _contenders(only)
    return Measured(
        epochs=epochs.measure(contenders, rounds=rounds, images=images, logs=logs) if contenders else (),
        containers=container.measure(rounds=trainings, epochs=length, logs=logs) if "container" in only else (),
        progress=progress.measure(rounds=trainings, epochs=length, logs=logs) if "progress" in only else (),
        dags=dags.measure(rounds=1 if quick else options.dag_rounds, logs=logs) if "dags" in only else (),
        choosing=choosing.measure((10, 1_000 if quick else 100_000)) if "choosing" in only else None,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="How fast it is, and against what.")
    known = [*GROUPS, *(name for name in epochs.LABELS if name != "ours")]
    parser.add_argument("--only", nargs="+", choices=known, default=GROUPS, help="what to measure")
    parser.add_argument("--rounds", type=int, default=15, help="rounds of epochs (%(default)s)")
    parser.add_argument("--container-rounds", type=int, default=5, help="rounds of trainings, up to 16 (%(default)s)")
    parser.add_argument("--dag-rounds", type=int, default=3, help="rounds of whole DAGs (%(default)s)")
    parser.add_argument(
        "--quick", action="store_true", help="a few images and rounds: does it work? Figures mean nothing"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "benchmarks.json", help="(%(default)s)")
    return parser


def _contenders(only: Sequence[str]) -> list[str]:
    """Whose epochs are asked for; ours is always among them, since all ratios are to it."""
    asked = [name for name in epochs.LABELS if name in only or "epoch" in only]
    return ["ours", *(name for name in asked if name != "ours")] if asked else []


def figures(measured: Measured) -> dict[str, Any]:
    """The figures that count; None where it was not measured."""
    containers, whole = measured.containers, measured.dags
    tutorial = faster_tutorial(containers)
    return {
        "epoch_vs_fit": _ratio(measured.epochs, "fit", "ours"),
        "epoch_vs_jax": _ratio(measured.epochs, "jax_scan", "ours"),
        "epoch_vs_limit": _ratio(measured.epochs, "limit", "ours"),
        "container_vs_tutorial": _ratio(containers, tutorial, container.CONTAINER),
        "peak_mb": _peak(containers, container.CONTAINER),
        "peak_mb_tutorial": _peak(containers, tutorial),
        "progress_cost": _ratio(measured.progress, progress.TOLD, progress.QUIET),
        "dag_vs_tutorial": _ratio(whole, dags.DAG, dags.TUTORIAL, "wall"),
        "dag_vs_tutorial_cpu": _ratio(whole, dags.DAG, dags.TUTORIAL),
        "make_run_vs_tutorial": _ratio(whole, dags.MAKE_RUN, dags.TUTORIAL, "wall"),
        "dag_vs_noop": _ratio(whole, dags.DAG_ALONE, dags.NOOP_ALONE, "wall"),
        "dag_vs_noop_cpu": _ratio(whole, dags.DAG_ALONE, dags.NOOP_ALONE),
        "choose_calls": measured.choosing,
    }


def faster_tutorial(rounds: Rounds) -> str:
    """The tutorial's better setting, by the same measure as everything else: one CPU, or all of them."""
    settings = [name for name in (container.TUTORIAL, container.TUTORIAL_ALL_CPUS) if rounds and name in rounds[0]]
    return min(settings, key=lambda name: rounds[0][name].cpu, default=container.TUTORIAL)


def _ratio(rounds: Rounds, other: str, ours: str, field: str = "cpu") -> float | None:
    return round(ratio(rounds, other, ours, field).median, 3) if rounds and other in rounds[0] else None


def _peak(rounds: Rounds, name: str) -> float | None:
    return round(median(rounds, name, "peak_mb"), 1) if rounds else None


def _print(measured: Measured) -> None:
    if rounds := measured.epochs:
        print(f"\nOne epoch, median of {len(rounds)} rounds:\n")
        print("\n".join(table(rounds, epochs.LABELS, "ours", memory=False)))
    if rounds := measured.containers:
        print(f"\nFrom start to saved weights, median of {len(rounds)} rounds:\n")
        print("\n".join(table(rounds, container.LABELS, container.CONTAINER, memory=True)))
    if rounds := measured.progress:
        cost = ratio(rounds, progress.TOLD, progress.QUIET)
        print(f"\nTelling progress and saving the resume state: {cost} times the CPU seconds of training without")
    if rounds := measured.dags:
        print(f"\nWhole DAGs, median of {len(rounds)} rounds:\n")
        print("\n".join(dags.table(rounds)))
    if measured.choosing:
        print("\nS3 calls to choose the best of a run, by checkpoints in the bucket: ", end="")
        print(", ".join(f"{count} with {int(objects):,}" for objects, count in measured.choosing.items()))


if __name__ == "__main__":
    sys.exit(main())
