"""Checkpoints: encrypted weights, figures of their training, and the manifest that commits them.

The manifest is written last, and never replaced: a checkpoint without one does not exist, one with it is whole. Readers
believe manifests only, and check every object against the SHA-256 in there.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from mnist_tasks import __version__
from mnist_tasks.config import Frozen, ImageDigest, S3KeyPart, Sha256, TrainingJob
from mnist_tasks.encryption import Binding, Encryption, Purpose
from mnist_tasks.errors import IntegrityError, NotFoundError
from mnist_tasks.history import History, Memory
from mnist_tasks.layout import Layout, final_name, is_final
from mnist_tasks.storage import Storage, Stored, parse, sha256_of, to_json

# A message of the AWS Encryption SDK; within it is a Keras `.weights.h5` file.
WEIGHTS_TYPE = "application/octet-stream"
# The bucket's lifecycle removes what carries this tag: candidates, never finals.
_EXPIRES = "stage=candidate"


class StoredObject(Frozen):
    """An object in S3, known by its content. `size` is in bytes."""

    key: str = Field(min_length=1)
    sha256: Sha256
    size: int = Field(ge=0)


class EncryptedObject(StoredObject):
    """The same of a ciphertext, and of what is in it.

    The weights of a candidate and of its final have the same `plaintext_sha256`, which says what model it is, but not
    the same `sha256`, which says whether S3 still holds what was put there.
    """

    plaintext_sha256: Sha256


class Manifest(Frozen):
    """What a checkpoint consists of, and how it came to be. `promoted_from` names the candidate of a final.

    `trainer_image` is what ECS told the container that trained; None where it tells nothing.

    Version 1 had weights that were not encrypted.
    """

    version: Literal[2] = 2
    name: str
    run: S3KeyPart
    created: AwareDatetime
    weights: EncryptedObject
    metrics: StoredObject
    job: TrainingJob
    parameters: int = Field(ge=1)
    best_epoch: int = Field(ge=1)
    validation_accuracy: float = Field(ge=0, le=1)
    validation_loss: float = Field(ge=0, allow_inf_nan=False)
    code_version: str = Field(min_length=1)
    resumed_after: tuple[int, ...] = ()
    memory: Memory | None = None
    trainer_image: ImageDigest | None = None
    promoted_from: str | None = None

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        expected = final_name(self.job.candidate) if self.promoted_from else self.job.candidate
        if self.name != expected or self.promoted_from not in {None, self.job.candidate} or self.run != self.job.run:
            raise ValueError(f"{self.name} of run {self.run} is not what the job of {self.job.candidate} makes")
        return self


def commit(
    storage: Storage,
    encryption: Encryption,
    layout: Layout,
    job: TrainingJob,
    *,
    weights: bytes,
    history: History,
    parameters: int,
    now: datetime,
    trainer_image: str | None = None,
) -> Manifest:
    """Store a trained candidate. Done again, it returns the manifest that is there already, and writes nothing.

    Args:
        storage: The bucket.
        encryption: Encrypts what goes there.
        layout: Its keys.
        job: What was trained.
        weights: A Keras `.weights.h5` file: the weights of the best epoch.
        history: All epochs; the best one is chosen from it.
        parameters: Number of trained values in the model.
        now: The time of the commit.
        trainer_image: The digest of the image that trained, where it is known.

    Raises:
        IntegrityError: a checkpoint of that name was committed by another job.
    """
    committed = find(storage, layout, job.candidate)
    if committed is None:
        stored_weights = _put_weights(storage, encryption, layout, job, name=job.candidate, weights=weights)
        stored_metrics, history = _put_history(storage, layout.metrics(job.candidate), history)
        manifest = Manifest(
            name=job.candidate,
            run=job.run,
            created=now,
            weights=stored_weights,
            metrics=stored_metrics,
            job=job,
            parameters=parameters,
            best_epoch=history.best.epoch,
            validation_accuracy=history.best.validation_accuracy,
            validation_loss=history.best.validation_loss,
            code_version=__version__,
            resumed_after=history.resumed_after,
            memory=history.memory,
            trainer_image=trainer_image,
        )
        committed = _settle(storage, layout, manifest)
    if committed.job != job:
        raise IntegrityError(
            f"{storage.uri(layout.manifest(job.candidate))} was committed by run {committed.run}, not by {job.run}",
            mend="names are claimed before training starts (mnist_tasks.plan): train this candidate in a new run",
        )
    return committed


def commit_final(
    storage: Storage, encryption: Encryption, layout: Layout, candidate: Manifest, *, now: datetime
) -> Manifest:
    """Store the promoted copy of a candidate; done again, it returns the one that is there.

    The copy is read, verified, and encrypted with the key of finals and for its own place.

    Raises:
        IntegrityError: the candidate's objects have changed, or a final of that name holds other weights.
    """
    name = final_name(candidate.name)
    committed = find(storage, layout, name)
    if committed is None:
        weights, metrics = load_weights(storage, encryption, candidate), _load_metrics(storage, candidate)
        changes = {
            "name": name,
            "created": now,
            "weights": _put_weights(storage, encryption, layout, candidate.job, name=name, weights=weights),
            "metrics": _describe(layout.metrics(name), metrics),
            "promoted_from": candidate.name,
        }
        manifest = Manifest.model_validate(dict(candidate) | changes)
        storage.put(manifest.metrics.key, metrics)
        committed = _settle(storage, layout, manifest)
    if (committed.job, committed.weights.plaintext_sha256) != (candidate.job, candidate.weights.plaintext_sha256):
        raise IntegrityError(
            f"{storage.uri(layout.manifest(name))} is not a copy of {candidate.name}: its weights have SHA-256 "
            f"{committed.weights.plaintext_sha256}, expected {candidate.weights.plaintext_sha256}",
            mend="find out who wrote it before you remove it; then run the step again",
        )
    return committed


def _describe(key: str, body: bytes) -> StoredObject:
    return StoredObject(key=key, sha256=sha256_of(body), size=len(body))


def _put_weights(
    storage: Storage, encryption: Encryption, layout: Layout, job: TrainingJob, *, name: str, weights: bytes
) -> EncryptedObject:
    """Store the weights of the candidate or final `name`, or find that an earlier try has.

    No two ciphertexts of the same weights are the same. If each try put its own one, a try that was thought dead could
    put it after another one's manifest, which tells the hash of that one's: so the first of them stays.
    """
    key, tags = layout.weights(name), _tags(name)
    binding = _binding(storage, job, name, key)
    ciphertext = encryption.encrypt(weights, binding)
    if not storage.put_if_absent(key, ciphertext, content_type=WEIGHTS_TYPE, tags=tags):
        found = storage.get(key)
        if _opens_to(encryption, found.body, binding, weights):
            ciphertext = found.body
        else:
            storage.replace(key, ciphertext, etag=found.etag, content_type=WEIGHTS_TYPE, tags=tags)
    return EncryptedObject(**dict(_describe(key, ciphertext)), plaintext_sha256=sha256_of(weights))


def _opens_to(encryption: Encryption, ciphertext: bytes, binding: Binding, weights: bytes) -> bool:
    try:
        return encryption.decrypt(ciphertext, binding) == weights
    except IntegrityError:
        return False


def _binding(storage: Storage, job: TrainingJob, name: str, key: str) -> Binding:
    purpose: Purpose = "final" if is_final(name) else "weights"
    return Binding(bucket=storage.bucket, key=key, run=job.run, candidate=job.candidate, purpose=purpose)


def _tags(name: str) -> str:
    return "" if is_final(name) else _EXPIRES


def _put_history(storage: Storage, key: str, history: History) -> tuple[StoredObject, History]:
    """Store a candidate's history, or find that an earlier try has; returns the one that is there.

    Each try has its own times: so the first one stays, for the same reason as of weights.
    """
    body = to_json(history.model_dump(mode="json"))
    if not storage.put_if_absent(key, body, tags=_EXPIRES):
        found = storage.get(key)
        earlier = _history_of_the_same(storage, found, history)
        if earlier:
            return _describe(key, found.body), earlier
        storage.replace(key, body, etag=found.etag, tags=_EXPIRES)
    return _describe(key, body), history


def _history_of_the_same(storage: Storage, found: Stored, history: History) -> History | None:
    try:
        earlier = parse(History, storage, found)
    except IntegrityError:
        return None
    return earlier if earlier.figures == history.figures else None


def _settle(storage: Storage, layout: Layout, manifest: Manifest) -> Manifest:
    """The manifest comes last: it decides. Returns the one that is there."""
    body = to_json(manifest.model_dump(mode="json"))
    if storage.put_if_absent(layout.manifest(manifest.name), body, tags=_tags(manifest.name)):
        return manifest
    return read(storage, layout, manifest.name)


def find(storage: Storage, layout: Layout, name: str) -> Manifest | None:
    """The manifest of a candidate or a final; None if it was never committed.

    Raises:
        IntegrityError: what is stored there is not the manifest of that checkpoint.
    """
    stored = storage.find(layout.manifest(name))
    return _parsed(storage, layout, name, stored) if stored else None


def _parsed(storage: Storage, layout: Layout, name: str, stored: Stored) -> Manifest:
    _check_version(storage, stored)
    manifest = parse(Manifest, storage, stored)
    keys = (manifest.weights.key, manifest.metrics.key)
    if manifest.name != name or keys != (layout.weights(name), layout.metrics(name)):
        raise IntegrityError(
            f"{storage.uri(stored.key)} calls itself {manifest.name} and points to "
            f"{' and '.join(f'{key!r:.100}' for key in keys)}; expected {name} and the objects beside it",
            mend="somebody changed the manifest: restore its previous version, or leave this checkpoint out",
        )
    return manifest


def _check_version(storage: Storage, stored: Stored) -> None:
    content = stored.json()
    version = content.get("version") if isinstance(content, dict) else None
    if version == 1:
        raise IntegrityError(
            f"{storage.uri(stored.key)} is a manifest of version 1: its weights are not encrypted; expected version 2",
            mend="this code trusts encrypted weights only: train the model again in a new run, in an empty "
            "bucket (MNIST_BUCKET; on a laptop: make clean)",
        )


def read(storage: Storage, layout: Layout, name: str) -> Manifest:
    """The manifest of a checkpoint that has to exist.

    Raises:
        NotFoundError: it was never committed.
        IntegrityError: what is stored there is not the manifest of that checkpoint.
    """
    manifest = find(storage, layout, name)
    if manifest is None:
        raise NotFoundError(
            f"{name} has no manifest at {storage.uri(layout.manifest(name))}: it was never committed",
            mend="take a name from a report"
            if is_final(name)
            else "let its training end first; its log says how it went",
        )
    return manifest


def read_known(storage: Storage, layout: Layout, name: str, sha256: str) -> Manifest:
    """The manifest of a checkpoint that somebody vouches for by the manifest's SHA-256.

    Raises:
        NotFoundError: it is gone.
        IntegrityError: it is another one.
    """
    key = layout.manifest(name)
    return _parsed(storage, layout, name, Stored(key, storage.get_verified(key, sha256), etag=""))


def fingerprint(storage: Storage, layout: Layout, manifest: Manifest) -> str:
    """The SHA-256 of a manifest as it is stored: for whoever wants to vouch for one that he has examined.

    Raises:
        IntegrityError: what is stored there by now says something else.
        NotFoundError: it is gone.
    """
    stored = storage.get(layout.manifest(manifest.name))
    if _parsed(storage, layout, manifest.name, stored) != manifest:
        raise IntegrityError(
            f"{storage.uri(stored.key)} was changed while it was examined",
            mend="a manifest is never replaced: find out who did it, and restore its first version in S3",
        )
    return sha256_of(stored.body)


def load_weights(storage: Storage, encryption: Encryption, manifest: Manifest) -> bytes:
    """The weights as a plain Keras `.weights.h5` file, verified against the manifest before and after decryption.

    Raises:
        IntegrityError: they have changed since they were committed, or were encrypted for another place.
        NotFoundError: they are gone.
        ConfigurationError: KMS refuses the key.
        TemporaryError: KMS or S3 does not answer, or not now.
    """
    stored = manifest.weights
    ciphertext = storage.get_verified(stored.key, stored.sha256)
    weights = encryption.decrypt(ciphertext, _binding(storage, manifest.job, manifest.name, stored.key))
    if sha256_of(weights) != stored.plaintext_sha256:
        raise IntegrityError(
            f"{storage.uri(stored.key)} decrypts to {len(weights):,} bytes with SHA-256 {sha256_of(weights)}, expected "
            f"{stored.plaintext_sha256}",
            mend="the manifest was changed: restore its previous version, or leave this checkpoint out",
        )
    return weights


def _load_metrics(storage: Storage, manifest: Manifest) -> bytes:
    return storage.get_verified(manifest.metrics.key, manifest.metrics.sha256)


def load_history(storage: Storage, manifest: Manifest) -> History:
    """The training history, verified against the manifest.

    Raises:
        IntegrityError: it has changed since it was committed, or is no history.
        NotFoundError: it is gone.
    """
    body = _load_metrics(storage, manifest)
    return parse(History, storage, Stored(manifest.metrics.key, body, etag=""))


def best(manifests: Iterable[Manifest]) -> Manifest:
    """The candidate with the highest validation accuracy, then the lower validation loss, then the first name.

    Raises:
        NotFoundError: there is none.
    """
    chosen = min(manifests, key=lambda m: (-m.validation_accuracy, m.validation_loss, m.name), default=None)
    if chosen is None:
        raise NotFoundError("there is no candidate to choose from", mend="train one first")
    return chosen
