"""How TensorFlow is brought up."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

from mnist_tasks.training.runtime import peak_memory_mb, start_tensorflow

ROOT = Path(__file__).resolve().parents[2]


def test_tensorflow_gets_one_thread_and_says_nothing() -> None:
    program = (
        "from mnist_tasks.training.runtime import start_tensorflow\n"
        "start_tensorflow()\n"
        "import tensorflow as tf\n"
        "tf.matmul(tf.ones((2, 2)), tf.ones((2, 2)))\n"
        "threads = tf.config.threading\n"
        "print(threads.get_intra_op_parallelism_threads(), threads.get_inter_op_parallelism_threads())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env={}, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("1 1\n", "")


def test_starting_twice_changes_nothing_and_garbage_is_collected_again() -> None:
    start_tensorflow()
    start_tensorflow()
    assert gc.isenabled()


def test_peak_memory_counts_this_process_and_never_falls() -> None:
    before = peak_memory_mb()
    block = bytearray(50_000_000)
    del block
    assert 10 < before <= peak_memory_mb()


def test_peak_memory_does_not_start_with_that_of_the_parent() -> None:
    """As `ru_maxrss` would: the child of a large process is small."""
    block = bytearray(b"x" * 300_000_000)
    program = "from mnist_tasks.training.runtime import peak_memory_mb; print(peak_memory_mb())"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 100 < len(block) / 1e6
