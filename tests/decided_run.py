"""What a decided run left behind, in memory: every outcome, any number of candidates, no S3, no training."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from mnist_tasks.attempts import Attempt
from mnist_tasks.checkpoints import EncryptedObject, Manifest, StoredObject
from mnist_tasks.config import RunConfig, TrainingJob, derived_seed
from mnist_tasks.cost import Cost, Prices, cost_of
from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.history import Epoch, History, Running
from mnist_tasks.layout import Layout, candidate_name, final_name, run_slug
from mnist_tasks.metrics import evaluate
from mnist_tasks.plan import Plan
from mnist_tasks.promotion.answers import Answer
from mnist_tasks.promotion.gates import Comparison, Rule, absolute_gates, compare
from mnist_tasks.promotion.records import Champion, Decision, Evidence, Verdict
from mnist_tasks.report import ReportData
from mnist_tasks.validation import validate
from tests.lenient import with_thresholds
from tests.small_dataset import SMALL, small_dataset

NOW = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
DATASET = "d" * 64
BEFORE = "mnist_model_20261123_020000_final"
LAYOUT = Layout(MNIST)
PRICES = Prices(0.04048, 0.004445, 0.3)
TEST_IMAGES = 2000
LABELS = (np.arange(TEST_IMAGES) % 10).astype(np.uint8)


def images() -> npt.NDArray[np.uint8]:
    """As many test images as the evaluation speaks of."""
    return np.random.default_rng(0).integers(0, 256, (TEST_IMAGES, 28, 28)).astype(np.uint8)


def decided_run(
    *,
    wrong: Sequence[int] = range(40),
    champion_wrong: Sequence[int] | None = None,
    candidates: int = 2,
    epochs: int = 10,
    run_id: str = "scheduled__2026-11-24T02:00:00+00:00",
    rule: Rule = "better",
    floor: float = 0.975,
    answer: Answer | None = None,
) -> ReportData:
    """A run whose best candidate reads the test images at `wrong` wrongly; `champion_wrong` None: no champion before.

    It is declined if the `answer` to its question was no, rejected if its accuracy is below `floor`, and else released
    or kept as the comparison says.
    """
    slug = run_slug("mnist_training", run_id)
    hours = 12 if answer else None
    config = RunConfig(candidates=candidates, epochs=epochs, release_rule=rule, approval_hours=hours)
    jobs = tuple(_job(slug, config, number) for number in range(candidates))
    plan = Plan(
        run=slug,
        run_id=run_id,
        dag_id="mnist_training",
        created=NOW,
        config=config,
        dataset_sha256=DATASET,
        seed=derived_seed(slug),
        jobs=jobs,
    )
    histories = {job.candidate: _history(epochs, number) for number, job in enumerate(jobs)}
    manifests = tuple(_manifest(job, histories[job.candidate]) for job in jobs)
    best = manifests[-1]
    comparison = None
    if champion_wrong is not None:
        comparison = compare(_right(wrong), _right(champion_wrong), rule=rule, thresholds=MNIST.thresholds)
    decision = _decision(slug, best, wrong, comparison, floor)
    if answer:
        decision = _answered(decision, answer, plan)
    return ReportData(
        bucket="a-bucket",
        layout=LAYOUT,
        plan=plan,
        validation=validate(small_dataset(), DATASET, SMALL, accepted=None, now=NOW),
        manifests=manifests,
        histories=histories,
        decision=decision,
        final=_final(best) if decision.final else None,
        trusted_keys=("5" * 64,),
    )


def _job(slug: str, config: RunConfig, number: int) -> TrainingJob:
    return TrainingJob(
        bucket="a-bucket",
        checkpoints_prefix="checkpoints",
        run=slug,
        candidate=candidate_name(NOW + timedelta(seconds=number)),
        dataset_sha256=DATASET,
        seed=derived_seed(slug, number),
        epochs=config.epochs,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate_of(number),
        validation_images=config.validation_images,
    )


def _history(epochs: int, number: int) -> History:
    """The last candidate is the best one, and every candidate is best at its last epoch."""
    curve = [0.99 - 0.06 / epoch + 0.0001 * number for epoch in range(1, epochs + 1)]
    return History(
        epochs=tuple(
            Epoch(
                epoch=epoch,
                seconds=1.5,
                loss=0.4 / epoch,
                accuracy=accuracy - 0.01,
                validation_loss=0.3 / epoch,
                validation_accuracy=accuracy,
            )
            for epoch, accuracy in enumerate(curve, 1)
        ),
        start=(
            Running(batch=1, images=32, loss=2.4, accuracy=4 / 32),
            Running(batch=10, images=320, loss=2.0, accuracy=0.3),
            Running(batch=30, images=960, loss=1.3, accuracy=0.55),
            Running(batch=100, images=3200, loss=0.8, accuracy=0.75),
        ),
        images_mb=47.04,
        seconds=1.5 * epochs,
        peak_memory_mb=590.4,
    )


def _manifest(job: TrainingJob, history: History) -> Manifest:
    return Manifest(
        name=job.candidate,
        run=job.run,
        created=NOW,
        weights=_weights(job.candidate),
        metrics=StoredObject(key=LAYOUT.metrics(job.candidate), sha256="b" * 64, size=1_903),
        job=job,
        parameters=101_770,
        best_epoch=history.best.epoch,
        validation_accuracy=history.best.validation_accuracy,
        validation_loss=history.best.validation_loss,
        code_version="0.1.0",
    )


def _final(best: Manifest) -> Manifest:
    name = final_name(best.name)
    changes = {"name": name, "promoted_from": best.name, "weights": _weights(name)}
    return Manifest.model_validate(dict(best) | changes)


def _weights(name: str) -> EncryptedObject:
    return EncryptedObject(key=LAYOUT.weights(name), sha256="e" * 64, size=411_900, plaintext_sha256="a" * 64)


def _right(wrong: Sequence[int]) -> npt.NDArray[np.bool_]:
    right = np.ones(TEST_IMAGES, np.bool_)
    right[list(wrong)] = False
    return right


def _decision(slug: str, best: Manifest, wrong: Sequence[int], comparison: Comparison | None, floor: float) -> Decision:
    answers = np.where(_right(wrong), LABELS, (LABELS + 1) % 10)
    probabilities = np.full((TEST_IMAGES, 10), 0.01, np.float32)
    probabilities[np.arange(TEST_IMAGES), answers] = 0.91
    evaluation = evaluate(probabilities, LABELS)
    gates = absolute_gates(
        evaluation,
        with_thresholds(accuracy=floor),
        trained=best.validation_accuracy,
        recomputed=best.validation_accuracy,
    )
    failures = [gate.sentence for gate in gates if not gate.passed]
    released = not failures and (comparison is None or comparison.verdict)
    before = _champion(BEFORE, 6) if comparison else None
    final = None if failures else final_name(best.name)
    reason = comparison.sentence if comparison else "the first model that passed: there was no champion before it"
    return Decision(
        kind="promotion",
        outcome="rejected" if failures else "released" if released else "kept",
        candidate=best.name,
        final=final,
        weights_sha256="a" * 64,
        ciphertext_sha256="f" * 64,
        manifest_sha256="e" * 64,
        gates=gates,
        comparison=None if failures else comparison,
        evaluation=evaluation,
        reason="; ".join(failures) or reason,
        dataset_sha256=DATASET,
        sequence=7,
        previous_sha256="c" * 64,
        run=slug,
        created=NOW + timedelta(minutes=4),
        champion_before=BEFORE if before else None,
        champion=_champion(final, 7) if released and final else before,
        code_version="0.1.0",
    )


def _answered(decision: Decision, answer: Answer, plan: Plan) -> Decision:
    changes: dict[str, object] = {"evidence": Evidence(approved_by=answer.approved_by)}
    if refusal := answer.refusal(plan):
        before = _champion(BEFORE, 6)
        changes |= {"outcome": "declined", "final": None, "comparison": None, "reason": refusal}
        changes |= {"champion": before, "champion_before": before.name}
    return Decision.model_validate(dict(decision) | changes)


def _champion(name: str, decision: int) -> Champion:
    return Champion(
        name=name, decision=decision, weights_sha256="a" * 64, accuracy=0.97, released=NOW, run="a-run", reason="better"
    )


def cost_of_run(data: ReportData) -> Cost:
    """Two minutes on Spot for each candidate, the first one on its second try; one on demand for the promoter."""
    first = data.plan.jobs[0].candidate
    tries = [(first, 1, "FARGATE_SPOT", 143), *((job.candidate, 1, "FARGATE_SPOT", 0) for job in data.plan.jobs[1:])]
    tries += [(first, 2, "FARGATE_SPOT", 0), ("promote", 1, "FARGATE", 0)]
    attempts = [
        Attempt(
            job=job,
            generation=generation,
            capacity=capacity,
            vcpus=1,
            memory_gb=2,
            started=NOW,
            stopped=NOW + timedelta(minutes=2),
            exit_code=code,
        )
        for job, generation, capacity, code in tries
    ]
    return cost_of(attempts, PRICES, NOW)


def rollback() -> Decision:
    """A rollback to an earlier final."""
    verdict = Verdict(
        kind="rollback",
        outcome="rolled_back",
        candidate=BEFORE.removesuffix("_final"),
        final=BEFORE,
        weights_sha256="a" * 64,
        ciphertext_sha256="f" * 64,
        manifest_sha256="e" * 64,
        evaluation=decided_run().evaluation,
        reason="complaints from the field, see ticket <5>",
        dataset_sha256=DATASET,
    )
    return Decision(
        **dict(verdict),
        sequence=8,
        previous_sha256="c" * 64,
        run="manual-1-2bb5fcb4",
        created=NOW,
        champion_before="mnist_model_20261124_020001_final",
        champion=_champion(BEFORE, 8),
        code_version="0.1.0",
    )


RELEASED = decided_run(wrong=range(40), champion_wrong=range(80))
FIRST = decided_run(candidates=1)
KEPT = decided_run(wrong=range(40), champion_wrong=range(5, 47))
WORSE = decided_run(wrong=range(40), champion_wrong=range(10))
REJECTED = decided_run(wrong=range(90))
APPROVED = decided_run(answer=Answer(reply="approved", by="ada", manifest_sha256="e" * 64))
DECLINED = decided_run(answer=Answer(reply="rejected", by="ada", manifest_sha256="e" * 64))
UNANSWERED = decided_run(answer=Answer(reply="unanswered", manifest_sha256="e" * 64))
