"""Training with Keras's arithmetic and a fifth of the CPU time of its `fit`: from epoch to epoch.

What makes it fast is in `mnist_tasks.training.epochs`, and in `mnist_tasks.training.network`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from mnist_tasks.history import Epoch, History, Running
from mnist_tasks.inference import Weights
from mnist_tasks.training.epochs import EpochRunner, Judge, check_finite
from mnist_tasks.training.examples import Examples, lit_columns
from mnist_tasks.training.network import Adam, Network
from mnist_tasks.training.runtime import peak_memory_mb
from mnist_tasks.training.state import Arrays, State


def train(
    weights: Weights,
    training: Examples,
    validation: Examples,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    state: State | None = None,
    on_running: Callable[[Running], None] = lambda _running: None,
    on_epoch: Callable[[State], None] = lambda _state: None,
) -> tuple[Weights, History]:
    """Train from `weights` on; returns the weights of the best epoch, and the figures of every epoch.

    An epoch's training figures are those of Keras `fit`: means over the images as each batch met the weights of its
    step, with dropout. Its validation figures are those of Keras `evaluate` with the weights at the epoch's end.

    Args:
        weights: What to start from; they stay as they are.
        training: What is trained on. A last batch that is not full counts with its own size, as in Keras.
        validation: What chooses the best epoch (`History.best`).
        epochs: Passes over the training examples.
        batch_size: Images a step.
        learning_rate: Adam's.
        seed: Shuffles and dropout follow from it. One seed gives the same bits on the same kind of machine.
        state: Where an earlier call with the same arguments was interrupted. Training goes on from there and ends in
            the same bits as if it had not been.
        on_running: Called a few times during the first epoch with its figures so far.
        on_epoch: Called after each epoch with all that is needed to go on from there.

    Raises:
        ConfigurationError: training diverged; the learning rate is too high.
    """
    images = len(training.labels) + len(validation.labels)
    record = _Record(state.history if state else None, images_mb=images * len(weights.hidden_kernel) / 1e6)
    columns = training.columns
    if columns is None:
        columns = lit_columns(training.pixels, validation.pixels)
    network = Network(weights, Adam(learning_rate), columns)
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
    return network.unpacked(best), record.history()


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
    check_finite(f"epoch {number}", loss, validation_loss)
    return Epoch(
        epoch=number,
        seconds=time.perf_counter() - started,
        loss=loss,
        accuracy=accuracy,
        validation_loss=validation_loss,
        validation_accuracy=validation_accuracy,
    )
