"""What a deployment does, in the order in which one thing needs another; where it does it is an `Account`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from localcloud.stack import environment

IMAGES = ("trainer", "promoter", "airflow")


@dataclass(frozen=True)
class Options:
    """What a deployment may choose; see `--help`."""

    bucket: str
    stack: str = "mnist"
    subnets: str = ""
    security_groups: str = ""
    alarm_email: str = ""
    worker_services: str = ""
    cloudformation_role: str = ""


class Account(Protocol):
    """Where it is deployed to."""

    def stack(self, name: str, template: str, parameters: Mapping[str, str]) -> Mapping[str, str]:
        """Create or update a stack; returns its outputs."""

    def push(self, repository: str, image: str, tag: str) -> str:
        """Build an image of `tools.images` and push it; returns its reference by digest."""

    def public_key(self, key: str) -> bytes:
        """The public half of a KMS key, as PEM."""


@dataclass(frozen=True)
class Deployed:
    """What an Airflow needs that is to run the DAGs there."""

    outputs: Mapping[str, str]
    public_key: bytes
    airflow_image: str

    def write(self, folder: Path) -> None:
        """As `airflow.env` and `promotion.pub.pem`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "promotion.pub.pem").write_bytes(self.public_key)
        variables = "".join(f"{name}={value}\n" for name, value in sorted(environment(self.outputs).items()))
        (folder / "airflow.env").write_text(f"# Airflow's image: {self.airflow_image}\n{variables}")


def deploy(account: Account, options: Options, *, commit: str) -> Deployed:
    """Do it all. Done again, it changes what has changed."""
    registry = account.stack(f"{options.stack}-registry", "infra/registry.yaml", {})
    network = {"Subnets": options.subnets, "SecurityGroups": options.security_groups}
    if not options.subnets:
        made = account.stack(f"{options.stack}-network", "infra/network.yaml", {})
        network = {name: made[name] for name in network}
    images = {
        name: account.push(registry[f"{name.capitalize()}Repository"], f"mnist-{name}:local", commit) for name in IMAGES
    }
    outputs = account.stack(options.stack, "infra/mnist.yaml", _parameters(options, images, network))
    watched = {"PipelineStack": options.stack, "LogGroup": outputs["LogGroup"], "AlarmEmail": options.alarm_email}
    account.stack(f"{options.stack}-monitoring", "infra/monitoring.yaml", watched)
    return Deployed(outputs, account.public_key(outputs["SigningKey"]), images["airflow"])


def _parameters(options: Options, images: Mapping[str, str], network: Mapping[str, str]) -> dict[str, str]:
    chosen = {"WorkerServices": options.worker_services} if options.worker_services else {}
    return {
        "BucketName": options.bucket,
        "TrainerImage": images["trainer"],
        "PromoterImage": images["promoter"],
        "Subnets": network["Subnets"],
        "SecurityGroups": network["SecurityGroups"],
        **chosen,
    }
