"""What one container is asked to do, and how that travels to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from mnist_tasks.config.values import (
    ENVIRONMENT_PREFIX,
    BucketName,
    CandidateName,
    ClassifierName,
    FinalName,
    Frozen,
    LearningRate,
    Person,
    Reason,
    Reply,
    S3KeyPart,
    Seed,
    Sha256,
    variables_of,
)
from mnist_tasks.errors import ConfigurationError


class TrainingJob(Frozen):
    """Everything that the training container needs to know; travels as environment variables.

    The container reads nothing else: the same job gives the same candidate.
    """

    bucket: BucketName
    checkpoints_prefix: S3KeyPart
    run: S3KeyPart
    candidate: CandidateName
    dataset_sha256: Sha256
    seed: Seed
    epochs: int = Field(ge=1, le=100)
    batch_size: int = Field(ge=1, le=1024)
    learning_rate: LearningRate
    validation_images: int = Field(ge=1000, le=30000)
    classifier: ClassifierName = Field(default="mnist", description="a record of before there were others has none")

    @model_validator(mode="after")
    def _candidate_is_the_classifiers(self) -> Self:
        if self.candidate.rpartition("_model_")[0] != self.classifier:
            raise ValueError(f"{self.candidate} is no candidate of the classifier {self.classifier}")
        return self

    def to_environment(self) -> dict[str, str]:
        """The variables that `from_environment` reads."""
        return {ENVIRONMENT_PREFIX + name.upper(): str(value) for name, value in self.model_dump().items()}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the job of this container.

        Raises:
            ConfigurationError: a variable is missing or outside its bounds.
        """
        names = variables_of(cls)
        values = {name: environment[variable] for name, variable in names.items() if variable in environment}
        mend = "set these environment variables in the task's overrides"
        return cls.checked(values, mend=mend, names=names)

    @property
    def name(self) -> str:
        """What this job is called among those of its run."""
        return self.candidate

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the container's command line says besides: nothing."""
        return ()


class PromotionJob(Frozen):
    """What the promoter is asked to decide: its one argument, and environment variables.

    It says which run, and nothing of what came of it: the promoter reads that again, and computes it again.
    """

    action: Literal["promote", "rollback"]
    bucket: BucketName
    checkpoints_prefix: S3KeyPart
    run: S3KeyPart
    classifier: ClassifierName = "mnist"
    to: FinalName | None = None
    reason: Reason | None = None
    answer: Reply | None = None
    answered_by: Person | None = None
    answered_manifest: Sha256 | None = None

    @model_validator(mode="after")
    def _an_answer_is_somebodys(self) -> Self:
        if self.answer is not None and self.action != "promote":
            raise ValueError(f"{self.action} takes no answer")
        if (self.answered_by is not None) is not (self.answer in {"approved", "rejected"}):
            raise ValueError(f"answer {self.answer} by {self.answered_by}")
        if (self.answered_manifest is not None) is not (self.answer is not None):
            raise ValueError(f"answer {self.answer} to {self.answered_manifest}")
        return self

    @model_validator(mode="after")
    def _a_rollback_has_a_target_and_a_reason(self) -> Self:
        expected = self.action == "rollback"
        if (self.to is not None) is not expected or (self.reason is not None) is not expected:
            raise ValueError(f"{self.action} {'needs a target and a reason' if expected else 'takes neither'}")
        return self

    def to_environment(self) -> dict[str, str]:
        """The variables that `from_container` reads."""
        values = self.model_dump(exclude={"action"}, exclude_none=True)
        return {ENVIRONMENT_PREFIX + name.upper(): str(value) for name, value in values.items()}

    @classmethod
    def from_container(cls, arguments: Sequence[str], environment: Mapping[str, str]) -> Self:
        """Read the job of this container.

        Raises:
            ConfigurationError: an argument or a variable is missing, unknown or outside its bounds.
        """
        if len(arguments) != 1:
            raise ConfigurationError(
                f"came {len(arguments)} arguments ({' '.join(map(repr, arguments)):.80}), expected promote or rollback",
                mend="let the task's overrides have one argument as their command",
            )
        names = variables_of(cls)
        del names["action"]
        values = {name: environment[variable] for name, variable in names.items() if variable in environment}
        mend = "set the command and these environment variables in the task's overrides"
        return cls.checked({"action": arguments[0], **values}, mend=mend, names=names)

    @property
    def name(self) -> str:
        """What this job is called among those of its run."""
        return self.action

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the container's command line says besides."""
        return (self.action,)
