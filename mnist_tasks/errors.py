"""Everything that this package raises on purpose.

```
MnistError
├── ConfigurationError      a setting or parameter is missing or outside its bounds; the same call fails again
├── DataError               the data set is not what it has to be (hash, shape, label, archive)
│   └── ValidationFailed    the data set was read, and its report says no
├── IntegrityError          an object in S3 is not what its manifest says
│   └── SignatureRefused    nobody whom we trust has signed it
├── AttestationRefused      a document, or an answer of KMS, does not prove that the code runs where it has to
├── ContainerFailed         a container ended with an exit code that another try would repeat
├── GateFailed              the best candidate may not be promoted
├── Conflict                somebody else wrote first (compare-and-set lost)
├── NotFoundError           an object or bucket that has to exist does not
└── TemporaryError          may pass on its own: network, throttling, a mail server that is down
```

Only `TemporaryError` and `Conflict` deserve a retry: `is_temporary` says so here, the DAGs' retry policy to Airflow. A
message names what came, what was expected and how to mend it.
"""

from __future__ import annotations

# What the second line of an error begins with.
MEND = "  To mend it: "


class MnistError(Exception):
    """Base of the family. `log` holds the last lines of the container that failed, if one did; no part of the message.

    Args:
        problem: What happened, with the value that came and the one that was expected.
        mend: What a person does about it, as an instruction.
    """

    log: tuple[str, ...] = ()

    def __init__(self, problem: str, *, mend: str = "") -> None:
        super().__init__(problem, mend)
        self.problem = problem
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.problem}\n{MEND}{self.mend}" if self.mend else self.problem

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process borders (multiprocessing, Airflow's supervisor); the keyword argument must survive.
        return (_rebuild, (type(self), self.problem, self.mend))


def _rebuild(kind: type[MnistError], problem: str, mend: str) -> MnistError:
    return kind(problem, mend=mend)


class ConfigurationError(MnistError):
    """A setting or a run's parameter is missing, unknown or outside its bounds."""


class DataError(MnistError):
    """The data set is not what it has to be."""


class ValidationFailed(DataError):  # noqa: N818 - reads as what it says: "validation failed: 12 labels out of range"
    """The data set was read whole, and the checks of its content said no."""


class IntegrityError(MnistError):
    """Stored bytes differ from what their manifest says."""


class SignatureRefused(IntegrityError):  # noqa: N818
    """What should be signed is not, or not by a key that is trusted."""


class AttestationRefused(MnistError):  # noqa: N818
    """What should prove that the code runs in the measured environment does not prove it."""


class ContainerFailed(MnistError):  # noqa: N818
    """A container ended with an exit code that another try would only repeat."""


class GateFailed(MnistError):  # noqa: N818
    """The best candidate may not be promoted."""


class Conflict(MnistError):  # noqa: N818
    """Somebody else wrote the object first."""


class NotFoundError(MnistError):
    """An object or a bucket that has to exist does not."""


class TemporaryError(MnistError):
    """A fault that may pass on its own: network, throttling, a server that is down."""


def is_temporary(error: BaseException) -> bool:
    """Whether trying the same step again may help."""
    return isinstance(error, TemporaryError | Conflict)
