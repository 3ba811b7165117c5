"""The state of an unfinished training in S3: one object, replaced by one put after each epoch, gone after the commit.

It is encrypted as weights are, and it is a help, not a result. What is stored is only ever believed if it is whole and
belongs to this very job; and that S3 or KMS does not take it is said and survived, since a training that goes on is
worth more than one that could be resumed.
"""

from __future__ import annotations

from dataclasses import dataclass

from mnist_tasks import events
from mnist_tasks.config import TrainingJob
from mnist_tasks.encryption import Binding, Encryption
from mnist_tasks.errors import IntegrityError, MnistError
from mnist_tasks.layout import Layout
from mnist_tasks.storage import Storage
from mnist_tasks.training.state import State

_CONTENT_TYPE = "application/octet-stream"


@dataclass(frozen=True)
class Resume:
    """The resume state of one job. What it survives is told as a warning."""

    storage: Storage
    encryption: Encryption
    layout: Layout
    job: TrainingJob

    @property
    def key(self) -> str:
        """Where it is stored."""
        return self.layout.resume(self.job.run, self.job.candidate)

    @property
    def _binding(self) -> Binding:
        run, candidate = self.job.run, self.job.candidate
        return Binding(self.storage.bucket, self.key, run=run, candidate=candidate, purpose="resume")

    def load(self) -> State | None:
        """What an earlier try left behind; None if that is nothing, or nothing that training could go on from.

        Raises:
            TemporaryError: S3 or KMS did not answer: nothing is lost yet, so another try is better than starting anew.
            ConfigurationError: KMS refuses the key, with which the checkpoint could not be committed either.
        """
        stored = self.storage.find(self.key)
        if stored is None:
            return None
        try:
            return State.from_bytes(self.encryption.decrypt(stored.body, self._binding), self.job)
        except IntegrityError as error:
            uri = self.storage.uri(self.key)
            events.warn("resume ignored", f"resume state {uri} is ignored, training starts anew: {error.problem}")
            return None

    def save(self, state: State) -> None:
        """Replace what is stored. A failure leaves the state of an earlier epoch there: as good, only older."""
        try:
            body = self.encryption.encrypt(state.to_bytes(self.job), self._binding)
            self.storage.put(self.key, body, content_type=_CONTENT_TYPE)
        except MnistError as error:
            epoch = len(state.history.epochs)
            events.warn("resume not saved", f"resume state after epoch {epoch} was not saved: {error.problem}")

    def delete(self) -> None:
        """Remove it: the manifest is committed. Left behind by a failure, it expires with the rest of the run."""
        try:
            self.storage.delete(self.key)
        except MnistError as error:
            events.warn("resume not deleted", f"resume state was not deleted: {error.problem}")
