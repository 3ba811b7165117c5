"""An epoch of each contender in turn, round after round."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.data import mnist_file
from benchmarks.measure import Usage, Worker
from tools.environment import SetupError, environment_of

LABELS: Mapping[str, str] = {
    "ours": "this project",
    "fit": "Keras fit",
    "fit_steps": "Keras fit, steps_per_execution",
    "torch_adam": "PyTorch, fused Adam",
    "jax_scan": "JAX, lax.scan",
    "limit": "the unavoidable kernels alone",
}
ENVIRONMENTS: Mapping[str, str] = {"torch_adam": "bench-torch", "jax_scan": "bench-jax"}

Rounds = list[Mapping[str, Usage]]


def measure(names: Sequence[str], *, rounds: int, images: int, logs: Path) -> Rounds:
    """Every contender's usage for an epoch, for each of the rounds."""
    pythons = dict(_pythons(names))
    data = mnist_file()
    with ExitStack() as stack:
        workers = {}
        for name, python in pythons.items():
            print(f"  getting warm: {LABELS[name]}", flush=True)
            workers[name] = Worker(name, python, data, images, logs / f"{name}.log")
            stack.callback(workers[name].stop)
        return [_round(workers, number, rounds) for number in range(1, rounds + 1)]


def _round(workers: Mapping[str, Worker], number: int, rounds: int) -> Mapping[str, Usage]:
    usage = {name: worker.epoch() for name, worker in workers.items()}
    print(f"  epochs, round {number}/{rounds}: " + ", ".join(f"{n} {u.cpu:.3f}" for n, u in usage.items()), flush=True)
    return usage


def _pythons(names: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Each contender's interpreter; who cannot have an environment here is left out, and that is said."""
    for name in names:
        try:
            yield name, environment_of(ENVIRONMENTS[name]) if name in ENVIRONMENTS else Path(sys.executable)
        except SetupError as error:
            print(f"left out: {LABELS[name]}: {error}", file=sys.stderr, flush=True)
