"""What a decision consists of: what was found, its place in the chain, and who is champion after it."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from mnist_tasks.config import AttestationLabel, FinalName, Frozen, ImageDigest, S3KeyPart, Sha256
from mnist_tasks.metrics import Evaluation
from mnist_tasks.promotion.gates import Comparison, Gate


class Champion(Frozen):
    """The final in service. `decision` is the number of the record that put it there, `accuracy` is on test images."""

    name: FinalName
    decision: int = Field(ge=1)
    weights_sha256: Sha256
    accuracy: float = Field(ge=0, le=1)
    released: AwareDatetime
    run: S3KeyPart
    reason: str = Field(min_length=1)


class Attestation(Frozen):
    """What `attestation.verify.Attested.record()` tells of the place that decided; `pcrs` are its measurements."""

    label: AttestationLabel
    module_id: str = Field(min_length=1)
    timestamp: AwareDatetime
    pcrs: dict[str, str]
    document_sha256: Sha256
    root_sha256: Sha256

    @model_validator(mode="after")
    def _names_an_image(self) -> Self:
        if "0" not in self.pcrs:
            raise ValueError("PCR0, which measures the image, has to be there")
        return self


class Evidence(Frozen):
    """What is known of the circumstances, each None where it is not.

    `approved_by` is a person, as Airflow states it, `attestation` what the place that decides has proved of itself, and
    `trainer_image` the digest of the image that trained, as the trainer tells it.
    """

    approved_by: str | None = Field(default=None, min_length=1)
    attestation: Attestation | None = None
    trainer_image: ImageDigest | None = None

    @property
    def attested(self) -> AttestationLabel | None:
        """What kind of place has proved itself; the word that has to be shown."""
        return self.attestation.label if self.attestation else None


NO_EVIDENCE = Evidence()


class Verdict(Frozen):
    """What a step found and wants to have recorded. `reason` is a sentence for people.

    The gates reject; a person who was asked, or does not answer, declines. `final` is what the verdict is about, unless
    there is none for that. The rest belongs to the final, or to the candidate that became none: `weights_sha256` (of
    the plaintext: the same for candidate and final), `ciphertext_sha256` and `manifest_sha256` (of the objects as they
    are stored), `evaluation` (figures on the test images).
    `plan_sha256` and `validation_sha256` belong to the run's records as they are stored; a rollback has none.
    """

    kind: Literal["promotion", "rollback"]
    outcome: Literal["released", "kept", "rejected", "declined", "rolled_back"]
    candidate: str | None = None
    final: str | None = None
    weights_sha256: Sha256
    ciphertext_sha256: Sha256
    manifest_sha256: Sha256
    gates: tuple[Gate, ...] = ()
    comparison: Comparison | None = None
    evaluation: Evaluation
    reason: str = Field(min_length=1)
    dataset_sha256: Sha256
    plan_sha256: Sha256 | None = None
    validation_sha256: Sha256 | None = None

    @property
    def changes_champion(self) -> bool:
        """Whether `final` is in service from this decision on."""
        return self.outcome in {"released", "rolled_back"}

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        if (self.kind == "rollback") != (self.outcome == "rolled_back"):
            raise ValueError(f"a {self.kind} cannot end as {self.outcome}")
        if (self.final is None) != (self.outcome in {"rejected", "declined"}):
            raise ValueError(f"outcome {self.outcome} with final {self.final}")
        return self


class Decision(Verdict):
    """A verdict at its place in the chain. `champion` is in service from this record on."""

    version: Literal[1] = 1
    sequence: int = Field(ge=1)
    previous_sha256: Sha256 | None = None
    run: S3KeyPart
    created: AwareDatetime
    champion_before: str | None = None
    champion: Champion | None = None
    code_version: str = Field(min_length=1)
    evidence: Evidence = NO_EVIDENCE

    @property
    def champion_after(self) -> str | None:
        """The name of the champion from this decision on."""
        return self.champion.name if self.champion else None

    @model_validator(mode="after")
    def _champion_follows(self) -> Self:
        expected = self.final if self.changes_champion else self.champion_before
        if self.champion_after != expected:
            raise ValueError(f"outcome {self.outcome} with champion {self.champion_after}, expected {expected}")
        if (self.previous_sha256 is None) != (self.sequence == 1):
            raise ValueError("every record but the first one carries the hash of the one before")
        return self

    def summary(self) -> dict[str, Any]:
        """What others need to know without reading the record: plain JSON."""
        return {
            "decision": self.sequence,
            "run": self.run,
            "outcome": self.outcome,
            "final": self.final,
            "champion": self.champion_after,
            "test_accuracy": self.evaluation.accuracy,
            "reason": self.reason,
        }
