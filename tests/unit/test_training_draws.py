"""Chance in training: functions of (seed, epoch)."""

from __future__ import annotations

import numpy as np
import pytest

from mnist_tasks.training.draws import kept_units, shuffled


def test_an_order_visits_every_image_once() -> None:
    order = shuffled(1000, seed=1, epoch=1)
    assert order.dtype == np.int32
    assert sorted(order) == list(range(1000))


def test_dropout_keeps_the_share_that_the_rate_leaves() -> None:
    kept = kept_units(54_000, 128, 0.2, seed=1, epoch=1)
    assert kept.shape == (54_000, 128)
    # 6.9 million draws: the standard deviation of their mean is 0.00015.
    assert kept.mean() == pytest.approx(0.8, abs=0.0007)
    assert kept.mean(axis=0) == pytest.approx(np.full(128, 0.8), abs=0.01)


@pytest.mark.parametrize(("rate", "share"), [(0.0, 1.0), (1.0, 0.0)])
def test_dropout_at_its_limits_keeps_all_or_nothing(rate: float, share: float) -> None:
    assert kept_units(100, 128, rate, seed=1, epoch=1).mean() == share


def test_neighbouring_units_are_dropped_independently() -> None:
    kept = kept_units(54_000, 128, 0.2, seed=1, epoch=1)
    correlations = [np.corrcoef(kept[:, unit], kept[:, unit + 1])[0, 1] for unit in range(8)]
    assert np.abs(correlations).max() < 0.03


@pytest.mark.parametrize(("seed", "epoch"), [(1, 2), (2, 1)])
def test_another_seed_or_epoch_draws_anew(seed: int, epoch: int) -> None:
    assert not np.array_equal(shuffled(100, seed=1, epoch=1), shuffled(100, seed=seed, epoch=epoch))
    assert not np.array_equal(
        kept_units(100, 128, 0.2, seed=1, epoch=1), kept_units(100, 128, 0.2, seed=seed, epoch=epoch)
    )


def test_the_same_seed_and_epoch_draw_the_same_whatever_was_drawn_before() -> None:
    first = shuffled(100, seed=1, epoch=3), kept_units(100, 128, 0.2, seed=1, epoch=3)
    np.random.RandomState(9).permutation(5)
    shuffled(100, seed=1, epoch=1)
    again = shuffled(100, seed=1, epoch=3), kept_units(100, 128, 0.2, seed=1, epoch=3)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_the_streams_are_frozen() -> None:
    """A change here means that no earlier night can be repeated any more: it has to be on purpose."""
    assert shuffled(10, seed=1, epoch=1).tolist() == [0, 8, 3, 2, 7, 5, 4, 9, 1, 6]
    assert np.packbits(kept_units(2, 16, 0.2, seed=1, epoch=1)).tolist() == [183, 254, 222, 255]


def test_a_mask_of_any_size_can_be_drawn() -> None:
    assert kept_units(3, 5, 0.2, seed=1, epoch=1).shape == (3, 5)
