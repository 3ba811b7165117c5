"""The checks of a data set's content. Each takes what it looks at and gives one sentence with a verdict.

The part of a message before its first colon stands on its own ("12 labels out of range 0..9"): it becomes the subject
of a mail. Limits are the classifier's: MNIST's were chosen from its figures, and it passes every check with room.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnist_tasks.classifier import Limits
from mnist_tasks.config import Frozen
from mnist_tasks.dataset import Dataset
from mnist_tasks.validation.statistics import SplitStatistics, Statistics

# Every MNIST image has a pixel of 254 or 255, its mean is 33. A split that stays below half of the range was scaled
# (to 0..1, say); one whose mean is above it has a bright background: it is inverted.
HALF_RANGE = 128


class Check(Frozen):
    """What one check found. `message` is one sentence for people; its part before a colon is a headline."""

    name: str
    passed: bool
    message: str

    @property
    def headline(self) -> str:
        """The message in short: "12 labels out of range 0..9"."""
        return self.message.partition(": ")[0]


@dataclass(frozen=True)
class Fingerprints:
    """A digest of each image: equal images have equal ones."""

    train: tuple[bytes, ...]
    test: tuple[bytes, ...]

    @classmethod
    def of(cls, dataset: Dataset) -> Fingerprints:
        """Digest both splits."""
        return cls(_digests(dataset.x_train), _digests(dataset.x_test))


def _digests(images: NDArray[np.uint8]) -> tuple[bytes, ...]:
    return tuple(hashlib.blake2b(image.data, digest_size=16).digest() for image in images)


def check_shapes(dataset: Dataset, shapes: Mapping[str, tuple[int, ...]]) -> Check:
    """As many images as expected, and of their size; `Dataset` itself makes sure of type and labels."""
    arrays = dataset.arrays()
    wrong = [
        f"{name} has shape {arrays[name].shape} instead of {shape}"
        for name, shape in shapes.items()
        if arrays[name].shape != shape
    ]
    found = f"{len(dataset.x_train):,} training and {len(dataset.x_test):,} test images, {_size(shapes)}, uint8"
    return Check(name="shapes", passed=not wrong, message=", ".join(wrong) or found)


def _size(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return "x".join(map(str, shapes["x_train"][1:]))


def check_label_range(dataset: Dataset, classes: int) -> Check:
    """Every label names one of the classes."""
    places = [
        (name, int(place), int(labels[place]))
        for name, labels in (("y_train", dataset.y_train), ("y_test", dataset.y_test))
        for place in np.flatnonzero(labels >= classes)
    ]
    total = len(dataset.y_train) + len(dataset.y_test)
    if not places:
        return Check(name="label range", passed=True, message=f"all {total:,} labels are in 0..{classes - 1}")
    name, place, value = places[0]
    message = (
        f"{_count(len(places), 'label')} out of range 0..{classes - 1}: first in {name} at {place} (value {value})"
    )
    return Check(name="label range", passed=False, message=message)


def check_pixel_range(dataset: Dataset, statistics: Statistics) -> Check:
    """Bright ink on a dark background, over the whole range of a byte."""
    wrong = []
    for name, images, found in _splits(dataset, statistics):
        brightest = int(images.max(initial=0))
        if brightest < HALF_RANGE:
            wrong.append(f"{name} pixels reach only {brightest} of 255")
        if found.pixel_mean >= HALF_RANGE:
            wrong.append(f"{name} images are inverted (mean pixel {found.pixel_mean:.1f}, expected below {HALF_RANGE})")
    means = f"mean {statistics.train.pixel_mean:.1f} in training, {statistics.test.pixel_mean:.1f} in test"
    return Check(
        name="pixel range", passed=not wrong, message=", ".join(wrong) or f"pixels use the range of a byte: {means}"
    )


def check_blank_images(dataset: Dataset) -> Check:
    """No image is of one value all over."""
    places = [
        (name, int(place))
        for name, images in (("x_train", dataset.x_train), ("x_test", dataset.x_test))
        for place in np.flatnonzero(images.max(axis=(1, 2)) == images.min(axis=(1, 2)))
    ]
    if not places:
        return Check(name="blank images", passed=True, message="no image is blank")
    name, place = places[0]
    return Check(
        name="blank images", passed=False, message=f"{_count(len(places), 'blank image')}: first in {name} at {place}"
    )


def check_class_balance(statistics: Statistics, classes: Sequence[str], limits: Limits) -> Check:
    """Each class has about its share in each split."""
    shares = {
        (name, label): count / max(found.images, 1)
        for name, found in (("training", statistics.train), ("test", statistics.test))
        for label, count in enumerate(found.class_counts)
    }
    wrong = [
        f"class {classes[label]} has {share:.1%} of the {name} images"
        for (name, label), share in shares.items()
        if not limits.min_class_share <= share <= limits.max_class_share
    ]
    bounds = f"expected {limits.min_class_share:.0%} to {limits.max_class_share:.0%}"
    if wrong:
        return Check(name="class balance", passed=False, message=f"{', '.join(wrong)}: {bounds}")
    message = f"classes have {min(shares.values()):.1%} to {max(shares.values()):.1%} of the images: {bounds}"
    return Check(name="class balance", passed=True, message=message)


def check_repeats(fingerprints: Fingerprints, limit: float) -> Check:
    """Hardly any image occurs twice within its split; `limit` is the share that may."""
    repeats = {
        "training": (len(fingerprints.train) - len(set(fingerprints.train)), len(fingerprints.train)),
        "test": (len(fingerprints.test) - len(set(fingerprints.test)), len(fingerprints.test)),
    }
    passed = all(repeated <= limit * images for repeated, images in repeats.values())
    found = ", ".join(
        f"{repeated:,} of {images:,} {name} images repeat an earlier one"
        for name, (repeated, images) in repeats.items()
    )
    return Check(name="repeats", passed=passed, message=f"{found}: at most {limit:.1%} may")


def check_leakage(fingerprints: Fingerprints) -> Check:
    """No test image is a training image as well: it would be graded on what it was taught."""
    taught = set(fingerprints.train)
    leaked = [place for place, digest in enumerate(fingerprints.test) if digest in taught]
    if not leaked:
        return Check(name="leakage", passed=True, message="no test image is a training image")
    first = fingerprints.train.index(fingerprints.test[leaked[0]])
    message = f"{_count(len(leaked), 'test image')} also in training: first at {leaked[0]} (training image {first})"
    return Check(name="leakage", passed=False, message=message)


def check_conflicts(dataset: Dataset, fingerprints: Fingerprints) -> Check:
    """Equal images have equal labels."""
    digests = fingerprints.train + fingerprints.test
    labels = np.concatenate([dataset.y_train, dataset.y_test]).tolist()
    meanings = Counter(digest for digest, _ in set(zip(digests, labels, strict=True)))
    torn = [digest for digest, count in meanings.items() if count > 1]
    if not torn:
        return Check(name="conflicting labels", passed=True, message="equal images have equal labels")
    first = min(digests.index(digest) for digest in torn)
    given = sorted({label for digest, label in zip(digests, labels, strict=True) if digest == digests[first]})
    where = f"x_train at {first}" if first < len(dataset.x_train) else f"x_test at {first - len(dataset.x_train)}"
    message = f"{_count(len(torn), 'image')} with conflicting labels: first in {where} (labels {given})"
    return Check(name="conflicting labels", passed=False, message=message)


def _splits(dataset: Dataset, statistics: Statistics) -> list[tuple[str, NDArray[np.uint8], SplitStatistics]]:
    return [("training", dataset.x_train, statistics.train), ("test", dataset.x_test, statistics.test)]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
