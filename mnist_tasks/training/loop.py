"""Training with Keras's arithmetic and a sixth of the CPU time of its `fit`.

`train` starts from a Keras model and leaves the best weights in it. Most of what it saves over `fit` comes from *one
traced function that runs a whole epoch*: Keras goes through Python for every batch, which takes longer than the batch's
arithmetic. The rest is in `mnist_tasks.training.network`. Loss and accuracy of an epoch are computed at its end, from
all of its logits at once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mnist_tasks.checkpoints import Epoch, History
from mnist_tasks.errors import ConfigurationError
from mnist_tasks.training.draws import kept_units, shuffled
from mnist_tasks.training.examples import Examples
from mnist_tasks.training.network import Network
from mnist_tasks.training.runtime import peak_memory_mb

_EVALUATION_BATCH = 2000  # images; 6 MB as floats


def train(
    model: Any,
    training: Examples,
    validation: Examples,
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    on_epoch: Callable[[History], None] = lambda _history: None,
) -> History:
    """Train `model`, leave the weights of its best epoch in it, and return the figures of every epoch.

    An epoch's training figures are those of Keras `fit`: means over the images as each batch met the weights of its
    step, with dropout. Its validation figures are those of Keras `evaluate` with the weights at the epoch's end.

    Args:
        model: A compiled model of `build_model`; it also says the dropout rate and Adam's constants.
        training: What is trained on. A last batch that is not full counts with its own size, as in Keras.
        validation: What chooses the best epoch (`History.best`).
        epochs: Passes over the training examples.
        batch_size: Images a step.
        seed: Shuffles and dropout follow from it. One seed gives the same bits on the same kind of machine.
        on_epoch: Called after each epoch with the history so far.

    Raises:
        ConfigurationError: training diverged; the learning rate is too high.
    """
    started = time.perf_counter()
    columns = np.flatnonzero(training.pixels.any(axis=0) | validation.pixels.any(axis=0))
    network = Network(model, columns)
    run_epoch, judge = EpochRunner(network, training, batch_size), Judge(network, validation)
    done: tuple[Epoch, ...] = ()
    best: tuple[NDArray[np.float32], ...] = ()
    for number in range(1, epochs + 1):
        done = (*done, _timed_epoch(run_epoch, judge, seed=seed, number=number))
        history = History(epochs=done, seconds=time.perf_counter() - started, peak_memory_mb=peak_memory_mb())
        if history.best.epoch == number:
            best = network.values()
        on_epoch(history)
    network.write_into(model, best)
    return history


def _timed_epoch(run_epoch: EpochRunner, judge: Judge, *, seed: int, number: int) -> Epoch:
    started = time.perf_counter()
    loss, accuracy = run_epoch(seed=seed, epoch=number)
    validation_loss, validation_accuracy = judge()
    if not math.isfinite(loss + validation_loss):
        raise ConfigurationError(
            f"training diverged in epoch {number}: its loss is {loss}, its validation loss {validation_loss}",
            mend="train with a lower learning_rate; 0.001 is known to work",
        )
    return Epoch(
        epoch=number,
        seconds=time.perf_counter() - started,
        loss=loss,
        accuracy=accuracy,
        validation_loss=validation_loss,
        validation_accuracy=validation_accuracy,
    )


class EpochRunner:
    """Runs whole epochs over the same examples, each as one call of a traced function."""

    def __init__(self, network: Network, training: Examples, batch_size: int) -> None:
        self._network = network
        self._pixels = network.pixels(training)
        self._labels = tf.constant(training.labels.astype(np.int32))
        self._images = len(training.labels)
        self._batch_size = min(batch_size, self._images)
        self._steps = -(-self._images // self._batch_size)
        self._run = tf.function(self._epoch, autograph=False)

    def __call__(self, *, seed: int, epoch: int) -> tuple[float, float]:
        """Run epoch number `epoch` (from 1); returns its mean loss and accuracy."""
        network = self._network
        loss, accuracy = self._run(
            tf.constant(shuffled(self._images, seed=seed, epoch=epoch)),
            tf.constant(kept_units(self._images, network.units, network.dropout, seed=seed, epoch=epoch)),
            tf.constant(network.powers(range((epoch - 1) * self._steps + 1, epoch * self._steps + 1))),
        )
        return float(loss), float(accuracy)

    def _epoch(self, order: Any, kept: Any, powers: Any) -> tuple[Any, Any]:
        labels = tf.gather(self._labels, order)
        size, rest = self._batch_size, self._images % self._batch_size

        def step(number: Any, images: int) -> Any:
            start = number * size
            return self._network.step(
                # Gathered here and not once for the epoch: as fast, and without a second copy of all images.
                tf.gather(self._pixels, tf.slice(order, [start], [images])),
                tf.slice(labels, [start], [images]),
                tf.slice(kept, [start, 0], [images, self._network.units]),
                powers[number],
            )

        full = self._images // size
        logits = tf.TensorArray(tf.float32, full, element_shape=(size, self._network.classes))
        _, logits = tf.while_loop(
            lambda number, _: number < full,
            lambda number, logits: (number + 1, logits.write(number, step(number, size))),
            (0, logits),
            parallel_iterations=1,
        )
        everything = logits.concat()
        if rest:
            everything = tf.concat([everything, step(full, rest)], axis=0)
        return _figures(everything, labels)


class Judge:
    """Loss and accuracy of the network as it is now, on examples that it is not trained on."""

    def __init__(self, network: Network, examples: Examples) -> None:
        self._pixels = network.pixels(examples)
        self._labels = tf.constant(examples.labels.astype(np.int32))
        self._logits = tf.function(network.logits, autograph=False, reduce_retracing=True)

    def __call__(self) -> tuple[float, float]:
        """Mean loss, and the share of images whose most probable class is their label."""
        loss, accuracy = _figures(tf.concat(list(self._in_parts()), axis=0), self._labels)
        return float(loss), float(accuracy)

    def _in_parts(self) -> Iterator[Any]:
        for start in range(0, len(self._labels), _EVALUATION_BATCH):
            yield self._logits(self._pixels[start : start + _EVALUATION_BATCH])


def _figures(logits: Any, labels: Any) -> tuple[Any, Any]:
    """Mean cross-entropy and accuracy; of equal logits the first counts as the answer, as in Keras."""
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    right = tf.argmax(logits, axis=1, output_type=tf.int32) == labels
    return tf.reduce_mean(loss), tf.reduce_mean(tf.cast(right, tf.float32))
