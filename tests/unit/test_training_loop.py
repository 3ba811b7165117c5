"""Whole epochs of our own against the same epochs in plain Keras."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.errors import ConfigurationError
from mnist_tasks.history import History, Running
from mnist_tasks.inference import Weights
from mnist_tasks.training.draws import kept_units, shuffled
from mnist_tasks.training.epochs import EpochRunner, figures
from mnist_tasks.training.loop import train
from mnist_tasks.training.model import build_model
from mnist_tasks.training.network import Adam, Network
from mnist_tasks.training.state import State
from mnist_tasks.training.weights import initial_weights, weights_file
from tests.keras_reference import Examples, KerasSteps, as_keras_wants, digits

TRAINING, VALIDATION = digits(600, seed=1), digits(200, seed=2)


def trained(
    *,
    seed: int = 3,
    epochs: int = 2,
    batch_size: int = 32,
    training: Examples = TRAINING,
    validation: Examples = VALIDATION,
    on_epoch: Callable[[State], None] = lambda state: None,
    learning_rate: float = 0.001,
    state: State | None = None,
) -> tuple[Weights, History]:
    return train(
        initial_weights(MNIST, seed),
        training,
        validation,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        state=state,
        on_epoch=on_epoch,
    )


def in_keras(weights: Weights) -> Any:
    model = build_model(0)
    model.set_weights(astuple(weights))
    return model


@pytest.mark.parametrize(
    "batch_size", [32, 50, 7, 600, 1000], ids=["last of 24", "none left", "last of 5", "one", "one, not full"]
)
def test_epochs_are_those_of_keras_and_a_partial_last_batch_counts_as_in_keras(batch_size: int) -> None:
    """600 images in the same orders under the same masks; the loss is the mean over images, not over batches."""
    weights, history = trained(epochs=2, batch_size=batch_size)
    reference = KerasSteps(build_model(3))
    for epoch in history.epochs:
        loss, accuracy = epoch_in_keras(reference, epoch.epoch, batch_size)
        assert epoch.loss == pytest.approx(loss, abs=2e-5)
        assert epoch.accuracy == pytest.approx(accuracy, abs=0.002)
    for ours, theirs in zip(astuple(weights), reference.model.get_weights(), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-4)  # free-running for up to 172 steps


def epoch_in_keras(reference: KerasSteps, epoch: int, batch_size: int) -> tuple[float, float]:
    order, kept = shuffled(600, seed=3, epoch=epoch), kept_units(600, 128, 0.2, seed=3, epoch=epoch)
    images, labels = as_keras_wants(TRAINING)[order], TRAINING.labels[order].astype(np.int32)
    losses, right = 0.0, 0
    for start in range(0, 600, batch_size):
        batch = slice(start, start + batch_size)
        loss, probabilities = reference.step(*map(tf.constant, (images[batch], labels[batch], kept[batch])))
        losses += float(loss) * len(labels[batch])
        right += int((probabilities.numpy().argmax(axis=1) == labels[batch]).sum())
    return losses / 600, right / 600


def test_validation_figures_and_the_returned_weights_are_those_of_the_best_epoch() -> None:
    # A learning rate so high that the last epoch is far from the best one.
    weights, history = trained(epochs=7, learning_rate=0.01)
    assert history.best.epoch < 7
    loss, accuracy = in_keras(weights).evaluate(as_keras_wants(VALIDATION), VALIDATION.labels, verbose=0)
    assert (loss, accuracy) == pytest.approx((history.best.validation_loss, history.best.validation_accuracy), abs=1e-5)


def test_fewer_epochs_of_the_same_seed_are_the_beginning_of_more() -> None:
    """An epoch depends on the seed and its number, not on how many are to come."""
    _, short = trained(epochs=2)
    _, long = trained(epochs=3)
    figures = [
        [(e.loss, e.accuracy, e.validation_loss, e.validation_accuracy) for e in h.epochs] for h in (short, long)
    ]
    assert figures[0] == figures[1][:2]


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    first, again, other = (weights_file(trained(seed=seed)[0]) for seed in (3, 3, 4))
    assert first == again
    assert first != other


@pytest.mark.parametrize("interrupted_after", [1, 2, 3])
def test_resumed_after_any_epoch_training_ends_in_the_same_bits(interrupted_after: int) -> None:
    """At a rate at which the best epoch is not always the last one: it may lie before the interruption."""
    states: list[State] = []
    whole, history = trained(epochs=3, learning_rate=0.02, on_epoch=states.append)
    saved = states[interrupted_after - 1]
    frozen = [array.copy() for array in (*saved.weights, *saved.second_moments, *saved.best)]

    weights, resumed = trained(epochs=3, learning_rate=0.02, state=saved)

    assert weights_file(weights) == weights_file(whole)
    assert resumed.resumed_after == (interrupted_after,)
    assert resumed.best.model_dump(exclude={"seconds"}) == history.best.model_dump(exclude={"seconds"})
    assert resumed.start == history.start
    assert resumed.seconds >= saved.history.seconds
    untouched = zip(frozen, (*saved.weights, *saved.second_moments, *saved.best), strict=True)
    assert all(np.array_equal(one, other) for one, other in untouched)


def test_every_interruption_is_noted() -> None:
    states: list[State] = []
    trained(epochs=1, on_epoch=states.append)
    trained(epochs=2, state=states[0], on_epoch=states.append)
    _, history = trained(epochs=3, state=states[1])
    assert history.resumed_after == (1, 2)


def test_training_learns() -> None:
    _, history = trained(epochs=8)
    assert history.best.validation_accuracy > 0.9
    assert history.epochs[-1].loss < history.epochs[0].loss / 2


def test_every_epoch_is_reported_as_soon_as_it_is_done() -> None:
    seen: list[int] = []
    _, history = trained(epochs=3, on_epoch=lambda so_far: seen.append(len(so_far.history.epochs)))
    assert seen == [1, 2, 3]
    assert [epoch.epoch for epoch in history.epochs] == [1, 2, 3]
    assert history.seconds >= sum(epoch.seconds for epoch in history.epochs) > 0
    assert 50 < history.peak_memory_mb < 20_000


def test_the_first_epoch_tells_its_figures_from_the_first_batch_on() -> None:
    _, history = trained(epochs=2)
    assert [(running.batch, running.images) for running in history.start] == [(1, 32), (3, 96), (10, 320)]
    assert history.start[0].loss == pytest.approx(np.log(10), abs=0.7)  # nothing is known yet
    assert history.start[0].accuracy * 32 == pytest.approx(round(history.start[0].accuracy * 32), abs=1e-4)
    assert history.start[-1].loss > history.epochs[0].loss


def test_to_tell_figures_inside_the_first_epoch_changes_no_bit() -> None:
    network = Network(initial_weights(MNIST, 3), Adam(0.001), np.arange(784))
    quiet = EpochRunner(network, TRAINING, 32)
    quiet_figures, quiet_values = quiet(seed=3, epoch=1), network.values()
    network = Network(initial_weights(MNIST, 3), Adam(0.001), np.arange(784))
    told: list[Running] = []
    talking = EpochRunner(network, TRAINING, 32)
    assert talking(seed=3, epoch=1, on_running=told.append) == quiet_figures
    assert len(told) == 3
    assert all(np.array_equal(one, other) for one, other in zip(network.values(), quiet_values, strict=True))


def test_validation_images_do_not_train() -> None:
    """Other labels there: other figures, the same training."""
    shifted = Examples(VALIDATION.pixels, ((VALIDATION.labels + 1) % 10).astype(np.uint8))
    _, history = trained(epochs=1)
    weights, other = trained(epochs=1, validation=shifted)
    assert other.epochs[0].loss == history.epochs[0].loss
    assert other.epochs[0].validation_accuracy < history.epochs[0].validation_accuracy
    assert np.array_equal(weights.hidden_kernel, trained(epochs=1)[0].hidden_kernel)


def test_pixels_that_light_up_only_in_validation_images_count_there() -> None:
    """Their weights are never trained, but Keras would use them as they started."""
    pixels = VALIDATION.pixels.copy()
    dark = ~TRAINING.pixels.any(axis=0)
    pixels[:, dark] = 255
    spoilt = Examples(pixels, VALIDATION.labels)
    weights, history = trained(epochs=1, validation=spoilt)
    loss, _ = in_keras(weights).evaluate(as_keras_wants(spoilt), spoilt.labels, verbose=0)
    assert history.epochs[0].validation_loss == pytest.approx(loss, rel=1e-5)


def test_training_that_diverges_says_so_and_how_to_mend_it() -> None:
    with pytest.raises(ConfigurationError, match=r"diverged in epoch 1.*\n.*learning_rate"):
        trained(epochs=1, learning_rate=1e38)


def test_loss_and_accuracy_are_those_of_tensorflow() -> None:
    """Also for logits whose exponentials would overflow, and where two classes are equally probable."""
    logits = np.random.RandomState(0).normal(0, 100, (50, 10)).astype(np.float32)
    logits[:10, 3] = logits[:10, 7] = 400
    labels = (np.arange(50) % 10).astype(np.int32)
    loss, accuracy = figures(logits, labels)
    expected = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    assert loss == pytest.approx(float(tf.reduce_mean(expected)), rel=1e-5)
    assert accuracy == pytest.approx(
        float(tf.reduce_mean(tf.keras.metrics.sparse_categorical_accuracy(labels, logits)))
    )


def test_a_loss_that_is_not_finite_is_not_hidden() -> None:
    assert np.isnan(figures(np.array([[np.inf, np.nan, 0]], np.float32), np.array([2], np.int32))[0])
