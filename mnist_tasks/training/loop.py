"""Training with Keras's arithmetic and a fifth of the CPU time of its `fit`.

`train` starts from a Keras model and leaves the best weights in it. Most of what it saves over `fit` comes from *one
traced function that runs a whole epoch*: Keras goes through Python for every batch, which takes longer than the batch's
arithmetic. The rest is in `mnist_tasks.training.network`. Loss and accuracy of an epoch are computed at its end, from
all of its logits at once; only the first epoch stops a few times on its way to tell how it goes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from mnist_tasks.errors import ConfigurationError
from mnist_tasks.history import Epoch, History, Running
from mnist_tasks.training.draws import kept_units, shuffled
from mnist_tasks.training.examples import PIXELS, Examples, aligned, lit_columns
from mnist_tasks.training.network import Network, shared
from mnist_tasks.training.runtime import peak_memory_mb
from mnist_tasks.training.state import Arrays, State

# After how many batches of the first epoch its figures so far are told: what happens there happens in the first few.
_TOLD_AFTER = (1, 3, 10, 30, 100, 300, 1000)
_EVALUATION_BATCH = 500  # images; 1.4 MB as floats


def train(
    model: Any,
    training: Examples,
    validation: Examples,
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    state: State | None = None,
    on_running: Callable[[Running], None] = lambda _running: None,
    on_epoch: Callable[[State], None] = lambda _state: None,
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
        state: Where an earlier call with the same arguments was interrupted. Training goes on from there and ends in
            the same bits as if it had not been.
        on_running: Called a few times during the first epoch with its figures so far.
        on_epoch: Called after each epoch with all that is needed to go on from there.

    Raises:
        ConfigurationError: training diverged; the learning rate is too high.
    """
    images = len(training.labels) + len(validation.labels)
    record = _Record(state.history if state else None, images_mb=images * PIXELS / 1e6)
    columns = training.columns
    if columns is None:
        columns = lit_columns(training.pixels, validation.pixels)
    network = Network(model, columns)
    run_epoch, judge = EpochRunner(network, training, batch_size), Judge(network, validation)
    best: Arrays = ()
    if state:
        network.restore(state.weights, state.first_moments, state.second_moments)
        best = state.best
    for number in range(len(record.epochs) + 1, epochs + 1):
        on_points = record.told(on_running) if number == 1 else None
        record.epochs.append(_timed_epoch(run_epoch, judge, seed=seed, number=number, on_running=on_points))
        history = record.history()
        if history.best.epoch == number:
            best = network.values()
        on_epoch(State(history, network.values(), *network.moments(), best))
    network.write_into(model, best)
    return record.history()


class _Record:
    """The history as it grows, through all the processes that had a part in it."""

    def __init__(self, before: History | None, *, images_mb: float) -> None:
        self.epochs = list(before.epochs) if before else []
        self._start = list(before.start) if before else []
        self._peak_mb = before.peak_memory_mb if before else 0.0
        self._resumed_after = (*before.resumed_after, len(before.epochs)) if before else ()
        self._images_mb = images_mb
        self._started = time.perf_counter() - (before.seconds if before else 0)

    def told(self, on_running: Callable[[Running], None]) -> Callable[[Running], None]:
        """`on_running`, taking down what it is told."""

        def take_down(running: Running) -> None:
            self._start.append(running)
            on_running(running)

        return take_down

    def history(self) -> History:
        return History(
            start=tuple(self._start),
            epochs=tuple(self.epochs),
            seconds=time.perf_counter() - self._started,
            peak_memory_mb=max(self._peak_mb, peak_memory_mb()),
            images_mb=self._images_mb,
            resumed_after=self._resumed_after,
        )


def _timed_epoch(
    run_epoch: EpochRunner, judge: Judge, *, seed: int, number: int, on_running: Callable[[Running], None] | None
) -> Epoch:
    started = time.perf_counter()
    loss, accuracy = run_epoch(seed=seed, epoch=number, on_running=on_running)
    validation_loss, validation_accuracy = judge()
    _check_finite(f"epoch {number}", loss, validation_loss)
    return Epoch(
        epoch=number,
        seconds=time.perf_counter() - started,
        loss=loss,
        accuracy=accuracy,
        validation_loss=validation_loss,
        validation_accuracy=validation_accuracy,
    )


def _check_finite(where: str, *losses: float) -> None:
    if not all(map(math.isfinite, losses)):
        raise ConfigurationError(
            f"training diverged in {where}: the loss is {' and '.join(map(str, losses))}",
            mend="train with a lower learning_rate; 0.001 is known to work",
        )


class _Draws(NamedTuple):
    """What an epoch visits in which order, and what chance and the step's number add; tensors, by image or by step."""

    order: Any
    labels: Any
    kept: Any
    powers: Any


class EpochRunner:
    """Runs whole epochs over the same examples, each as one call of a traced function."""

    def __init__(self, network: Network, training: Examples, batch_size: int) -> None:
        self._network = network
        self._pixels = network.pixels(training)
        self._labels = tf.constant(training.labels.astype(np.int32))
        self._images = len(training.labels)
        self._batch_size = min(batch_size, self._images)
        self._full, self._rest = divmod(self._images, self._batch_size)
        self._mask = aligned((self._images, network.units), np.bool_)
        self._kept = shared(self._mask.view(np.uint8))
        self._run_full = tf.function(self._full_batches, autograph=False)
        self._run_rest = tf.function(self._last_batch, autograph=False)

    def __call__(
        self, *, seed: int, epoch: int, on_running: Callable[[Running], None] | None = None
    ) -> tuple[float, float]:
        """Run epoch number `epoch` (from 1); returns its mean loss and accuracy.

        With `on_running` it stops after some of the batches to tell the means so far. The steps are the same.
        """
        network, steps = self._network, self._full + bool(self._rest)
        order = tf.constant(shuffled(self._images, seed=seed, epoch=epoch))
        labels = tf.gather(self._labels, order)
        draws = _Draws(
            order,
            labels,
            self._draw_kept(seed, epoch),
            tf.constant(network.powers(range((epoch - 1) * steps + 1, epoch * steps + 1))),
        )
        logits: list[Any] = []
        for first, end in pairwise(self._stops(told=on_running is not None)):
            logits.append(self._run_full(draws, tf.constant(first), tf.constant(end)))
            if on_running and end < self._full:
                loss, accuracy = _figures(tf.concat(logits, axis=0), labels[: end * self._batch_size])
                _check_finite(f"epoch {epoch}, batch {end}", loss)
                on_running(Running(batch=end, images=end * self._batch_size, loss=loss, accuracy=accuracy))
        if self._rest:
            logits.append(self._run_rest(draws))
        return _figures(tf.concat(logits, axis=0), labels)

    def _draw_kept(self, seed: int, epoch: int) -> Any:
        # One block for the masks of all epochs: a new one each time would be there together with the one before.
        kept_units(self._images, self._network.units, self._network.dropout, seed=seed, epoch=epoch, out=self._mask)
        return self._kept

    def _stops(self, *, told: bool) -> list[int]:
        """The numbers of full batches between which an epoch runs in one go."""
        return [0, *(batch for batch in _TOLD_AFTER if told and batch < self._full), self._full]

    def _full_batches(self, draws: _Draws, first: Any, end: Any) -> Any:
        """Steps number `first` (from 0) up to before `end`; returns the logits of all their images."""
        logits = tf.TensorArray(tf.float32, end - first, element_shape=(self._batch_size, self._network.classes))
        _, logits = tf.while_loop(
            lambda number, _: number < end,
            lambda number, logits: (
                number + 1,
                logits.write(number - first, self._step(draws, number, self._batch_size)),
            ),
            (first, logits),
            parallel_iterations=1,
        )
        return logits.concat()

    def _last_batch(self, draws: _Draws) -> Any:
        return self._step(draws, self._full, self._rest)

    def _step(self, draws: _Draws, number: Any, images: int) -> Any:
        start = number * self._batch_size
        return self._network.step(
            # Gathered here and not once for the epoch: as fast, and without a second copy of all images.
            tf.gather(self._pixels, tf.slice(draws.order, [start], [images])),
            tf.slice(draws.labels, [start], [images]),
            tf.slice(draws.kept, [start, 0], [images, self._network.units]),
            draws.powers[number],
        )


class Judge:
    """Loss and accuracy of the network as it is now, on examples that it is not trained on."""

    def __init__(self, network: Network, examples: Examples) -> None:
        self._pixels = network.pixels(examples)
        self._labels = tf.constant(examples.labels.astype(np.int32))
        self._logits = tf.function(network.logits, autograph=False, reduce_retracing=True)

    def __call__(self) -> tuple[float, float]:
        """Mean loss, and the share of images whose most probable class is their label."""
        return _figures(tf.concat(list(self._in_parts()), axis=0), self._labels)

    def _in_parts(self) -> Iterator[Any]:
        for start in range(0, len(self._labels), _EVALUATION_BATCH):
            yield self._logits(self._pixels[start : start + _EVALUATION_BATCH])


def _figures(logits: Any, labels: Any) -> tuple[float, float]:
    """Mean cross-entropy and accuracy; of equal logits the first counts as the answer, as in Keras."""
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    right = tf.argmax(logits, axis=1, output_type=tf.int32) == labels
    return float(tf.reduce_mean(loss)), float(tf.reduce_mean(tf.cast(right, tf.float32)))
