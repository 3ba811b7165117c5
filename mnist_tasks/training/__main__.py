"""The training container: `python -m mnist_tasks.training` trains one candidate and commits its checkpoint to S3.

Everything is said by environment variables: the job by `MNIST_...` (`mnist_tasks.config.TrainingJob`, and for what
holds for every job `ContainerSettings`), AWS's region, credentials and endpoint by its own (`AWS_REGION`,
`AWS_ENDPOINT_URL`...). Progress goes to stdout and to S3 (`mnist_tasks.training.telling`); an expected failure is one
error on stderr. A job whose manifest is committed already ends at once, with success.

Exit codes (`mnist_tasks.ecs` says what each of them means to a retry):
    0: the checkpoint is committed: its manifest is in S3.
    1: a defect, or the time limit was reached; its traceback is on stderr.
    2: the configuration was refused: a variable, a parameter that training diverges with, access to bucket or key.
    3: what S3 holds was refused: there is no such bucket or data set, or it is not what its hash or name says.
    4: S3 or KMS could not be used: it did not answer, was overloaded, or somebody else wrote first.
    143: SIGTERM: a Spot interruption, or a person.

Whatever ended it, the same job started again goes on after the last whole epoch (`mnist_tasks.training.resume`) and
ends in the same weights, to the bit, on the same kind of machine.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

from mnist_tasks.config import ContainerSettings, TrainingJob
from mnist_tasks.errors import ConfigurationError, DataError, IntegrityError, MnistError, NotFoundError, is_temporary

if TYPE_CHECKING:
    from mnist_tasks.checkpoints import Manifest
    from mnist_tasks.encryption import Encryption
    from mnist_tasks.layout import Layout
    from mnist_tasks.storage import Storage
    from mnist_tasks.training.examples import Examples
    from mnist_tasks.training.resume import Resume
    from mnist_tasks.training.state import State

_PATIENT = {"connect_timeout": 5, "read_timeout": 60, "retries": {"mode": "standard", "total_max_attempts": 6}}
_BRIEF = {"connect_timeout": 2, "read_timeout": 10, "retries": {"mode": "standard", "total_max_attempts": 2}}

# Imports that cost time stand in the functions below: a bad variable is refused in a blink, and a missing bucket or a
# bad data set before TensorFlow's two seconds.


def main(environment: Mapping[str, str]) -> int:
    """Train the job that the environment describes, and return the exit code."""
    # Needed, not only polite: the first process of a container ignores SIGTERM unless it has a handler.
    signal.signal(signal.SIGTERM, _stop)
    try:
        settings = ContainerSettings.from_environment(environment)
        _limit_time(settings.time_limit_seconds)
        _run(TrainingJob.from_environment(environment), settings.checkpoint_key)
    except MnistError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return exit_code(error)
    return 0


def exit_code(error: MnistError) -> int:
    """What an expected failure ends the process with."""
    if is_temporary(error):
        return 4
    return 3 if isinstance(error, DataError | IntegrityError | NotFoundError) else 2


def _limit_time(seconds: int) -> None:
    # Bounds what a training costs that hangs, or that nobody watches any more. A thread of C code: it also ends a
    # process whose Python no longer gets its turn, and says where it was.
    faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__ or sys.stderr)


def _stop(number: int, _frame: FrameType | None) -> None:
    # Python calls this between two of its instructions: at the latest when the current epoch ends. Whatever it
    # interrupts, nothing half-written counts: each put to S3 is atomic, and the manifest is the last one.
    print("error: stopped by SIGTERM", file=sys.stderr, flush=True)
    raise SystemExit(128 + number)


def _run(job: TrainingJob, key: str) -> None:
    from mnist_tasks import checkpoints
    from mnist_tasks.encryption import Encryption
    from mnist_tasks.layout import Layout
    from mnist_tasks.storage import Storage
    from mnist_tasks.training.resume import Resume

    storage, layout = Storage(_client("s3", _PATIENT), job.bucket), Layout(job.checkpoints_prefix)
    # Clients of its own for what training can do without: it must not wait long for an S3 or KMS that does not answer.
    brief = Storage(_client("s3", _BRIEF), job.bucket), Encryption(_client("kms", _BRIEF), checkpoint_key=key)
    resume = Resume(*brief, layout, job, _say)
    manifest = checkpoints.find(storage, layout, job.candidate)
    if manifest is None:
        encryption = Encryption(_client("kms", _PATIENT), checkpoint_key=key)
        manifest = _train(storage, encryption, layout, job, resume)
    elif manifest.job != job:
        raise IntegrityError(
            f"{job.candidate} was committed already, by another job of run {manifest.run}",
            mend="train this candidate in a new run, which claims a name of its own",
        )
    else:
        _say(f"{job.candidate} is committed already: nothing to do")
    # Also in the second case: the earlier try may have been killed between the two.
    resume.delete()
    _say(f"manifest: {storage.uri(layout.manifest(manifest.name))}")


def _client(service: Literal["s3", "kms"], config: Mapping[str, Any]) -> Any:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    try:
        return boto3.client(service, config=Config(user_agent_extra="mnist", **config))
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(
            f"no {service.upper()} client can be made: {error}",
            mend="correct AWS_REGION, AWS_ENDPOINT_URL or other AWS_... variables",
        ) from error


def _train(storage: Storage, encryption: Encryption, layout: Layout, job: TrainingJob, resume: Resume) -> Manifest:
    training, validation = _examples(storage, layout, job)
    _say(
        f"{job.candidate}: {len(training.labels):,} training and {len(validation.labels):,} validation images, "
        f"{job.epochs} epochs, batch size {job.batch_size}, learning rate {job.learning_rate:g}, seed {job.seed}"
    )
    state = resume.load()
    if state:
        _say(f"resumed after epoch {len(state.history.epochs)} of {job.epochs}")
    from mnist_tasks import checkpoints
    from mnist_tasks.training.loop import train
    from mnist_tasks.training.telling import Telling
    from mnist_tasks.training.weights import PARAMETERS, initial_weights, weights_file

    telling = Telling(resume.storage, layout, job, _say, images=len(training.labels), terminal=sys.stdout.isatty())

    def on_epoch(state: State) -> None:
        resume.save(state)
        telling.epoch(state.history)

    best, history = train(
        initial_weights(job.seed),
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
        parameters=PARAMETERS,
        now=datetime.now(UTC),
    )


def _examples(storage: Storage, layout: Layout, job: TrainingJob) -> tuple[Examples, Examples]:
    """Those to train on and those to validate by; what else was loaded (the test images, too) is let go of."""
    from mnist_tasks import dataset
    from mnist_tasks.training.examples import Examples

    loaded = dataset.load(storage, layout, job.dataset_sha256)
    split = dataset.split(loaded, job.validation_images)
    return Examples.of(loaded, split.training), Examples.of(loaded, split.validation)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(os.environ))
