"""Where training stands after an epoch, and its bytes: what a process that takes over needs to end in the same bits.

The bytes are one line of JSON (`_Header`), then the arrays as little-endian float32 in C order. No pickle and no
archive: nothing in there can run, or become larger than it is. They have no check-sum: their encryption is one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from mnist_tasks import __version__
from mnist_tasks.config import Frozen, TrainingJob
from mnist_tasks.errors import IntegrityError
from mnist_tasks.history import History

Arrays = tuple[NDArray[np.float32], ...]

_FLOAT = np.dtype("<f4")
_MEND = "nothing has to be done: training starts from its first epoch and overwrites it"


class _Header(Frozen):
    """What stands before the arrays: whose they are, how far it got, and the shape of each array of a group."""

    code_version: str
    job: TrainingJob
    history: History
    shapes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, eq=False)
class State:
    """Training after its newest epoch. Shuffles, dropout and Adam's step number follow from how many epochs there are.

    Four groups of arrays of the same shapes: the weights as `Network` lays them out, Adam's two moments, and the
    weights of the best epoch so far.
    """

    history: History
    weights: Arrays
    first_moments: Arrays
    second_moments: Arrays
    best: Arrays = field(repr=False)

    def to_bytes(self, job: TrainingJob) -> bytes:
        """The state of `job` as bytes that `from_bytes` accepts for that job only."""
        header = _Header(
            code_version=__version__,
            job=job,
            history=self.history,
            shapes=tuple(array.shape for array in self.weights),
        )
        arrays = (*self.weights, *self.first_moments, *self.second_moments, *self.best)
        parts = (array.astype(_FLOAT, copy=False).tobytes() for array in arrays)
        return b"".join((header.model_dump_json().encode(), b"\n", *parts))

    @classmethod
    def from_bytes(cls, body: bytes, job: TrainingJob) -> Self:
        """The state in these bytes.

        Raises:
            IntegrityError: they are no such bytes, or belong to another job or another version of the code: going on
                from them would not end in the same bits.
        """
        line, _, floats = body.partition(b"\n")
        header = _read_header(line)
        if (header.job, header.code_version) != (job, __version__):
            raise IntegrityError(
                f"it is that of {header.job.candidate} of run {header.job.run} by code {header.code_version}, in other "
                f"words of another job than this one, or of other code than {__version__}",
                mend=_MEND,
            )
        groups = [_read_group(floats, header.shapes, number) for number in range(4)]
        return cls(header.history, *groups)


def _read_header(line: bytes) -> _Header:
    try:
        return _Header.model_validate_json(line)
    except ValidationError as error:
        raise IntegrityError(f"its first line is not what this code writes: {error}", mend=_MEND) from None


def _read_group(floats: bytes, shapes: Sequence[tuple[int, ...]], number: int) -> Arrays:
    sizes = [math.prod(shape) for shape in shapes]
    if len(floats) != 4 * sum(sizes) * _FLOAT.itemsize:
        raise IntegrityError(f"it has {len(floats):,} bytes of arrays, which do not fit {shapes}", mend=_MEND)
    values = np.frombuffer(floats, _FLOAT, sum(sizes), number * sum(sizes) * _FLOAT.itemsize).astype(np.float32)
    parts = np.split(values, np.cumsum(sizes)[:-1])
    return tuple(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))
