"""The pipeline's step: load, validate, record the report, and remember an accepted data set."""

from __future__ import annotations

from datetime import datetime

from mnist_tasks.dataset import load
from mnist_tasks.errors import ValidationFailed
from mnist_tasks.layout import Layout
from mnist_tasks.storage import Storage, parse, to_json
from mnist_tasks.validation.report import ValidationReport, validate
from mnist_tasks.validation.statistics import Accepted


def run(storage: Storage, layout: Layout, slug: str, dataset_sha256: str, now: datetime) -> ValidationReport:
    """Validate the stored data set for the run `slug`; its report is written before the verdict is spoken.

    Run again after it was killed, it keeps the report that it had written: by then the data set may be the accepted one
    already, and would be compared with itself. A kept report takes back no data set that was accepted since.

    Raises:
        ValidationFailed: the report says no; the message carries the sentences of the checks that failed.
        NotFoundError, IntegrityError, DataError: the data set cannot be read (see `mnist_tasks.dataset.load`).
        Conflict: another run had its data set accepted at the same moment.
    """
    report = _passed_before(storage, layout, slug, dataset_sha256)
    if report is None:
        report = _examine(storage, layout, dataset_sha256, now)
        storage.put(_report_key(layout, slug), to_json(report.model_dump(mode="json")))
    if not report.passed:
        raise _refusal(storage, layout, slug, report)
    _accept(storage, layout, slug, report)
    return report


def _report_key(layout: Layout, slug: str) -> str:
    return layout.run(slug, "validation.json")


def _passed_before(storage: Storage, layout: Layout, slug: str, dataset_sha256: str) -> ValidationReport | None:
    """A refusal is not kept: data or limits may have been mended since."""
    stored = storage.find(_report_key(layout, slug))
    if stored is None:
        return None
    report = parse(ValidationReport, storage, stored)
    return report if report.passed and report.dataset_sha256 == dataset_sha256 else None


def _examine(storage: Storage, layout: Layout, dataset_sha256: str, now: datetime) -> ValidationReport:
    dataset, accepted = load(storage, layout, dataset_sha256), find_accepted(storage, layout)
    return validate(dataset, dataset_sha256, layout.classifier, accepted=accepted, now=now)


def find_accepted(storage: Storage, layout: Layout) -> Accepted | None:
    """The data set that passed last; None where there is none.

    Raises:
        IntegrityError: what is stored there is no such record.
    """
    stored = storage.find(layout.accepted_dataset)
    return parse(Accepted, storage, stored) if stored else None


def _accept(storage: Storage, layout: Layout, slug: str, report: ValidationReport) -> None:
    stored = storage.find(layout.accepted_dataset)
    found = parse(Accepted, storage, stored).dataset_sha256 if stored else None
    # Accepted already, or another one since, with which this report was not compared.
    if found and (found == report.dataset_sha256 or found != report.compared_with):
        return
    accepted = Accepted(dataset_sha256=report.dataset_sha256, run=slug, statistics=report.statistics)
    body = to_json(accepted.model_dump(mode="json"))
    storage.replace(layout.accepted_dataset, body, etag=stored.etag if stored else None)


def _refusal(storage: Storage, layout: Layout, slug: str, report: ValidationReport) -> ValidationFailed:
    mend = f"correct the data set; all findings are in {storage.uri(_report_key(layout, slug))}"
    if any(check.name.startswith("drift") for check in report.failures):
        mend += (
            f". If the shift is wanted, delete {storage.uri(layout.accepted_dataset)}: then this data is the reference"
        )
    return ValidationFailed("; ".join(check.message for check in report.failures), mend=mend)
