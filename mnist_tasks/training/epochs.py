"""Whole epochs of training, each as one call of a traced function, and the judgement at an epoch's end.

Most of what training saves over Keras's `fit` is saved here: Keras goes through Python for every batch, which takes
longer than the batch's arithmetic. What is left to save is the executor's work, about a microsecond for each node of
the loop's graph at each step. Hence:

- *What an epoch draws lies in variables, one row for each step.* A variable is a constant of the loop, where a tensor
  goes through three more nodes at every step, and a row is had by one kernel (a slice takes three). 3% of an epoch.
  Images and masks are tensors all the same: a variable that is gathered from copies what it does not own.
- *The logits of all steps are kept*, and the epoch's loss and accuracy computed from them in one go.
- *The last batch, if it is not full, and the judgement are not traced*: to trace them takes longer than to run them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_tasks.errors import ConfigurationError
from mnist_tasks.history import Running
from mnist_tasks.training.draws import kept_units, shuffled
from mnist_tasks.training.examples import Examples, aligned
from mnist_tasks.training.kernels import (
    Variable,
    constant,
    float32,
    function,
    gather_v2,
    int32,
    resource_gather,
    resource_scatter_update,
    shared,
    while_loop,
)
from mnist_tasks.training.network import DROPOUT, Network

# After how many batches of the first epoch its figures so far are told: what happens there happens in the first few.
_TOLD_AFTER = (1, 3, 10, 30, 100, 300, 1000)
_EVALUATION_BATCH = 500  # images; of MNIST 1.4 MB as floats


class EpochRunner:
    """Runs epochs over the same examples."""

    def __init__(self, network: Network, training: Examples, batch_size: int) -> None:
        self._network = network
        self._labels = training.labels.astype(np.int32)
        self._images = len(training.labels)
        self._size = min(batch_size, self._images)
        self._full = self._images // self._size  # batches
        self._in_full = self._full * self._size  # images
        # One block for the masks of all epochs: a new one each time would be there together with the one before.
        self._mask = aligned((self._images, network.units), np.bool_)
        self._make_variables(training)
        self._run = function(self._batches, autograph=False)

    def _make_variables(self, training: Examples) -> None:
        rows = (self._full, self._size)
        mask = self._mask[: self._in_full].view(np.uint8).reshape(*rows, self._network.units)
        self._pixels, self._kept = self._network.pixels(training), shared(mask)
        self._order, self._row_labels = Variable(np.zeros(rows, np.int32)), Variable(np.zeros(rows, np.int32))
        self._rates = Variable(np.zeros(self._full, np.float32))
        self._logits = Variable(np.zeros((*rows, self._network.classes), np.float32))

    def __call__(
        self, *, seed: int, epoch: int, on_running: Callable[[Running], None] | None = None
    ) -> tuple[float, float]:
        """Run epoch number `epoch` (from 1); returns its mean loss and accuracy.

        With `on_running` it stops after some of the batches to tell the means so far. The steps are the same.
        """
        order, rates = self._draw(seed, epoch)
        labels = self._labels[order]
        for first, end in pairwise(self._stops(told=on_running is not None)):
            self._run(constant(first), constant(end))
            if on_running and end < self._full:
                images = end * self._size
                loss, accuracy = figures(self._logits_of_rows()[:images], labels[:images])
                check_finite(f"epoch {epoch}, batch {end}", loss)
                on_running(Running(batch=end, images=images, loss=loss, accuracy=accuracy))
        logits = self._logits_of_rows()
        if self._in_full < self._images:
            rest = self._rest(order[self._in_full :], labels[self._in_full :], rates[-1])
            logits = np.concatenate([logits, rest.numpy()])
        return figures(logits, labels)

    def _draw(self, seed: int, epoch: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Fill the epoch's variables; returns the order of all images, and the learning rates of all steps."""
        order, full = shuffled(self._images, seed=seed, epoch=epoch), self._in_full
        kept_units(self._images, self._network.units, DROPOUT, seed=seed, epoch=epoch, out=self._mask)
        steps = -(-self._images // self._size)
        rates = self._network.adam.rates(range((epoch - 1) * steps + 1, epoch * steps + 1))
        self._order.assign(order[:full].reshape(self._full, self._size))
        self._row_labels.assign(self._labels[order[:full]].reshape(self._full, self._size))
        self._rates.assign(rates[: self._full])
        return order, rates

    def _stops(self, *, told: bool) -> list[int]:
        """The numbers of full batches between which an epoch runs in one go."""
        return [0, *(batch for batch in _TOLD_AFTER if told and batch < self._full), self._full]

    def _batches(self, first: Any, end: Any) -> None:
        """Steps number `first` (from 0) up to before `end`."""
        while_loop(lambda number: number < end, self._batch, (first,), parallel_iterations=1)

    def _batch(self, number: Any) -> Any:
        images = resource_gather(self._order.handle, number, int32)
        logits = self._network.step(
            # Gathered here and not once for the epoch: as fast, and without a second copy of all images.
            gather_v2(self._pixels, images, axis=0),
            resource_gather(self._row_labels.handle, number, int32),
            gather_v2(self._kept, number, axis=0),
            resource_gather(self._rates.handle, number, float32),
        )
        resource_scatter_update(self._logits.handle, number, logits)
        return number + 1

    def _rest(self, images: NDArray[np.int32], labels: NDArray[np.int32], rate: np.float32) -> Any:
        pixels = gather_v2(self._pixels, constant(images), axis=0)
        kept = constant(self._mask[self._in_full :].view(np.uint8))
        return self._network.step(pixels, constant(labels), kept, constant(rate))

    def _logits_of_rows(self) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = self._logits.numpy()
        return logits.reshape(self._in_full, self._network.classes)


class Judge:
    """Loss and accuracy of the network as it is now, on examples that it is not trained on."""

    def __init__(self, network: Network, examples: Examples) -> None:
        self._network = network
        self._pixels = network.pixels(examples)
        self._labels = examples.labels.astype(np.int32)

    def __call__(self) -> tuple[float, float]:
        """Mean loss, and the share of images whose most probable class is their label."""
        return figures(np.concatenate(list(self._in_parts())), self._labels)

    def _in_parts(self) -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(self._labels), _EVALUATION_BATCH):
            yield self._network.logits(self._pixels[start : start + _EVALUATION_BATCH]).numpy()


def figures(logits: NDArray[np.float32], labels: NDArray[np.int32]) -> tuple[float, float]:
    """Mean cross-entropy and accuracy; of equal logits the first counts as the answer, as in Keras.

    In NumPy, which is twice as fast at it as TensorFlow's kernels are.
    """
    answers = logits.argmax(axis=1)
    with np.errstate(over="ignore", invalid="ignore"):  # a loss that is not finite tells of training that diverged
        below = logits - np.take_along_axis(logits, answers[:, np.newaxis], axis=1)  # no exponential can overflow
        losses = np.log(np.exp(below) @ np.ones(logits.shape[1], np.float32))
        losses -= np.take_along_axis(below, labels[:, np.newaxis], axis=1)[:, 0]
    return float(losses.mean(dtype=np.float64)), float((answers == labels).mean())


def check_finite(where: str, *losses: float) -> None:
    """Raises ConfigurationError if training diverged."""
    if not all(map(math.isfinite, losses)):
        raise ConfigurationError(
            f"training diverged in {where}: the loss is {' and '.join(map(str, losses))}",
            mend="train with a lower learning_rate; 0.001 is known to work",
        )
