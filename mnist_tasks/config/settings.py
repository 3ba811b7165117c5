"""What a deployment says: to Airflow, and by a task definition to its container."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from mnist_tasks.config.values import (
    ENVIRONMENT_PREFIX,
    BucketName,
    EmailAddress,
    Frozen,
    KeyArn,
    S3KeyPart,
    parsed,
    variables_of,
)


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
        "FARGATE_SPOT", description="where training runs; the last try of a step asks for FARGATE, whatever this says"
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
                values[name] = parsed(field, text)
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
        values = {name: parsed(fields[name], environment[v]) for name, v in names.items() if v in environment}
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
