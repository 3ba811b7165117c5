"""The process that training runs in: how TensorFlow is brought up, and how much memory was used at most."""

from __future__ import annotations

import gc
import os
import resource
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def start_tensorflow() -> None:
    """Import TensorFlow and Keras, quietly, and give them one thread.

    Has to run before anything else in the process uses TensorFlow: its threads are fixed by the first operation.

    One thread, because the model's matrices are so small that handing them between threads costs more than it gains,
    and because one thread always adds in the same order: the same seed gives the same bits. Candidates are what runs
    side by side.
    """
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"  # errors only: what it says about CPU features and GPUs helps nobody here
    os.environ["KERAS_BACKEND"] = "tensorflow"
    # The import asks where temporary files would go; Python would try that out by writing one, to a full disk perhaps.
    tempfile.tempdir = os.environ.get("TMPDIR") or str(Path.cwd())
    with _without_garbage_collection(), _without("matplotlib", "PIL"):
        import keras  # noqa: F401
        import tensorflow as tf
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    # The import makes some 100,000 objects that stay: looking for garbage among them takes 0.3 s and finds none.
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def _without(*modules: str) -> Iterator[None]:
    """Make imports of these modules fail, unless they have been imported already.

    Keras imports matplotlib and Pillow where it finds them, for pictures that nobody asks for here: 0.3 s and 33 MB.
    """
    absent = [module for module in modules if module not in sys.modules]
    # What the import system documents for this purpose.
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for module in absent:
            del sys.modules[module]


def peak_memory_mb() -> float:
    """The most memory that this process ever held, in MB of 1,000,000 bytes.

    Linux's own high-water mark, not `ru_maxrss`: that one starts with the memory of the process that forked this one.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # macOS counts in bytes
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(kilobytes) * 1024 / 1e6
