"""Everything that report and mail tell about one run, read from S3 once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mnist_tasks import checkpoints
from mnist_tasks.checkpoints import Manifest
from mnist_tasks.errors import IntegrityError
from mnist_tasks.history import History
from mnist_tasks.layout import Layout, RunObject
from mnist_tasks.metrics import Evaluation, wilson_interval
from mnist_tasks.plan import Plan, read_plan
from mnist_tasks.promotion import decisions
from mnist_tasks.promotion.chain import Chain
from mnist_tasks.promotion.decisions import Decision
from mnist_tasks.promotion.finals import read_vouched
from mnist_tasks.promotion.inputs import check_inputs
from mnist_tasks.storage import parse
from mnist_tasks.validation import ValidationReport


@dataclass(frozen=True)
class ReportData:
    """One run that came to a decision. `manifests` are its candidates in the order of the plan.

    `trusted_keys` are the ids of the public keys of which one has signed the decision: verified when it was read.

    Raises:
        IntegrityError: the decision is not about one of these candidates.
    """

    bucket: str
    layout: Layout
    plan: Plan
    validation: ValidationReport
    manifests: tuple[Manifest, ...]
    histories: Mapping[str, History]
    decision: Decision
    final: Manifest | None
    trusted_keys: tuple[str, ...]

    def __post_init__(self) -> None:
        names = [manifest.name for manifest in self.manifests]
        if self.decision.candidate not in names:
            raise IntegrityError(
                f"decision {self.decision.sequence} of run {self.plan.run} is about {self.decision.candidate}, but the "
                f"run's candidates are {', '.join(names)}",
                mend="a report is made for training runs; if this is one, its plan or its decision was changed",
            )

    @property
    def best(self) -> Manifest:
        """The candidate that the decision is about."""
        return next(manifest for manifest in self.manifests if manifest.name == self.decision.candidate)

    @property
    def converged(self) -> int:
        """The epoch from which its validation accuracy no longer rises."""
        return self.histories[self.best.name].converged(self.best.job.validation_images)

    @property
    def evaluation(self) -> Evaluation:
        """Its figures on the test images."""
        return self.decision.evaluation

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """95% Wilson interval of the test accuracy."""
        images = self.evaluation.images
        return wilson_interval(round(self.evaluation.accuracy * images), images)

    @property
    def champion_accuracy(self) -> float | None:
        """Test accuracy of the champion before this run; None where there was none.

        It follows from the comparison: on the same images, both models' right answers differ by exactly the images that
        only one of them got right.
        """
        comparison = self.decision.comparison
        if comparison is None:
            return None
        ahead = comparison.challenger_only_right - comparison.champion_only_right
        return self.evaluation.accuracy - ahead / self.evaluation.images

    def key(self, name: RunObject) -> str:
        """The key of an object that belongs to the run."""
        return self.layout.run(self.plan.run, name)

    def uri(self, key: str) -> str:
        """`s3://bucket/key`."""
        return f"s3://{self.bucket}/{key}"


def collect(chain: Chain, slug: str) -> ReportData:
    """Read what a decided run left behind: a constant number of objects for the run, two for each candidate.

    Raises:
        NotFoundError: a step before this one has not written its part.
        IntegrityError: what is stored is not what it has to be.
    """
    storage, layout = chain.storage, chain.layout
    plan = read_plan(storage, layout, slug)
    decision = decisions.read_of_run(chain, slug)
    manifests = tuple(checkpoints.read(storage, layout, job.candidate) for job in plan.jobs)
    validation = storage.get(layout.run(slug, "validation.json"))
    check_inputs(chain, decision)
    return ReportData(
        bucket=storage.bucket,
        layout=layout,
        plan=plan,
        validation=parse(ValidationReport, storage, validation),
        manifests=manifests,
        histories={manifest.name: checkpoints.load_history(storage, manifest) for manifest in manifests},
        decision=decision,
        final=read_vouched(chain, decision) if decision.final else None,
        trusted_keys=tuple(chain.keys.keys),
    )
