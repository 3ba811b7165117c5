"""The process that training runs in: how TensorFlow is brought up, and how much memory was used at most."""

from __future__ import annotations

import gc
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import Any


def start_tensorflow() -> None:
    """Get ready for `mnist_tasks.training.kernels`, and give TensorFlow one thread. Does nothing the second time.

    Has to run before anything else in the process uses TensorFlow: its threads are fixed by the first operation.

    One thread, because the model's matrices are so small that handing them between threads costs more than it gains,
    and because one thread always adds in the same order: the same seed gives the same bits. Candidates are what runs
    side by side.
    """
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"  # errors only: what it says about CPU features and GPUs helps nobody here
    if "tensorflow" not in sys.modules:
        _put_off_tensorflows_front()
    with _without_garbage_collection():
        from tensorflow.python import tf2

        tf2.enable()  # as TensorFlow's own `__init__` does, and before the next line as there
        from tensorflow.python.compat.v2_compat import enable_v2_behavior
        from tensorflow.python.eager import context, def_function  # noqa: F401 - all that costs time later

        enable_v2_behavior()
    settings = context.context()
    settings.intra_op_parallelism_threads = settings.inter_op_parallelism_threads = 1


def _put_off_tensorflows_front() -> None:
    """Let parts of TensorFlow be imported without its `__init__`, which imports all of it.

    What asks the package for a name (`tf.keras`) gets it: the `__init__` runs at that moment.
    """
    spec = find_spec("tensorflow")
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")
    loader, module = spec.loader, module_from_spec(spec)

    def load_now(name: str) -> Any:
        del vars(module)["__getattr__"]
        loader.exec_module(module)
        return getattr(module, name)

    vars(module)["__getattr__"] = load_now
    sys.modules["tensorflow"] = module


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    # The import makes some 100,000 objects that stay: to look for garbage among them takes 0.1 s, then and, unless they
    # are left out, again while training is traced.
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


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
