"""The promotion step: the best candidate of a run is examined, gets its `_final`, and is released if it is better.

Nothing that training said is believed: the figures are computed again from the stored weights and the stored images.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from mnist_tasks import checkpoints
from mnist_tasks.checkpoints import Manifest
from mnist_tasks.classifier import Thresholds
from mnist_tasks.dataset import Dataset, load, split
from mnist_tasks.encryption import Encryption
from mnist_tasks.inference import Weights, predict, read_weights
from mnist_tasks.metrics import Evaluation, evaluate
from mnist_tasks.plan import best_of
from mnist_tasks.promotion import answers, decisions
from mnist_tasks.promotion.answers import Answer
from mnist_tasks.promotion.chain import Chain
from mnist_tasks.promotion.decisions import NO_EVIDENCE, Champion, Decision, Evidence, Verdict
from mnist_tasks.promotion.finals import keep_promotion, read_final_of
from mnist_tasks.promotion.gates import Gate, absolute_gates, compare
from mnist_tasks.promotion.inputs import Inputs, read_inputs
from mnist_tasks.promotion.release import update_champion


def promote(
    chain: Chain,
    encryption: Encryption,
    slug: str,
    *,
    now: datetime,
    evidence: Evidence = NO_EVIDENCE,
    answer: Answer | None = None,
) -> Decision:
    """Promote the best candidate of the run `slug`, and release it if the run's rule says so.

    The classifier is that of the chain's layout; its thresholds decide.
    Where the run asks a person, `answer` is what came of it: without an approval there is no `_final`.

    Killed at any moment and run again, it ends in the same state with one decision: a decision that was made stands.

    Raises:
        GateFailed: the candidate did not pass; that is recorded as a decision, and said again on every retry.
        NotFoundError: the plan, the report on its data set, a candidate of it, or the data set is not there.
        IntegrityError: the data set did not pass; or a checkpoint, the champion's final or the chain of decisions is
            damaged, or a decision is not signed by anybody whom we trust.
        ConfigurationError: the chain has no signer, or one that nobody trusts; or an answer is missing, was not asked
            for, or was given to another candidate.
        Conflict: other runs decided again and again at the same moment.
    """
    decision = decisions.find_of_run(chain, slug)
    if decision is None:
        if answer is not None:
            evidence = evidence.model_copy(update={"approved_by": answer.approved_by})
        decision = _decide(chain, encryption, slug, answer, now=now, evidence=evidence)
    keep_promotion(chain, decision)
    update_champion(chain)
    return decisions.passed(decision)


@dataclass(frozen=True)
class _Stored:
    """A checkpoint's manifest and the SHA-256 of its bytes, for which the decision will vouch."""

    manifest: Manifest
    sha256: str

    @classmethod
    def of(cls, chain: Chain, manifest: Manifest) -> _Stored:
        return cls(manifest, checkpoints.fingerprint(chain.storage, chain.layout, manifest))


@dataclass(frozen=True, eq=False)
class _Examination:
    """What the images say about a candidate; `right` has an entry for each test image."""

    candidate: _Stored
    evaluation: Evaluation
    right: npt.NDArray[np.bool_]
    gates: tuple[Gate, ...]

    @property
    def failures(self) -> tuple[str, ...]:
        return tuple(gate.sentence for gate in self.gates if not gate.passed)


def _decide(
    chain: Chain,
    encryption: Encryption,
    slug: str,
    answer: Answer | None,
    *,
    now: datetime,
    evidence: Evidence,
) -> Decision:
    storage, layout = chain.storage, chain.layout
    inputs = read_inputs(chain, slug)
    answers.check(answer, inputs.plan)
    declined = answer.refusal(inputs.plan) if answer else None
    candidate = best_of(storage, layout, inputs.plan)
    stored = _Stored.of(chain, candidate)
    answers.check_is_about(answer, stored.sha256, inputs.plan)
    dataset = load(storage, layout, inputs.plan.dataset_sha256)
    examination = _examine(chain, encryption, stored, dataset)
    final = None
    if declined is None and not examination.failures:
        final = _Stored.of(chain, checkpoints.commit_final(storage, encryption, layout, candidate, now=now))

    def decide(champion: Champion | None) -> Verdict:
        if final is None:
            return _refused(examination, inputs, declined)
        champion_right = _champion_right(chain, encryption, champion, dataset) if champion else None
        return _promoted(examination, inputs, final, champion_right, layout.classifier.thresholds)

    known = evidence.model_copy(update={"trainer_image": candidate.trainer_image})
    return decisions.record(chain, slug, decide, now=now, evidence=known)


def _examine(chain: Chain, encryption: Encryption, stored: _Stored, dataset: Dataset) -> _Examination:
    candidate, classifier = stored.manifest, chain.layout.classifier
    weights = read_weights(checkpoints.load_weights(chain.storage, encryption, candidate), classifier)
    validation = split(dataset, candidate.job.validation_images).validation
    probabilities = predict(weights, dataset.x_test)
    evaluation = evaluate(probabilities, dataset.y_test)
    gates = absolute_gates(
        evaluation,
        classifier,
        trained=candidate.validation_accuracy,
        recomputed=float(_right(weights, dataset.x_train[validation], dataset.y_train[validation]).mean()),
    )
    right = probabilities.argmax(axis=1) == dataset.y_test
    return _Examination(stored, evaluation, right, gates)


def _right(weights: Weights, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    return np.asarray(predict(weights, images).argmax(axis=1) == labels)


def _champion_right(
    chain: Chain, encryption: Encryption, champion: Champion, dataset: Dataset
) -> npt.NDArray[np.bool_]:
    """Which test images the champion reads rightly: asked again, on the images of this run."""
    final = read_final_of(chain, champion)
    weights = read_weights(checkpoints.load_weights(chain.storage, encryption, final), chain.layout.classifier)
    return _right(weights, dataset.x_test, dataset.y_test)


def _refused(examination: _Examination, inputs: Inputs, declined: str | None) -> Verdict:
    candidate = examination.candidate.manifest
    return Verdict(
        kind="promotion",
        outcome="declined" if declined else "rejected",
        candidate=candidate.name,
        weights_sha256=candidate.weights.plaintext_sha256,
        ciphertext_sha256=candidate.weights.sha256,
        manifest_sha256=examination.candidate.sha256,
        gates=examination.gates,
        evaluation=examination.evaluation,
        reason=declined or "; ".join(examination.failures),
        dataset_sha256=candidate.job.dataset_sha256,
        plan_sha256=inputs.plan_sha256,
        validation_sha256=inputs.validation_sha256,
    )


def _promoted(
    examination: _Examination,
    inputs: Inputs,
    final: _Stored,
    champion_right: npt.NDArray[np.bool_] | None,
    thresholds: Thresholds,
) -> Verdict:
    comparison = None
    if champion_right is not None:
        rule = inputs.plan.config.release_rule
        comparison = compare(examination.right, champion_right, rule=rule, thresholds=thresholds)
    return Verdict(
        kind="promotion",
        outcome="released" if comparison is None or comparison.verdict else "kept",
        candidate=final.manifest.promoted_from,
        final=final.manifest.name,
        weights_sha256=final.manifest.weights.plaintext_sha256,
        ciphertext_sha256=final.manifest.weights.sha256,
        manifest_sha256=final.sha256,
        gates=examination.gates,
        comparison=comparison,
        evaluation=examination.evaluation,
        reason=comparison.sentence if comparison else "the first model that passed: there was no champion before it",
        dataset_sha256=final.manifest.job.dataset_sha256,
        plan_sha256=inputs.plan_sha256,
        validation_sha256=inputs.validation_sha256,
    )
