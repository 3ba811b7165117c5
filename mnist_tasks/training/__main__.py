"""The training container: `python -m mnist_tasks.training` trains one candidate and commits its checkpoint to S3.

Everything is said by environment variables: the job by `MNIST_...` (`mnist_tasks.config.TrainingJob`, and for what
holds for every job `ContainerSettings`), AWS's region, credentials and endpoint by its own (`AWS_DEFAULT_REGION`,
`AWS_ENDPOINT_URL`...). Events go to stdout (`mnist_tasks.events`), progress also to S3. A job whose manifest is
committed already ends at once, with success.

Exit codes (`mnist_tasks.ecs` says what each of them means to a retry):
    0: the checkpoint is committed: its manifest is in S3.
    1: a defect, or the time limit was reached; its traceback is in the log.
    2: the configuration was refused: a variable, a parameter that training diverges with, access to bucket or key.
    3: what S3 holds was refused: there is no such bucket or data set, or it is not what its hash or name says.
    4: S3 or KMS could not be used: it did not answer, was overloaded, or somebody else wrote first.
    143: SIGTERM: a Spot interruption, or a person.

Whatever ended it, the same job started again goes on after the last whole epoch (`mnist_tasks.training.resume`) and
ends in the same weights, to the bit, on the same kind of machine.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mnist_tasks import events
from mnist_tasks.config import ContainerSettings, TrainingJob
from mnist_tasks.container import limit_time, open_encryption, open_storage, run
from mnist_tasks.errors import IntegrityError

if TYPE_CHECKING:
    from mnist_tasks.checkpoints import Manifest
    from mnist_tasks.encryption import Encryption
    from mnist_tasks.layout import Layout
    from mnist_tasks.storage import Storage
    from mnist_tasks.training.examples import Examples
    from mnist_tasks.training.resume import Resume
    from mnist_tasks.training.state import State

_BRIEF = {"connect_timeout": 2, "read_timeout": 10, "retries": {"mode": "standard", "total_max_attempts": 2}}

# Imports that cost time stand in the functions below: a bad variable is refused in a blink, and a missing bucket or a
# bad data set before TensorFlow's two seconds.


def main(environment: Mapping[str, str]) -> int:
    """Train the job that the environment describes, and return the exit code."""
    about = {"run": environment.get("MNIST_RUN", ""), "candidate": environment.get("MNIST_CANDIDATE", "")}
    about["classifier"] = environment.get("MNIST_CLASSIFIER", "mnist")
    return run(lambda: _work(environment), **about)


def _work(environment: Mapping[str, str]) -> None:
    settings = ContainerSettings.from_environment(environment)
    limit_time(settings.time_limit_seconds)
    _run(TrainingJob.from_environment(environment), settings.checkpoint_key)


def _run(job: TrainingJob, key: str) -> None:
    from mnist_tasks import checkpoints
    from mnist_tasks.definitions import named
    from mnist_tasks.layout import Layout
    from mnist_tasks.training.resume import Resume

    storage, layout = open_storage(job.bucket), Layout(named(job.classifier), job.checkpoints_prefix)
    # Clients of its own for what training can do without: it must not wait long for an S3 or KMS that does not answer.
    resume = Resume(open_storage(job.bucket, _BRIEF), open_encryption(key, config=_BRIEF), layout, job)
    manifest = checkpoints.find(storage, layout, job.candidate)
    if manifest is None:
        manifest = _train(storage, open_encryption(key), layout, job, resume)
    elif manifest.job != job:
        raise IntegrityError(
            f"{job.candidate} was committed already, by another job of run {manifest.run}",
            mend="train this candidate in a new run, which claims a name of its own",
        )
    else:
        events.tell("done already", f"{job.candidate} is committed already: nothing to do")
    # Also in the second case: the earlier try may have been killed between the two.
    resume.delete()
    events.tell("committed", f"manifest: {storage.uri(layout.manifest(manifest.name))}")


def _train(storage: Storage, encryption: Encryption, layout: Layout, job: TrainingJob, resume: Resume) -> Manifest:
    training, validation = _examples(storage, layout, job)
    events.tell(
        "started",
        f"{job.candidate}: {len(training.labels):,} training and {len(validation.labels):,} validation images, "
        f"{job.epochs} epochs, batch size {job.batch_size}, learning rate {job.learning_rate:g}, seed {job.seed}",
    )
    state = resume.load()
    if state:
        events.tell("resumed", f"resumed after epoch {len(state.history.epochs)} of {job.epochs}")
    from mnist_tasks import checkpoints
    from mnist_tasks.training.image import image_digest
    from mnist_tasks.training.loop import train
    from mnist_tasks.training.telling import Telling
    from mnist_tasks.training.weights import initial_weights, weights_file

    telling = Telling(resume.storage, layout, job, images=len(training.labels))

    def on_epoch(state: State) -> None:
        resume.save(state)
        telling.epoch(state.history)

    best, history = train(
        initial_weights(layout.classifier, job.seed),
        training,
        validation,
        epochs=job.epochs,
        batch_size=job.batch_size,
        learning_rate=job.learning_rate,
        seed=job.seed,
        state=state,
        on_running=telling.running,
        on_epoch=on_epoch,
    )
    telling.end(history)
    return checkpoints.commit(
        storage,
        encryption,
        layout,
        job,
        weights=weights_file(best),
        history=history,
        parameters=best.parameters,
        now=datetime.now(UTC),
        trainer_image=image_digest(os.environ),
    )


def _examples(storage: Storage, layout: Layout, job: TrainingJob) -> tuple[Examples, Examples]:
    """Those to train on and those to validate by; what else was loaded (the test images, too) is let go of."""
    from mnist_tasks import dataset
    from mnist_tasks.training.examples import Examples

    loaded = dataset.load(storage, layout, job.dataset_sha256)
    split = dataset.split(loaded, job.validation_images)
    return Examples.of(loaded, split.training), Examples.of(loaded, split.validation)


if __name__ == "__main__":
    sys.exit(main(os.environ))
