"""The policy documents of `infra/mnist.yaml`, with its functions resolved as CloudFormation would on AWS."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from tools.iam.conditions import UnsupportedError
from tools.iam.evaluate import Decision, Document, Policies, Request, evaluate

TEMPLATE = Path(__file__).resolve().parents[2] / "infra" / "mnist.yaml"
PSEUDO = {
    "AWS::AccountId": "111122223333",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-central-1",
    "AWS::StackName": "mnist",
}
_ABSENT = object()
# How CloudFormation makes ARNs of what it has named; a `{}` is the name.
_ARNS = {
    "AWS::S3::Bucket": "arn:aws:s3:::{}",
    "AWS::KMS::Key": "arn:aws:kms:eu-central-1:111122223333:key/{}",
    "AWS::IAM::Role": "arn:aws:iam::111122223333:role/{}",
    "AWS::IAM::ManagedPolicy": "arn:aws:iam::111122223333:policy/{}",
    "AWS::ECS::Cluster": "arn:aws:ecs:eu-central-1:111122223333:cluster/{}",
    "AWS::Logs::LogGroup": "arn:aws:logs:eu-central-1:111122223333:log-group:{}:*",
}
_NAMES = {"AWS::S3::Bucket": "BucketName", "AWS::ECS::Cluster": "ClusterName", "AWS::Logs::LogGroup": "LogGroupName"}


@dataclass(frozen=True)
class Template:
    """A template with values for its parameters; those that are not given have their defaults."""

    body: Mapping[str, Any]
    parameters: Mapping[str, str]

    @classmethod
    def read(cls, path: Path = TEMPLATE, **parameters: str) -> Template:
        """Load a template file."""
        return cls(yaml.load(path.read_text(), _Loader), parameters)  # noqa: S506 - a SafeLoader with three tags more

    @cached_property
    def roles(self) -> dict[str, str]:
        """The ARN of each role by its logical name."""
        return {name: self.arn(name) for name in self._named("AWS::IAM::Role")}

    @cached_property
    def keys(self) -> list[str]:
        """The logical names of the keys."""
        return self._named("AWS::KMS::Key")

    def arn(self, name: str) -> str:
        """The ARN of a resource by its logical name."""
        kind = self.body["Resources"][name]["Type"]
        if kind not in _ARNS:
            raise UnsupportedError(f"no rule for the ARN of {name}, a {kind}")
        return _ARNS[kind].format(self._name(name))

    def decide(self, role: str, action: str, resource: str, **context: Any) -> Decision:
        """What AWS answers to a role of this template; `context` has `:` and `-` in its keys as they are."""
        request = Request(self.arn(role), action, resource, context)
        return evaluate(request, Policies(self.identity(role), self.boundary(role), self.resource_policy(resource)))

    def identity(self, role: str) -> list[Document]:
        """The documents of a role's own policies."""
        return [policy["PolicyDocument"] for policy in self.properties(role).get("Policies", [])]

    def boundary(self, role: str) -> Document | None:
        """The document of a role's permissions boundary."""
        arn = self.properties(role).get("PermissionsBoundary")
        found = [name for name in self._named("AWS::IAM::ManagedPolicy") if self.arn(name) == arn]
        return dict(self.properties(found[0])["PolicyDocument"]) if found else None

    def resource_policy(self, arn: str) -> Document | None:
        """The document that stands at a bucket or a key itself."""
        for name in self._named("AWS::S3::BucketPolicy"):
            bucket = f"arn:aws:s3:::{self.properties(name)['Bucket']}"
            if arn == bucket or arn.startswith(f"{bucket}/"):
                return dict(self.properties(name)["PolicyDocument"])
        for name in self.keys:
            if arn == self.arn(name):
                return dict(self.properties(name)["KeyPolicy"])
        return None

    def _named(self, kind: str) -> list[str]:
        return [name for name, resource in self.body["Resources"].items() if resource["Type"] == kind]

    def properties(self, name: str) -> dict[str, Any]:
        """A resource's properties by its logical name."""
        resolved: dict[str, Any] = self._resolve(self.body["Resources"][name]["Properties"])
        return resolved

    def _name(self, name: str) -> str:
        resource = self.body["Resources"][name]
        own = resource["Properties"].get(_NAMES.get(resource["Type"], ""))
        # CloudFormation, too, makes a name of the stack's, the logical one and something random.
        return str(self._resolve(own)) if own else f"{PSEUDO['AWS::StackName']}-{name}-1A2B3C4D5E6F"

    def _resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            return [item for item in map(self._resolve, value) if item is not _ABSENT]
        if not isinstance(value, dict):
            return value
        if len(value) == 1 and (function := next(iter(value))) in _FUNCTIONS:
            return _FUNCTIONS[function](self, value[function])
        resolved = {key: self._resolve(item) for key, item in value.items()}
        return {key: item for key, item in resolved.items() if item is not _ABSENT}

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _ABSENT
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self.body["Parameters"]:
            parameter = self.body["Parameters"][name]
            value = self.parameters.get(name, parameter.get("Default", ""))
            return value.split(",") if parameter["Type"] == "CommaDelimitedList" else value
        is_policy = self.body["Resources"][name]["Type"] == "AWS::IAM::ManagedPolicy"
        return self.arn(name) if is_policy else self._name(name)

    def _get_att(self, path: str) -> str:
        name, _, attribute = path.partition(".")
        if attribute != "Arn":
            raise UnsupportedError(f"attribute {path}")
        return self.arn(name)

    def _sub(self, text: str) -> str:
        def replace(match: re.Match[str]) -> str:
            name = match.group(1)
            return self._get_att(name) if "." in name else str(self._ref(name))

        return re.sub(r"\$\{([A-Za-z:.]+)\}", replace, text)

    def _if(self, parts: list[Any]) -> Any:
        name, yes, no = parts
        return self._resolve(yes if self._resolve(self.body["Conditions"][name]) else no)


_FUNCTIONS: Mapping[str, Any] = {
    "Ref": Template._ref,
    "Fn::GetAtt": Template._get_att,
    "Fn::Sub": Template._sub,
    "Fn::If": Template._if,
    "Fn::Equals": lambda template, pair: template._resolve(pair[0]) == template._resolve(pair[1]),
    "Fn::Not": lambda template, one: not template._resolve(one[0]),
    "Fn::Join": lambda template, parts: parts[0].join(template._resolve(parts[1])),
}


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML with CloudFormation's short forms."""


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    name = suffix if suffix == "Ref" else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    return {name: loader.construct_sequence(node, deep=True)}


_Loader.add_multi_constructor("!", _short_form)
