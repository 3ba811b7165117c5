"""A bucket in which the pipeline has decided a few times, made in seconds, and the command line that looks at it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from mnist_tasks import progress, validation
from mnist_tasks.cli.app import app
from mnist_tasks.cost import Prices
from mnist_tasks.dataset import Dataset
from mnist_tasks.definitions.mnist import MNIST, REBUILT_FILE
from mnist_tasks.encryption import Encryption
from mnist_tasks.errors import GateFailed
from mnist_tasks.history import Epoch, History
from mnist_tasks.layout import Layout, run_slug
from mnist_tasks.promotion.chain import Chain
from mnist_tasks.promotion.promote import promote
from mnist_tasks.promotion.release import rollback
from mnist_tasks.report import publish
from mnist_tasks.storage import Storage, to_json
from tests.candidates import nudged, plan_run, train, train_run
from tests.lenient import judged_by

LAYOUT = Layout(MNIST)
NOW = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
IDS = {
    "first": "scheduled__2026-11-24T02:00:00+00:00",
    "kept": "scheduled__2026-11-25T02:00:00+00:00",
    "weak": "scheduled__2026-11-26T02:00:00+00:00",
    "better": "manual__with [bold]markup[/bold] and a very long name that a person has typed in",
    "open": "manual__2026-11-28",
}
SLUGS = {name: run_slug("mnist_training", run_id) for name, run_id in IDS.items()}
BACK = run_slug("mnist_rollback", "by hand")
FIRST_FINAL = "mnist_model_20261124_020000_final"


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert (self.status, self.err) == (0, "")
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        assert self.out == ""
        return json.loads(self.err)["error"]


@dataclass(frozen=True)
class Deployment:
    """A bucket after five nights and a rollback, and the environment that leads there."""

    storage: Storage
    encryption: Encryption
    environment: Mapping[str, str]

    def mnist(self, *words: str, width: int = 80, **environment: str) -> Result:
        """Run a command in this process."""
        variables: Any = {**self.environment, "COLUMNS": str(width), "TERM": "dumb", **environment}
        result = CliRunner().invoke(app, words, env=variables, prog_name="mnist")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Result(result.exit_code, result.stdout, result.stderr)


def decide_nights(chain: Chain, encryption: Encryption, mnist: Dataset, mnist_file: bytes) -> None:
    """Released, kept, rejected, released, rolled back; and a run in the middle of its training."""
    storage = chain.storage
    storage.put(LAYOUT.dataset(REBUILT_FILE.sha256), mnist_file)
    fair, good = train(mnist, seed=3, steps=120), train(mnist, seed=1, steps=500)
    models = {"first": [fair], "kept": [nudged(fair), fair], "weak": [fair], "better": [good]}
    validation.run(storage, LAYOUT, SLUGS["first"], REBUILT_FILE.sha256, NOW)
    for night, (name, candidates) in enumerate(models.items()):
        now, slug = NOW + timedelta(days=night), SLUGS[name]
        # Checking 70,000 images once is enough.
        validated = storage.get(LAYOUT.run(SLUGS["first"], "validation.json")).body
        storage.put(LAYOUT.run(slug, "validation.json"), validated)
        data = {"dataset": mnist, "dataset_sha256": REBUILT_FILE.sha256}
        train_run(storage, encryption, LAYOUT, IDS[name], candidates, **data, now=now)
        _decide(chain, encryption, slug, now + timedelta(seconds=252), reject=name == "weak")
    publish(chain, SLUGS["kept"], Prices(0.04048, 0.004445, 0.3))
    rollback(chain, encryption, to=FIRST_FINAL, reason="the field says so", slug=BACK, now=now)
    _begin(storage, now + timedelta(days=1))


def _decide(chain: Chain, encryption: Encryption, slug: str, now: datetime, *, reject: bool) -> None:
    if reject:
        with pytest.raises(GateFailed):
            promote(judged_by(chain, accuracy=0.999), encryption, slug, now=now)
    else:
        promote(judged_by(chain, accuracy=0.85, recall=0.5), encryption, slug, now=now)


def _begin(storage: Storage, now: datetime) -> None:
    """A run with two candidates: one has trained half of its epochs, of the other nothing is known yet."""
    plan = plan_run(storage, LAYOUT, IDS["open"], candidates=2, dataset_sha256=REBUILT_FILE.sha256, now=now)
    job = plan.jobs[0]
    epochs = tuple(
        Epoch(epoch=n, seconds=2, loss=0.3, accuracy=0.9, validation_loss=0.2, validation_accuracy=0.94)
        for n in range(1, 6)
    )
    told = progress.Progress(job=job, updated=now, history=History(epochs=epochs, seconds=10, peak_memory_mb=1))
    storage.put(LAYOUT.progress(plan.run, job.candidate), to_json(told.model_dump(mode="json")))
