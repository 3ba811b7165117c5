"""`make bench`: is training as fast as we say, and the DAG around it?

    python -m benchmarks [--only epoch container dags choosing] [--rounds 15] [--quick]

Prints tables and writes build/benchmarks.json: the figures that count, everything that was measured, and the machine.
README.md beside this file says what each figure is.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import choosing, container, dags, epochs
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
    if contenders := _contenders(options.only):
        images = QUICK_IMAGES if options.quick else 60_000
        rounds = 2 if options.quick else options.rounds
        epoch_rounds = epochs.measure(contenders, rounds=rounds, images=images, logs=logs)
    if "container" in options.only:
        count, length = (1, 1) if options.quick else (options.container_rounds, 10)
        container_rounds = container.measure(rounds=count, epochs=length, logs=logs)
    dag_rounds: Rounds = []
    if "dags" in options.only:
        dag_rounds = dags.measure(rounds=1 if options.quick else options.dag_rounds, logs=logs)
    calls = None
    if "choosing" in options.only:
        calls = choosing.measure((10, 1_000) if options.quick else (10, 100_000))
    _print(epoch_rounds, container_rounds, dag_rounds, calls)
    result = figures(epoch_rounds, container_rounds, dag_rounds, calls) | {
        "quick": options.quick,
        "machine": where,
        "epochs": details(epoch_rounds),
        "containers": details(container_rounds),
        "dags": details(dag_rounds),
    }
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\n{options.output} written; {time.monotonic() - started:.0f} s")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="How fast it is, and against what.")
    groups = ["epoch", "container", "dags", "choosing"]
    known = [*groups, *(name for name in epochs.LABELS if name != "ours")]
    parser.add_argument("--only", nargs="+", choices=known, default=groups, help="what to measure")
    parser.add_argument("--rounds", type=int, default=15, help="rounds of epochs (%(default)s)")
    parser.add_argument("--container-rounds", type=int, default=5, help="rounds of containers, up to 16 (%(default)s)")
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


def figures(
    epoch_rounds: Rounds, container_rounds: Rounds, dag_rounds: Rounds, calls: Mapping[str, int] | None
) -> dict[str, Any]:
    """The figures that count; None where it was not measured."""
    tutorial = faster_tutorial(container_rounds)
    return {
        "epoch_vs_fit": _ratio(epoch_rounds, "fit", "ours"),
        "epoch_vs_jax": _ratio(epoch_rounds, "jax_scan", "ours"),
        "epoch_vs_limit": _ratio(epoch_rounds, "limit", "ours"),
        "container_vs_tutorial": _ratio(container_rounds, tutorial, container.CONTAINER),
        "peak_mb": _peak(container_rounds, container.CONTAINER),
        "peak_mb_tutorial": _peak(container_rounds, tutorial),
        "dag_vs_tutorial": _ratio(dag_rounds, dags.DAG, dags.TUTORIAL, "wall"),
        "dag_vs_tutorial_cpu": _ratio(dag_rounds, dags.DAG, dags.TUTORIAL),
        "make_run_vs_tutorial": _ratio(dag_rounds, dags.MAKE_RUN, dags.TUTORIAL, "wall"),
        "dag_vs_noop": _ratio(dag_rounds, dags.DAG_ALONE, dags.NOOP_ALONE, "wall"),
        "dag_vs_noop_cpu": _ratio(dag_rounds, dags.DAG_ALONE, dags.NOOP_ALONE),
        "choose_calls": calls,
    }


def faster_tutorial(rounds: Rounds) -> str:
    """The tutorial's better setting, by the same measure as everything else: one CPU, or all of them."""
    settings = [name for name in (container.TUTORIAL, container.TUTORIAL_ALL_CPUS) if rounds and name in rounds[0]]
    return min(settings, key=lambda name: rounds[0][name].cpu, default=container.TUTORIAL)


def _ratio(rounds: Rounds, other: str, ours: str, field: str = "cpu") -> float | None:
    return round(ratio(rounds, other, ours, field).median, 3) if rounds and other in rounds[0] else None


def _peak(rounds: Rounds, name: str) -> float | None:
    return round(median(rounds, name, "peak_mb"), 1) if rounds else None


def _print(epoch_rounds: Rounds, container_rounds: Rounds, dag_rounds: Rounds, calls: Mapping[str, int] | None) -> None:
    if epoch_rounds:
        print(f"\nOne epoch, median of {len(epoch_rounds)} rounds:\n")
        print("\n".join(table(epoch_rounds, epochs.LABELS, "ours", memory=False)))
    if container_rounds:
        print(f"\nFrom start to saved weights, median of {len(container_rounds)} rounds:\n")
        print("\n".join(table(container_rounds, container.LABELS, container.CONTAINER, memory=True)))
    if dag_rounds:
        print(f"\nWhole DAGs, median of {len(dag_rounds)} rounds:\n")
        print("\n".join(dags.table(dag_rounds)))
    if calls:
        print("\nS3 calls to choose the best of a run, by checkpoints in the bucket: ", end="")
        print(", ".join(f"{count} with {int(objects):,}" for objects, count in calls.items()))


if __name__ == "__main__":
    sys.exit(main())
