"""All checks together: one report with a verdict."""

from __future__ import annotations

from datetime import datetime

from pydantic import AwareDatetime

from mnist_tasks.classifier import Classifier
from mnist_tasks.config import Frozen, Sha256
from mnist_tasks.dataset import Dataset
from mnist_tasks.validation import checks
from mnist_tasks.validation.checks import Check, Fingerprints
from mnist_tasks.validation.drift import check_drift
from mnist_tasks.validation.statistics import Accepted, Statistics, statistics_of


class ValidationReport(Frozen):
    """What the checks found in the data set with this SHA-256; `compared_with` is that of the last accepted one."""

    dataset_sha256: Sha256
    passed: bool
    checks: tuple[Check, ...]
    statistics: Statistics
    compared_with: Sha256 | None
    created: AwareDatetime

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that said no."""
        return tuple(check for check in self.checks if not check.passed)


def validate(
    dataset: Dataset, sha256: str, classifier: Classifier, *, accepted: Accepted | None, now: datetime
) -> ValidationReport:
    """Run every check, also after one has failed: a person wants to see all defects at once.

    Args:
        dataset: What is examined.
        sha256: Of the file that it was read from.
        classifier: Says how large each array has to be, which classes there are, and the limits.
        accepted: The last data set that passed; None where there is none.
        now: Goes into the report, with a time zone.
    """
    classes, limits = len(classifier.classes), classifier.validation
    statistics = statistics_of(dataset, classes)
    fingerprints = Fingerprints.of(dataset)
    found = (
        checks.check_shapes(dataset, classifier.shapes),
        checks.check_label_range(dataset, classes),
        checks.check_pixel_range(dataset, statistics),
        checks.check_blank_images(dataset),
        checks.check_class_balance(statistics, classifier.classes, limits),
        checks.check_repeats(fingerprints, limits.repeated_share),
        checks.check_leakage(fingerprints),
        checks.check_conflicts(dataset, fingerprints),
        *check_drift(statistics, sha256, accepted, limits.drift),
    )
    return ValidationReport(
        dataset_sha256=sha256,
        passed=all(check.passed for check in found),
        checks=found,
        statistics=statistics,
        compared_with=accepted.dataset_sha256 if accepted else None,
        created=now,
    )
