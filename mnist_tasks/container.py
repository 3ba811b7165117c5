"""What both containers do alike: end with a code that says why, stop when asked or when their time is up."""

from __future__ import annotations

import faulthandler
import signal
import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

from mnist_tasks import events
from mnist_tasks.errors import (
    ConfigurationError,
    DataError,
    IntegrityError,
    MnistError,
    NotFoundError,
    TemporaryError,
    is_temporary,
)

if TYPE_CHECKING:
    from mnist_tasks.encryption import Encryption
    from mnist_tasks.storage import Lock, Storage

PATIENT: Mapping[str, Any] = {
    "connect_timeout": 5,
    "read_timeout": 60,
    "retries": {"mode": "standard", "total_max_attempts": 6},
}


def run(work: Callable[[], None], **about: str) -> int:
    """Do the work, and return the exit code; what ends it is told. `about` goes into every line."""
    events.start(**about)
    # Needed, not only polite: the first process of a container ignores SIGTERM unless it has a handler.
    signal.signal(signal.SIGTERM, _stop)
    try:
        work()
    except MnistError as error:
        events.fail(error)
        return exit_code(error)
    except _Stopped as stopped:
        events.fail(TemporaryError("stopped by SIGTERM"))
        return stopped.exit_code
    except Exception as error:  # noqa: BLE001 - a defect: it ends the container, and is told like all else
        events.fail(error)
        return 1
    return 0


def exit_code(error: MnistError) -> int:
    """What an expected failure ends the process with."""
    if is_temporary(error):
        return 4
    return 3 if isinstance(error, DataError | IntegrityError | NotFoundError) else 2


def limit_time(seconds: int) -> None:
    """Bound what work costs that hangs, or that nobody watches any more."""
    # A thread of C code: it also ends a process whose Python no longer gets its turn, and says where it was.
    faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__ or sys.stderr)


def open_storage(bucket: str, config: Mapping[str, Any] = PATIENT, *, lock: Lock | None = None) -> Storage:
    """The bucket, as the environment and `config` (botocore's) say.

    Raises:
        ConfigurationError: AWS's variables make no client.
    """
    from mnist_tasks.storage import Storage

    return Storage(open_client("s3", config), bucket, lock)


def open_encryption(checkpoint_key: str, final_key: str = "", *, config: Mapping[str, Any] = PATIENT) -> Encryption:
    """What weights and resume states are encrypted with; the keys are ARNs, and `config` is botocore's.

    Raises:
        ConfigurationError: AWS's variables make no client.
    """
    from mnist_tasks.encryption import Encryption

    return Encryption(open_client("kms", config), checkpoint_key, final_key)


def open_client(service: Literal["s3", "kms"], config: Mapping[str, Any] = PATIENT) -> Any:
    """A client, as the environment and `config` (botocore's) say.

    Raises:
        ConfigurationError: AWS's variables make none.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    try:
        return boto3.client(service, config=Config(user_agent_extra="mnist", **config))
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(
            f"no {service.upper()} client can be made: {error}",
            mend="correct AWS_DEFAULT_REGION, AWS_ENDPOINT_URL or other AWS_... variables",
        ) from error


class _Stopped(SystemExit):
    """Somebody asked the process to end. Told where it is caught: what it interrupts may be the writing of a line."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.exit_code = 128 + number


def _stop(number: int, _frame: FrameType | None) -> None:
    # Python calls this between two of its instructions. Whatever it interrupts, nothing half-written counts: each put
    # to S3 is atomic, and what commits comes last.
    raise _Stopped(number)
