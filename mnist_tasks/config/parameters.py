"""What a person says in the form of a DAG."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field

from mnist_tasks.config.values import EmailAddress, FinalName, Frozen, LearningRate, Reason, Seed
from mnist_tasks.errors import ConfigurationError


class _Parameters(Frozen):
    """What a person types into the form of a DAG."""

    @classmethod
    def from_params(cls, params: Mapping[str, Any], conf: Mapping[str, Any] | None = None) -> Self:
        """Check a run's parameters, and that its conf names no others (Airflow lets unknown keys pass).

        Raises:
            ConfigurationError: an unknown key, or a value outside its bounds.
        """
        known = ", ".join(cls.model_fields)
        unknown = sorted(set(conf or {}) - set(cls.model_fields))
        if unknown:
            raise ConfigurationError(
                f"unknown keys in the run's configuration: {', '.join(map(repr, unknown))}; known are {known}",
                mend="trigger the run again without them, or spell them as listed",
            )
        return cls.checked(params, mend="trigger the run again with values inside the bounds of the form")


class RunConfig(_Parameters):
    """What a person may choose for one run. Defaults are the specification's; a classifier may have others."""

    epochs: int = Field(default=10, ge=1, le=100, description="Passes over the training images.")
    batch_size: int = Field(default=32, ge=1, le=1024, description="Images per optimizer step.")
    learning_rate: LearningRate = Field(default=0.001, description="Adam's step size.")
    learning_rates: tuple[LearningRate, ...] = Field(
        default=(),
        max_length=16,
        description="Adam's step size of each candidate in turn, from the beginning again where there are more "
        "candidates; empty: `learning_rate` for all.",
    )
    candidates: int = Field(default=2, ge=1, le=16, description="Models trained side by side; the best one goes on.")
    validation_images: int = Field(
        default=6000, ge=1000, le=30000, description="Images split off the training images to choose the best epoch by."
    )
    seed: Seed | None = Field(
        default=None,
        description="Empty: derived from the run, so every night is a new draw. The report names it.",
    )
    release_rule: Literal["better", "not_worse"] = Field(
        default="better",
        description="better: only a significantly better model replaces the champion. not_worse: a justified change "
        "of data or code may replace it if it is worse by no more than the classifier's margin (MNIST: half a "
        "percentage point).",
    )
    approval_hours: float | None = Field(
        default=None,
        ge=0.005,  # 18 s: Airflow loses an answer that comes before its scheduler knows that the step waits
        le=24,
        description="Empty: nobody is asked. Otherwise a person has to approve the best candidate in Airflow before it "
        "is promoted; without an answer in so many hours nothing is.",
    )
    recipients: tuple[EmailAddress, ...] = Field(
        default=(), max_length=20, description="Who gets the report; empty: the deployment's recipients."
    )

    def learning_rate_of(self, number: int) -> float:
        """The learning rate of candidate `number` (from 0)."""
        rates = self.learning_rates or (self.learning_rate,)
        return rates[number % len(rates)]


class RollbackConfig(_Parameters):
    """What a person says to put an earlier final back into service."""

    to: FinalName = Field(
        title="Put back into service",
        description="Name of the final, as the reports and the decisions in S3 list it: ..._model_..._final.",
    )
    reason: Reason = Field(
        description="Why. It goes into the decision's record for good.",
    )
