"""A contender in a process and an environment of its own, which runs an epoch for every line that it is sent.

    python -m benchmarks.worker NAME MNIST.npz IMAGES

It answers with lines of JSON: {"cpu": seconds, "wall": seconds, "loss": ...}. The first one comes unasked: it is that
of the epoch in which the contender gets warm. Beyond what its contender needs it takes NumPy alone.
"""

from __future__ import annotations

import importlib
import json
import sys
import time

import numpy as np


class Clock:
    """Told that an epoch has ended, it reports the epoch and waits until the next one is asked for."""

    def __init__(self) -> None:
        self._start()

    def __call__(self, loss: float | None) -> None:
        """Raises SystemExit when nobody asks any more."""
        cpu, wall = time.process_time() - self._cpu, time.perf_counter() - self._wall
        print(json.dumps({"cpu": cpu, "wall": wall, "loss": loss}), flush=True)
        if not sys.stdin.readline():
            raise SystemExit
        self._start()

    def _start(self) -> None:
        # Of all threads, with what the kernel did for them.
        self._wall, self._cpu = time.perf_counter(), time.process_time()


def main(name: str, file: str, images: int) -> None:
    """Train on the first `images` training images until stdin ends."""
    with np.load(file, allow_pickle=False) as arrays:
        x, y = arrays["x_train"][:images], arrays["y_train"][:images]
    importlib.import_module(f"benchmarks.contenders.{name}").run(x, y, Clock())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
