"""The kinds of values that are configured, and how they are read from untrusted text."""

from __future__ import annotations

import hashlib
import reprlib
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.fields import FieldInfo

from mnist_tasks.errors import ConfigurationError

Seed = Annotated[int, Field(ge=0, lt=2**31)]
# Deliberately stricter than RFC 5322: nothing that could end a mail header or start a second address.
EmailAddress = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$", max_length=254)
]
S3KeyPart = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=100)]
LearningRate = Annotated[float, Field(gt=0, le=1)]
ImageDigest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
# Never an alias: mnist_tasks.encryption says why. Empty: there is none.
KeyArn = Annotated[
    str, StringConstraints(pattern=r"^(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]{1,64})?$")
]
# Part of DAG ids, S3 keys, names of checkpoints and of environment variables.
ClassifierName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,30}$")]
CandidateName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,30}_model_[0-9]{8}_[0-9]{6}$")]
FinalName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,30}_model_[0-9]{8}_[0-9]{6}_final$")]


def _check_printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("a character in it cannot be printed, or turns the direction of the text")
    return text


# It becomes part of an environment, a log and a mail. The pattern is what the form can check; it does not know all of
# Unicode's invisible characters.
Reason = Annotated[
    str,
    StringConstraints(pattern=r"^[^\x00-\x1f\x7f]+$", min_length=10, max_length=500),
    AfterValidator(_check_printable),
]
# A name as Airflow's login states it.
Person = Annotated[
    str,
    StringConstraints(pattern=r"^[^\x00-\x1f\x7f]+$", min_length=1, max_length=250),
    AfterValidator(_check_printable),
]
Reply = Literal["approved", "rejected", "unanswered"]
BucketName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]

# Of one object: many times what the largest of MNIST's takes, and little enough for a container of 2 GB.
MOST_BYTES: Final = 256 * 2**20

ENVIRONMENT_PREFIX = "MNIST_"
ATTESTATION_PREFIX = ENVIRONMENT_PREFIX + "ATTESTATION_"

# What an attestation is called wherever it is told of: software must never read as hardware.
NITRO_LABEL: Final = "AWS Nitro"
SOFTWARE_LABEL: Final = "software attestation: not a TEE"
AttestationLabel = Literal["AWS Nitro", "software attestation: not a TEE"]


class Frozen(BaseModel):
    """A value object: frozen, strict about unknown fields, to and from JSON, failing with our own error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def checked(cls, values: Mapping[str, Any], *, mend: str, names: Mapping[str, str] | None = None) -> Self:
        """Build from untrusted `values`; `names` says what a field is called where they come from.

        Raises:
            ConfigurationError: what is missing, unknown or out of bounds, a part for each.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False)
            lines = [_line(e, names or {}, cls) for e in found[:_MOST_ERRORS]]
            if len(found) > _MOST_ERRORS:
                lines.append(f"and {len(found) - _MOST_ERRORS:,} more")
            raise ConfigurationError(f"{cls.__name__}: " + "; ".join(lines), mend=mend) from None


# What came may be a stranger's: its names and values go into logs and mails, so they are cut, and nothing in them acts.
_MOST_ERRORS = 16
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80


def _line(error: Any, names: Mapping[str, str], model: type[BaseModel]) -> str:
    place = ".".join(names.get(str(part), str(part)) for part in error["loc"]) or "value"
    return f"{_printable(place):.120}: {_printable(error['msg']):.400} (came {_came(error, model):.200})"


def _came(error: Any, model: type[BaseModel]) -> str:
    # What pydantic calls the input of a missing field is all the others.
    if error["type"] == "missing":
        return "nothing"
    field = model.model_fields.get(str(error["loc"][0])) if error["loc"] else None
    return "what is not shown: it may hold a secret" if field and not field.repr else _SHORT.repr(error["input"])


def _printable(text: str) -> str:
    return text if text.isprintable() else repr(text)


def parsed(field: FieldInfo, text: str) -> str | tuple[str, ...]:
    """A variable's text; where the field is a list, its parts between commas."""
    return list_of(text) if isinstance(field.default, tuple) else text


def list_of(text: str) -> tuple[str, ...]:
    """The parts between commas; empty ones do not count."""
    return tuple(filter(None, (part.strip() for part in text.split(","))))


def variables_of(model: type[Frozen]) -> dict[str, str]:
    """The environment variable of each field."""
    return {name: ENVIRONMENT_PREFIX + name.upper() for name in model.model_fields}


def derived_seed(*parts: object) -> int:
    """A seed in [0, 2**31) that depends on all `parts` and on nothing else.

    Python's own `hash` differs between processes; SHA-256 does not.

    >>> derived_seed("run", 0) == derived_seed("run", 0) != derived_seed("run", 1)
    True
    """
    digest = hashlib.sha256("\n".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
