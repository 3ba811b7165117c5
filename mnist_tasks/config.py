"""What can be configured: by deployment (`Settings`), by run (`RunConfig`), by container (`TrainingJob`...).

All of them are frozen and validate on construction. `RunConfig` is the single definition of a run's parameters: its
bounds and descriptions make the form in the Airflow UI, check the values that come back, and are the defaults of
everything else.
"""

from __future__ import annotations

import hashlib
import reprlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
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


class Settings(Frozen):
    """What differs between a laptop, docker-compose and AWS. Read from `MNIST_<FIELD>` variables.

    The outputs of `infra/mnist.yaml` that Airflow needs are such variables. Lists are separated by commas.
    """

    bucket: BucketName = Field("contract-management-bucket-bkvww1ps", description="S3 bucket of everything")
    checkpoints_prefix: S3KeyPart = Field("checkpoints", description="folder of the checkpoints in the bucket")
    checkpoint_key: KeyArn = Field("", description="ARN of the KMS key of candidates' weights and resume states")
    final_key: KeyArn = Field("", description="ARN of the KMS key of finals' weights")
    cluster: str = Field("mnist", min_length=1, description="ECS cluster")
    task_definition: str = Field("mnist-trainer", min_length=1, description="ECS task definition of the trainer")
    container_name: str = Field("trainer", min_length=1, description="container in that task definition")
    promoter_task_definition: str = Field(
        "mnist-promoter", min_length=1, description="ECS task definition of the promoter"
    )
    promoter_container_name: str = Field("promoter", min_length=1, description="container in that task definition")
    log_group: str = Field("/mnist/containers", min_length=1, description="CloudWatch log group of the containers")
    log_stream_prefix: str = Field("trainer", min_length=1, description="stream prefix of the trainer there")
    promoter_log_stream_prefix: str = Field("promoter", min_length=1, description="the same of the promoter")
    subnets: tuple[str, ...] = Field((), description="subnets of the tasks (AWS only)")
    security_groups: tuple[str, ...] = Field((), description="security groups of the tasks (AWS only)")
    assign_public_ip: Literal["ENABLED", "DISABLED"] = Field("DISABLED", description="public address of the tasks")
    capacity: Literal["FARGATE", "FARGATE_SPOT"] = Field(
        "FARGATE_SPOT", description="where training runs; the last try of a step runs on FARGATE whatever this says"
    )
    poll_seconds: float = Field(6, ge=0.1, le=60, description="seconds between two looks at a running ECS task")
    retry_seconds: int = Field(
        30,
        ge=1,
        le=600,
        description="seconds before the first retry of a step, then doubled; Airflow adds up to as much again",
    )
    mail_from: EmailAddress = Field("mnist@example.com", description="sender of the report")
    airflow_url: str = Field(
        "", pattern=r"^(https?://[^\s<>\"]+)?$", description="address of the Airflow UI, for links"
    )
    # https://aws.amazon.com/fargate/pricing/ for Linux on x86 in us-east-1; Spot's price moves about its share.
    price_vcpu_hour: float = Field(0.04048, ge=0, description="US dollars for a vCPU hour on Fargate, on demand")
    price_gb_hour: float = Field(0.004445, ge=0, description="US dollars for a GB hour of memory, on demand")
    price_spot_share: float = Field(0.3, ge=0, le=1, description="what Spot costs, as a share of the two prices above")
    signing_keys: str = Field("", description="PEM file with the public keys whose signed decisions are believed")
    attestation_production: bool = Field(
        True, description="believes no key whose attestation is software's; only development says False"
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the variables that are set; an empty one counts as not set.

        Raises:
            ConfigurationError: a value is outside its bounds.
        """
        values: dict[str, Any] = {}
        for name, field in cls.model_fields.items():
            text = environment.get(ENVIRONMENT_PREFIX + name.upper(), "").strip()
            if text:
                values[name] = _parsed(field, text)
        return cls.checked(values, mend="correct the MNIST_... environment variable of that name")

    def network_configuration(self) -> dict[str, Any] | None:
        """What RunTask needs to know about the network; None where tasks have no network of their own."""
        if not self.subnets:
            return None
        return {
            "awsvpcConfiguration": {
                "subnets": list(self.subnets),
                "securityGroups": list(self.security_groups),
                "assignPublicIp": self.assign_public_ip,
            }
        }


class _Parameters(Frozen):
    """What a person types into the form of a DAG."""

    @classmethod
    def from_params(cls, params: Mapping[str, Any], conf: Mapping[str, Any] | None = None) -> Self:
        """Check a run's parameters, and that its conf names no others (Airflow lets unknown keys pass).

        Raises:
            ConfigurationError: an unknown key, or a value outside its bounds.
        """
        known = ", ".join(cls.model_fields)
        unknown = sorted(set(conf or {}) - set(cls.model_fields))
        if unknown:
            raise ConfigurationError(
                f"unknown keys in the run's configuration: {', '.join(map(repr, unknown))}; known are {known}",
                mend="trigger the run again without them, or spell them as listed",
            )
        return cls.checked(params, mend="trigger the run again with values inside the bounds of the form")


class RunConfig(_Parameters):
    """What a person may choose for one run. Defaults are the specification's; a classifier may have others."""

    epochs: int = Field(default=10, ge=1, le=100, description="Passes over the training images.")
    batch_size: int = Field(default=32, ge=1, le=1024, description="Images per optimizer step.")
    learning_rate: LearningRate = Field(default=0.001, description="Adam's step size.")
    learning_rates: tuple[LearningRate, ...] = Field(
        default=(),
        max_length=16,
        description="Adam's step size of each candidate in turn, from the beginning again where there are more "
        "candidates; empty: `learning_rate` for all.",
    )
    candidates: int = Field(default=2, ge=1, le=16, description="Models trained side by side; the best one goes on.")
    validation_images: int = Field(
        default=6000, ge=1000, le=30000, description="Images split off the training images to choose the best epoch by."
    )
    seed: Seed | None = Field(
        default=None,
        description="Empty: derived from the run, so every night is a new draw. The report names it.",
    )
    release_rule: Literal["better", "not_worse"] = Field(
        default="better",
        description="better: only a significantly better model replaces the champion. not_worse: a justified change "
        "of data or code may replace it if it is worse by no more than the classifier's margin (MNIST: half a "
        "percentage point).",
    )
    approval_hours: float | None = Field(
        default=None,
        ge=0.005,  # 18 s: Airflow loses an answer that comes before its scheduler knows that the step waits
        le=24,
        description="Empty: nobody is asked. Otherwise a person has to approve the best candidate in Airflow before it "
        "is promoted; without an answer in so many hours nothing is.",
    )
    recipients: tuple[EmailAddress, ...] = Field(
        default=(), max_length=20, description="Who gets the report; empty: the deployment's recipients."
    )

    def learning_rate_of(self, number: int) -> float:
        """The learning rate of candidate `number` (from 0)."""
        rates = self.learning_rates or (self.learning_rate,)
        return rates[number % len(rates)]


class RollbackConfig(_Parameters):
    """What a person says to put an earlier final back into service."""

    to: FinalName = Field(
        title="Put back into service",
        description="Name of the final, as the reports and the decisions in S3 list it: ..._model_..._final.",
    )
    reason: Reason = Field(
        description="Why. It goes into the decision's record for good.",
    )


class TrainingJob(Frozen):
    """Everything that the training container needs to know; travels as environment variables.

    The container reads nothing else: the same job gives the same candidate.
    """

    bucket: BucketName
    checkpoints_prefix: S3KeyPart
    run: S3KeyPart
    candidate: CandidateName
    dataset_sha256: Sha256
    seed: Seed
    epochs: int = Field(ge=1, le=100)
    batch_size: int = Field(ge=1, le=1024)
    learning_rate: LearningRate
    validation_images: int = Field(ge=1000, le=30000)
    classifier: ClassifierName = Field(default="mnist", description="a record of before there were others has none")

    @model_validator(mode="after")
    def _candidate_is_the_classifiers(self) -> Self:
        if self.candidate.rpartition("_model_")[0] != self.classifier:
            raise ValueError(f"{self.candidate} is no candidate of the classifier {self.classifier}")
        return self

    def to_environment(self) -> dict[str, str]:
        """The variables that `from_environment` reads."""
        return {ENVIRONMENT_PREFIX + name.upper(): str(value) for name, value in self.model_dump().items()}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the job of this container.

        Raises:
            ConfigurationError: a variable is missing or outside its bounds.
        """
        names = variables_of(cls)
        values = {name: environment[variable] for name, variable in names.items() if variable in environment}
        mend = "set these environment variables in the task's overrides"
        return cls.checked(values, mend=mend, names=names)

    @property
    def name(self) -> str:
        """What this job is called among those of its run."""
        return self.candidate

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the container's command line says besides: nothing."""
        return ()


class PromotionJob(Frozen):
    """What the promoter is asked to decide: its one argument, and environment variables.

    It says which run, and nothing of what came of it: the promoter reads that again, and computes it again.
    """

    action: Literal["promote", "rollback"]
    bucket: BucketName
    checkpoints_prefix: S3KeyPart
    run: S3KeyPart
    classifier: ClassifierName = "mnist"
    to: FinalName | None = None
    reason: Reason | None = None
    answer: Reply | None = None
    answered_by: Person | None = None

    @model_validator(mode="after")
    def _an_answer_is_somebodys(self) -> Self:
        if self.answer is not None and self.action != "promote":
            raise ValueError(f"{self.action} takes no answer")
        if (self.answered_by is not None) is not (self.answer in {"approved", "rejected"}):
            raise ValueError(f"answer {self.answer} by {self.answered_by}")
        return self

    @model_validator(mode="after")
    def _a_rollback_has_a_target_and_a_reason(self) -> Self:
        expected = self.action == "rollback"
        if (self.to is not None) is not expected or (self.reason is not None) is not expected:
            raise ValueError(f"{self.action} {'needs a target and a reason' if expected else 'takes neither'}")
        return self

    def to_environment(self) -> dict[str, str]:
        """The variables that `from_container` reads."""
        values = self.model_dump(exclude={"action"}, exclude_none=True)
        return {ENVIRONMENT_PREFIX + name.upper(): str(value) for name, value in values.items()}

    @classmethod
    def from_container(cls, arguments: Sequence[str], environment: Mapping[str, str]) -> Self:
        """Read the job of this container.

        Raises:
            ConfigurationError: an argument or a variable is missing, unknown or outside its bounds.
        """
        if len(arguments) != 1:
            raise ConfigurationError(
                f"came {len(arguments)} arguments ({' '.join(map(repr, arguments)):.80}), expected promote or rollback",
                mend="let the task's overrides have one argument as their command",
            )
        names = variables_of(cls)
        del names["action"]
        values = {name: environment[variable] for name, variable in names.items() if variable in environment}
        mend = "set the command and these environment variables in the task's overrides"
        return cls.checked({"action": arguments[0], **values}, mend=mend, names=names)

    @property
    def name(self) -> str:
        """What this job is called among those of its run."""
        return self.action

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the container's command line says besides."""
        return (self.action,)


class ContainerSettings(Frozen):
    """What a task definition tells its container, whatever its job. Read from `MNIST_<FIELD>` variables."""

    checkpoint_key: KeyArn = Field(min_length=1, description="ARN of the KMS key of weights and resume states")
    time_limit_seconds: int = Field(5400, ge=1, le=86_400, description="then the container ends itself")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the variables that are set.

        Raises:
            ConfigurationError: a value is outside its bounds.
        """
        names = variables_of(cls)
        fields = cls.model_fields
        values = {name: _parsed(fields[name], environment[v]) for name, v in names.items() if v in environment}
        return cls.checked(values, mend="correct the environment in the task definition", names=names)


class PromoterSettings(ContainerSettings):
    """What the promoter's task definition tells it besides.

    It signs with a key in KMS, or, in an attested place, with a sealed key that KMS opens for that place alone.
    """

    time_limit_seconds: int = Field(600, ge=1, le=86_400, description="then the container ends itself")
    signing_key: str = Field("", description="ARN of the KMS key that signs decisions")
    earlier_signing_keys: tuple[str, ...] = Field((), description="ARNs of keys that have signed before it")
    sealing_key: KeyArn = Field("", description="ARN of the KMS key that opens sealed keys for an attested place")
    sealed_signing_keys: tuple[str, ...] = Field(
        (), description="sealed keys in base64: the one that signs decisions, and those that have signed before it"
    )
    final_key: KeyArn = Field(min_length=1, description="ARN of the KMS key of finals' weights")
    lock_mode: Literal["GOVERNANCE", "COMPLIANCE", ""] = Field("", description="Object Lock of what is written")
    lock_days: int = Field(365, ge=1, le=3650, description="days for which it cannot be removed")

    @model_validator(mode="after")
    def _signs_in_one_way(self) -> Self:
        if bool(self.signing_key) == bool(self.sealed_signing_keys):
            raise ValueError("expected either MNIST_SIGNING_KEY or MNIST_SEALED_SIGNING_KEYS, to sign decisions with")
        if bool(self.sealing_key) != bool(self.sealed_signing_keys):
            raise ValueError("MNIST_SEALING_KEY and MNIST_SEALED_SIGNING_KEYS belong together")
        return self


def _parsed(field: FieldInfo, text: str) -> str | tuple[str, ...]:
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
