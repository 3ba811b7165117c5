"""What a deployment does, in the order in which one thing needs another; where it does it is an `Account`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from localcloud.stack import SIGNING_KEY, environment, keep_public_key

IMAGES = ("trainer", "promoter", "airflow")
# Its repositories have fixed names: the pipelines of an account and region share them.
REGISTRY = "mnist-registry"


@dataclass(frozen=True)
class Options:
    """What a deployment may choose; see `--help`. What is empty stays as it was deployed before."""

    bucket: str
    stack: str = "mnist"
    subnets: str = ""
    security_groups: str = ""
    alarm_email: str = ""
    worker_services: str = ""
    cloudformation_role: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)


class Account(Protocol):
    """Where it is deployed to."""

    def service_role(self, service: str) -> None:
        """Have the account's service-linked role of a service made, unless it is there."""

    def parameters(self, name: str) -> Mapping[str, str] | None:
        """The parameters of a stack; None if there is no such stack."""

    def stack(self, name: str, template: str, parameters: Mapping[str, str]) -> Mapping[str, str]:
        """Create or update a stack; parameters that are not named keep their values. Returns its outputs."""

    def push(self, repository: str, image: str, tag: str) -> str:
        """Build an image of `tools.images` and push it; returns its reference by digest."""

    def public_key(self, key: str) -> str:
        """The public half of a KMS key, as PEM."""


@dataclass(frozen=True)
class Deployed:
    """What an Airflow needs that is to run the DAGs there."""

    outputs: Mapping[str, str]
    public_keys: Sequence[str]
    airflow_image: str

    def write(self, folder: Path) -> None:
        """As `airflow.env` and `promotion.pub.pem`; keys that are in there already stay."""
        folder.mkdir(parents=True, exist_ok=True)
        for key in self.public_keys:
            keep_public_key(key, folder / "promotion.pub.pem")
        variables = "".join(f"{name}={value}\n" for name, value in sorted(environment(self.outputs).items()))
        (folder / "airflow.env").write_text(f"# Airflow's image: {self.airflow_image}\n{variables}")


def deploy(account: Account, options: Options, *, commit: str) -> Deployed:
    """Do it all. Done again, it changes what has changed."""
    # An account's first cluster needs it. Made first: it takes a moment until ECS can act in it.
    account.service_role("ecs.amazonaws.com")
    registry = account.stack(REGISTRY, "infra/registry.yaml", {})
    network = _network(account, options)
    images = {
        name: account.push(registry[f"{name.capitalize()}Repository"], f"mnist-{name}:local", commit) for name in IMAGES
    }
    outputs = account.stack(options.stack, "infra/mnist.yaml", _parameters(options, images, network))
    watched = {
        "PipelineStack": options.stack,
        "LogGroup": outputs["LogGroup"],
        **_given(AlarmEmail=options.alarm_email),
    }
    account.stack(f"{options.stack}-monitoring", "infra/monitoring.yaml", watched)
    return Deployed(outputs, _public_keys(account, options, outputs), images["airflow"])


def _given(**parameters: str) -> dict[str, str]:
    return {name: value for name, value in parameters.items() if value}


def _network(account: Account, options: Options) -> dict[str, str]:
    """Parameters: subnets that are named, with their groups; or those of a network that is made for the tasks."""
    if options.subnets:
        return {"Subnets": options.subnets, "SecurityGroups": options.security_groups}
    name = f"{options.stack}-network"
    if account.parameters(options.stack) is not None and account.parameters(name) is None:
        # The tasks run in subnets that an earlier deployment has named.
        return {}
    made = account.stack(name, "infra/network.yaml", {})
    return {output: made[output] for output in ("Subnets", "SecurityGroups")}


def _parameters(options: Options, images: Mapping[str, str], network: Mapping[str, str]) -> dict[str, str]:
    return {
        "BucketName": options.bucket,
        "TrainerImage": images["trainer"],
        "PromoterImage": images["promoter"],
        **network,
        **_given(WorkerServices=options.worker_services),
        **options.parameters,
    }


def _public_keys(account: Account, options: Options, outputs: Mapping[str, str]) -> list[str]:
    """Of all keys whose decisions the promoter believes, its own last."""
    earlier = (account.parameters(options.stack) or {}).get("EarlierSigningKeys", "")
    return [account.public_key(key) for key in [*filter(None, earlier.split(",")), outputs[SIGNING_KEY]]]
