"""What differs between classifiers, as one value; `mnist_tasks/definitions/mnist.py` is the one of MNIST.

Everything else is shared: steps, containers, gates, report, page, mails, encryption, signatures, roles. A definition is
code of this repository and part of the images; what travels between Airflow and the containers is its name alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

from mnist_tasks.config import MOST_BYTES, ClassifierName, EmailAddress, Frozen, RunConfig, Sha256, list_of
from mnist_tasks.errors import ConfigurationError

Sentence = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\x00-\x1f\x7f]+$")]
Share = Annotated[float, Field(ge=0, le=1)]
# Pixels of a side. The least is what validation divides an image into; the most keeps a hidden layer's kernel small.
Side = Annotated[int, Field(ge=7, le=256)]


class KnownFile(Frozen):
    """An npz file that may be stored and trained on, known by its hash. `size` is in bytes."""

    name: str
    sha256: Sha256
    size: int = Field(ge=1, le=MOST_BYTES)


class Source(Frozen):
    """Where the data set comes from if its URL is out of reach. `get` takes the seconds that it may take at most."""

    name: Sentence
    get: Callable[[float], bytes]


class Limits(Frozen):
    """What the checks of a data set hold it against."""

    min_class_share: Share = Field(description="least share of the images that a class may have, in each split")
    max_class_share: Share = Field(description="largest such share")
    repeated_share: Share = Field(description="share of the images of a split that may repeat an earlier one")
    drift: float = Field(
        default=0.25, gt=0, description="stability index up to which a new data set is the same population"
    )


class Thresholds(Frozen):
    """The numbers behind the gates and the comparison with the champion. docs/your-own-classifier.md: how to choose."""

    accuracy: Share = Field(description="least test accuracy")
    recall: Share = Field(description="least test recall of each class")
    # One image of the smallest validation set that a run may ask for: summing in another order can tip a close call.
    reload: Share = Field(default=0.001, description="difference of validation accuracy, trained and recomputed")
    alpha: float = Field(
        default=0.01, gt=0, lt=0.5, description="risk of releasing a model that is not better, one-sided"
    )
    margin: float = Field(
        default=0.005, gt=0, lt=0.5, description="loss of accuracy that the rule `not_worse` tolerates"
    )


class Expected(Frozen):
    """What was expected of a training, in words, for the report to put beside what was measured; empty: nothing."""

    origin: str = Field(default="", description="where these figures come from, as a sentence")
    first_batch: str = ""
    early: str = ""
    loss: str = ""
    converged: str = ""
    accuracy: str = ""
    memory: str = ""


# An interrupted training goes on from one object: its weights, Adam's two moments and the best weights so far, all
# float32. Header and encryption add less than a MiB.
_RESUME_BYTES_A_WEIGHT = 4 * 4
_MOST_WEIGHTS = (MOST_BYTES - 2**20) // _RESUME_BYTES_A_WEIGHT

# What a deployment may say otherwise: the field, and how the variable's name ends.
_DEPLOYED = {"schedule": "SCHEDULE", "recipients": "MAIL_TO", "url": "DATASET_URL"}


class Classifier(Frozen):
    """One classifier.

    Attributes:
        name: Part of DAG ids, S3 keys, names of checkpoints and environment variables.
        title: What people call it.
        noun: What an image shows, in one word: "digit".
        purpose: What it does, as a sentence.
        limits_of_use: What it does not know, a sentence each.
        classes: Their names; a label is a place in this list.
        image_shape: Height and width of the images.
        training_images: How many the data set has, those for validation included.
        test_images: How many it has for gates and report.
        files: The data set: files of exactly these shapes, the preferred one first.
        url: Where it is downloaded from: http, https or file. Empty: from nowhere.
        source: Gives one of `files` where `url` is out of reach; None: there is no other place.
        validation: What the data set is held against.
        hidden_units: Width of the hidden layer. The model is built from shapes alone, in the trainer as TensorFlow's
            arrays and in the promoter, which recomputes its figures, as NumPy's.
        training: Defaults of a run.
        thresholds: What a model has to show.
        expected: Figures for the report.
        schedule: When it is trained, as cron in UTC.
        recipients: Who gets the report unless a run says otherwise.
    """

    name: ClassifierName
    title: Sentence
    noun: Sentence
    purpose: Sentence
    limits_of_use: tuple[Sentence, ...]
    classes: tuple[Sentence, ...] = Field(min_length=2, max_length=256)
    image_shape: tuple[Side, Side]
    training_images: int = Field(ge=2)
    test_images: int = Field(ge=1)
    files: tuple[KnownFile, ...] = Field(min_length=1)
    # A pre-signed address, or one with a password, is a secret.
    url: str = Field(default="", pattern=r"^((https?|file)://.*)?$", repr=False)
    source: Source | None = None
    validation: Limits
    hidden_units: int = Field(default=128, ge=1, le=1024)
    training: RunConfig
    thresholds: Thresholds
    expected: Expected = Expected()
    schedule: str = Field(min_length=1)
    recipients: tuple[EmailAddress, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes need different names, came {', '.join(self.classes)}")
        if not self.url and self.source is None:
            raise ValueError("a data set comes from somewhere: `url` or `source` has to say from where")
        weights = sum(map(math.prod, self.weight_shapes.values()))
        if weights > _MOST_WEIGHTS:
            raise ValueError(
                f"{self.image_shape[0]} x {self.image_shape[1]} pixels and {self.hidden_units} hidden units make "
                f"{weights:,} weights, expected at most {_MOST_WEIGHTS:,}: an interrupted training could not go on. "
                "Make the images smaller or `hidden_units` fewer"
            )
        try:
            self.check(self.training)
        except ConfigurationError as error:
            raise ValueError(error.problem) from None
        shares = self.validation.min_class_share, self.validation.max_class_share
        if not shares[0] <= 1 / len(self.classes) <= shares[1]:
            raise ValueError(
                f"no {len(self.classes)} classes can all have {shares[0]:.0%} to {shares[1]:.0%} of the images"
            )
        return self

    def check(self, config: RunConfig) -> None:
        """Hold a run's parameters against the data set.

        Raises:
            ConfigurationError: they leave no images to train on.
        """
        if config.validation_images >= self.training_images:
            raise ConfigurationError(
                f"{config.validation_images:,} validation images leave none of the {self.training_images:,} training "
                f"images of {self.name} to train on, expected at most {self.training_images - 1:,}",
                mend="trigger the run again with fewer `validation_images`",
            )

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the arrays in the data set's file; all are uint8 in C order."""
        return {
            "x_train": (self.training_images, *self.image_shape),
            "y_train": (self.training_images,),
            "x_test": (self.test_images, *self.image_shape),
            "y_test": (self.test_images,),
        }

    @property
    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the trained arrays, all float32: Flatten, Dense(hidden_units, relu), Dropout, Dense(classes, softmax)."""
        pixels, hidden, classes = self.image_shape[0] * self.image_shape[1], self.hidden_units, len(self.classes)
        return {
            "hidden_kernel": (pixels, hidden),
            "hidden_bias": (hidden,),
            "output_kernel": (hidden, classes),
            "output_bias": (classes,),
        }

    @property
    def training_dag(self) -> str:
        """The id of the DAG that trains it."""
        return f"{self.name}_training"

    @property
    def rollback_dag(self) -> str:
        """The id of the DAG that puts an earlier final back into service."""
        return f"{self.name}_rollback"

    def variable(self, name: str) -> str:
        """The environment variable of that name which belongs to this classifier alone."""
        return f"{self.name.upper()}_{name}"

    def deployed(self, environment: Mapping[str, str]) -> Self:
        """The same with what a deployment says otherwise: `MNIST_SCHEDULE`, `MNIST_MAIL_TO`, `MNIST_DATASET_URL`.

        The beginning is the classifier's name; an empty variable counts as not set.

        Raises:
            ConfigurationError: a value is outside its bounds.
        """
        variables = {field: self.variable(name) for field, name in _DEPLOYED.items()}
        said: dict[str, Any] = {
            field: text for field, variable in variables.items() if (text := environment.get(variable, "").strip())
        }
        if "recipients" in said:
            said["recipients"] = list_of(said["recipients"])
        return self.checked(dict(self) | said, mend="correct the environment variable of that name", names=variables)
