"""What a training tells of itself: figures inside its first epoch, of every epoch, and of the whole."""

from __future__ import annotations

import math
from typing import Self

from pydantic import Field, model_validator

from mnist_tasks.config import Frozen

_FLOAT32_BYTES = 4


class Memory(Frozen):
    """What training took, in MB of 1,000,000 bytes: its peak, its images as kept and as Keras would keep them."""

    peak_mb: float = Field(ge=0, allow_inf_nan=False)
    images_mb: float = Field(gt=0, allow_inf_nan=False)
    images_as_float32_mb: float = Field(gt=0, allow_inf_nan=False)


class Epoch(Frozen):
    """Figures of one pass over the training images. Losses are mean cross-entropies in nats."""

    epoch: int = Field(ge=1, description="from 1")
    seconds: float = Field(ge=0, allow_inf_nan=False)
    loss: float = Field(ge=0, allow_inf_nan=False)
    accuracy: float = Field(ge=0, le=1)
    validation_loss: float = Field(ge=0, allow_inf_nan=False)
    validation_accuracy: float = Field(ge=0, le=1)


class Running(Frozen):
    """Figures in the middle of the first epoch: means over all `images` of its first `batch` batches."""

    batch: int = Field(ge=1, description="from 1")
    images: int = Field(ge=1)
    loss: float = Field(ge=0, allow_inf_nan=False)
    accuracy: float = Field(ge=0, le=1)


class History(Frozen):
    """A whole training, or one up to its newest epoch.

    `start` has figures from inside the first epoch, its first batch among them. `seconds` are those of the wall clock,
    without what an interruption took or lost. `images_mb` is what the images that were trained and validated on take as
    bytes; a MB has 1,000,000. `resumed_after` names the epochs after which training was interrupted and went on in
    another process; the weights are the same as without.
    """

    start: tuple[Running, ...] = ()
    epochs: tuple[Epoch, ...] = Field(min_length=1)
    seconds: float = Field(ge=0, allow_inf_nan=False)
    peak_memory_mb: float = Field(ge=0, allow_inf_nan=False)
    images_mb: float | None = Field(None, gt=0, allow_inf_nan=False)
    resumed_after: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _epochs_are_complete(self) -> Self:
        numbers = [epoch.epoch for epoch in self.epochs]
        if numbers != list(range(1, len(numbers) + 1)):
            raise ValueError(f"epochs are {numbers}, expected 1 to {len(numbers)} in order")
        return self

    @model_validator(mode="after")
    def _resumed_where_an_epoch_ended(self) -> Self:
        if list(self.resumed_after) != sorted(self.resumed_after) or not {*self.resumed_after} <= {
            epoch.epoch for epoch in self.epochs
        }:
            raise ValueError(f"resumed after {self.resumed_after}, expected ascending numbers of its epochs")
        return self

    @property
    def best(self) -> Epoch:
        """The epoch whose weights are kept: highest validation accuracy, then lower loss, then the earlier one."""
        return min(self.epochs, key=lambda epoch: (-epoch.validation_accuracy, epoch.validation_loss, epoch.epoch))

    @property
    def figures(self) -> tuple[object, ...]:
        """What two trainings to the same weights have in common: all but times, memory and interruptions."""
        return self.start, tuple(epoch.model_copy(update={"seconds": 0.0}) for epoch in self.epochs)

    @property
    def memory(self) -> Memory | None:
        """None in histories that do not know how large their images were."""
        if self.images_mb is None:
            return None
        return Memory(
            peak_mb=self.peak_memory_mb,
            images_mb=self.images_mb,
            images_as_float32_mb=self.images_mb * _FLOAT32_BYTES,
        )

    def converged(self, validation_images: int) -> int:
        """The epoch from which validation accuracy no longer rises.

        That is the first one within a standard error of the best: on so few images, what comes later cannot be told
        from luck (the one-standard-error rule of Breiman et al., Classification and Regression Trees, 1984).
        """
        best = self.best.validation_accuracy
        enough = best - math.sqrt(best * (1 - best) / validation_images)
        return next(epoch.epoch for epoch in self.epochs if epoch.validation_accuracy >= enough)
