"""A decision as it is signed: an in-toto Statement v1 in a DSSE envelope.

https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md

The predicate is of a type of our own. SLSA's Provenance says how an artifact was built, its Verification Summary that a
policy was met; a decision says what was measured, what it was held against, and what follows for the model in service,
and has no honest place in either. Where it says the same as SLSA's Provenance, it says it under
the same name: `resolvedDependencies` (what the verdict rests on), `builder.id` (who vouches for it; an identity, not a
key) and `builder.version`. Nothing else was borrowed: `buildDefinition` and `runDetails` would be empty shells.

Statement and decision cannot disagree: everything of the Statement but the signer's identity follows from the decision,
and readers make it again and compare.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field

from mnist_tasks.config import AttestationLabel, Frozen, Sha256
from mnist_tasks.errors import ConfigurationError, IntegrityError, SignatureRefused
from mnist_tasks.promotion.records import Decision
from mnist_tasks.signing import Signer, TrustedKeys, open_envelope, seal
from mnist_tasks.storage import to_json
from mnist_tasks.strictjson import from_json

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
# in-toto asks for a URI that nobody else uses, and allows that it resolves to nothing. This project owns no domain to
# promise a page under; docs/signing.md is the description.
PREDICATE_TYPE: Final = "urn:mnist-training:decision:v1"


class DigestSet(Frozen):
    """in-toto's DigestSet with the one algorithm that is used here."""

    sha256: Sha256


class Resource(Frozen):
    """in-toto's ResourceDescriptor: something immutable, known by its digest."""

    name: str = Field(min_length=1)
    digest: DigestSet


class Builder(Frozen):
    """Who vouches for the decision: the KMS key's ARN, and the code that decided."""

    id: str = Field(min_length=1)
    version: dict[str, str]


class Predicate(Frozen):
    """What is said about the subjects. Field names that SLSA's Provenance has, too, are its own."""

    decision: Decision
    resolvedDependencies: tuple[Resource, ...]  # noqa: N815
    builder: Builder


class Statement(Frozen):
    """What the signature is about."""

    type: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: tuple[Resource, ...] = Field(min_length=1)
    predicateType: Literal["urn:mnist-training:decision:v1"] = PREDICATE_TYPE  # noqa: N815
    predicate: Predicate


def statement(decision: Decision, *, builder: str) -> Statement:
    """The Statement of a decision: its subjects are the objects of the final, or of the rejected candidate.

    `weights` is the ciphertext as it is stored, `weights.h5` what is in it.
    """
    about = decision.final or decision.candidate or ""
    subjects = {
        "weights": decision.ciphertext_sha256,
        "weights.h5": decision.weights_sha256,
        "manifest.json": decision.manifest_sha256,
    }
    dependencies = {f"{about.rpartition('_model_')[0]}.npz": decision.dataset_sha256}
    inputs = {"plan.json": decision.plan_sha256, "validation.json": decision.validation_sha256}
    dependencies |= {name: sha256 for name, sha256 in inputs.items() if sha256}
    if image := decision.evidence.trainer_image:
        dependencies["trainer image"] = image.removeprefix("sha256:")
    return Statement(
        _type=STATEMENT_TYPE,
        subject=tuple(_resource(f"{about}/{name}", sha256) for name, sha256 in subjects.items()),
        predicate=Predicate(
            decision=decision,
            resolvedDependencies=tuple(_resource(name, sha256) for name, sha256 in dependencies.items()),
            builder=Builder(id=builder, version={"mnist_tasks": decision.code_version}),
        ),
    )


def _resource(name: str, sha256: str) -> Resource:
    return Resource(name=name, digest=DigestSet(sha256=sha256))


def sign(decision: Decision, *, signer: Signer, keys: TrustedKeys) -> bytes:
    """The envelope as it is stored; another one each time, because ECDSA draws a number.

    Raises:
        ConfigurationError: the signer cannot sign, or nobody would believe it.
        TemporaryError: the signer cannot answer now.
    """
    content = statement(decision, builder=signer.identity).model_dump(mode="json", by_alias=True)
    return seal(to_json(content), PAYLOAD_TYPE, signer=signer, keys=keys)


def believe(body: bytes, *, keys: TrustedKeys, where: str) -> Decision:
    """The decision in a stored envelope. Nothing in it is looked at before its signature was verified.

    Raises:
        SignatureRefused: none of the trusted keys has signed it, or one that says otherwise where it may be used.
        IntegrityError: what was signed is no decision of this project.
    """
    believed = open_envelope(body, PAYLOAD_TYPE, keys=keys, where=where)
    try:
        found = Statement.checked(_object(believed.payload), mend="")
    except (ConfigurationError, ValueError) as error:
        raise _no_decision(where, getattr(error, "problem", str(error))) from None
    decision = found.predicate.decision
    if found != statement(decision, builder=found.predicate.builder.id):
        raise _no_decision(where, "its subjects or dependencies are not those of the decision in it")
    _check_place(decision, keys.attested.get(believed.keyid), where)
    return decision


def _check_place(decision: Decision, expected: AttestationLabel | None, where: str) -> None:
    """What the record says of the place that signed it, against what is known of the key.

    Evidence is what the signer says of himself. It counts where the key could be opened in such a place alone, and
    that the deployment knows, not the record.
    """
    came = decision.evidence.attested
    if came != expected:
        raise SignatureRefused(
            f"{where} carries as its attestation: {came or 'none'}; what its key signs carries: {expected or 'none'}",
            mend="find out who used the key; if it is an attested promoter's, a line before it has to say so in the "
            "file that MNIST_SIGNING_KEYS names (docs/signing.md)",
        )


def _object(payload: bytes) -> dict[str, Any]:
    content = from_json(payload)
    return content if isinstance(content, dict) else {"": content}


def _no_decision(where: str, why: str) -> IntegrityError:
    return IntegrityError(
        f"{where} is signed, but is no decision: {why}",
        mend="a key that signs decisions has signed something else: find out who used it, and for what",
    )
