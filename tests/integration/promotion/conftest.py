"""A bucket in which runs end their training and are promoted, with models of known quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest

from mnist_tasks import plan as plans
from mnist_tasks.checkpoints import Manifest
from mnist_tasks.dataset import Dataset
from mnist_tasks.definitions.mnist import REBUILT_FILE
from mnist_tasks.encryption import Encryption
from mnist_tasks.inference import Weights, predict
from mnist_tasks.layout import Layout
from mnist_tasks.plan import Plan
from mnist_tasks.promotion import promote, release
from mnist_tasks.promotion.answers import Answer
from mnist_tasks.promotion.chain import Chain
from mnist_tasks.promotion.decisions import Decision
from mnist_tasks.storage import Storage
from tests import candidates
from tests.candidates import nudged, train, train_run
from tests.lenient import judged_by

# A few seconds of training are enough for these.
LENIENT = {"accuracy": 0.9, "recall": 0.8}
START = datetime(2026, 11, 24, 2, 0, 5, tzinfo=UTC)


@pytest.fixture(scope="session")
def models(mnist: Dataset) -> MappingProxyType[str, Weights]:
    """`good` is better than `fair`, `close` is as good as `good`, `bad` passes no gate."""
    good = train(mnist, seed=1, steps=600)
    return MappingProxyType(
        {
            "good": good,
            "close": nudged(good),
            "fair": train(mnist, seed=3, steps=120),
            "bad": train(mnist, seed=4, steps=10),
        }
    )


@dataclass(frozen=True)
class World:
    """One bucket, and what happens in it. Each night is a day after the one before."""

    chain: Chain
    encryption: Encryption
    dataset: Dataset
    models: MappingProxyType[str, Weights]

    @property
    def storage(self) -> Storage:
        return self.chain.storage

    @property
    def layout(self) -> Layout:
        return self.chain.layout

    def at(self, storage: Storage) -> World:
        """The same bucket through another client."""
        return replace(self, chain=replace(self.chain, storage=storage))

    def train(self, night: int, *names: str, **config: object) -> tuple[Plan, Sequence[Manifest]]:
        """A run up to the end of its training; its candidates are the models of these names."""
        return train_run(
            self.storage,
            self.encryption,
            self.layout,
            f"night {night}",
            [self.models[name] for name in names],
            dataset=self.dataset,
            dataset_sha256=REBUILT_FILE.sha256,
            now=self.time(night),
            **config,
        )

    def promote(
        self, plan: Plan, *, later: int = 0, thresholds: Mapping[str, float] = LENIENT, answer: Answer | None = None
    ) -> Decision:
        """The step under test, an hour after the plan."""
        now = plan.created + timedelta(hours=1, seconds=later)
        return promote.promote(judged_by(self.chain, **thresholds), self.encryption, plan.run, now=now, answer=answer)

    def night(self, number: int, *names: str, **config: object) -> Decision:
        """A whole run."""
        return self.promote(self.train(number, *names, **config)[0])

    def rollback(self, to: str, *, slug: str = "rollback-1", reason: str = "it is wrong", later: int = 0) -> Decision:
        """The other step under test, on the ninth day."""
        now = self.time(9) + timedelta(seconds=later)
        return release.rollback(self.chain, self.encryption, to=to, reason=reason, slug=slug, now=now)

    def champion(self) -> str | None:
        """Who is in service, as consumers see it."""
        found = release.read_champion(self.storage, self.layout)
        return found.name if found else None

    @staticmethod
    def time(night: int) -> datetime:
        return START + timedelta(days=night)


@pytest.fixture
def world(
    chain: Chain,
    encryption: Encryption,
    mnist: Dataset,
    models: MappingProxyType[str, Weights],
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    """An empty bucket.

    Hundreds of decisions would take minutes to read the same 55 MB from S3 and to ask the same models about the same
    images: the data set is at hand here, and each model's answers are computed once.
    """

    def load(storage: Storage, layout: Layout, sha256: str) -> Any:
        assert sha256 == REBUILT_FILE.sha256
        return mnist

    for step in (promote, release):
        monkeypatch.setattr(step, "load", load)
    for user in (promote, release, candidates):
        monkeypatch.setattr(user, "predict", _remembered)
    return World(chain, encryption, mnist, models)


_answers: dict[tuple[bytes, int], Any] = {}


def _remembered(weights: Weights, images: Any) -> Any:
    """Test and validation images differ in number, so that tells them apart."""
    key = (weights.hidden_kernel.tobytes(), len(images))
    if key not in _answers:
        _answers[key] = predict(weights, images)
    return _answers[key]


def pick(world: World, plan: Plan) -> Manifest:
    """The best candidate of a run."""
    return plans.pick_best(world.storage, world.layout, plan.run)
