"""A deployment that is made: CloudFormation, ECR through Docker, KMS."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError, WaiterError

from localcloud.stack import public_key
from tools.iam.template import Template
from tools.images import build, index_secrets

ROOT = Path(__file__).resolve().parents[2]
# The state of a stack whose creation was rolled back.
NEVER_MADE = "ROLLBACK_COMPLETE"


class DeployError(Exception):
    """What stopped the deployment, and what to do about it."""


class Aws:
    """The account that boto3's usual places have credentials for."""

    def __init__(self, client: Any = boto3.client, *, cloudformation_role: str = "") -> None:
        self._client = client
        self._role = {"RoleARN": cloudformation_role} if cloudformation_role else {}
        self._registry = ""

    def service_role(self, service: str) -> None:
        """Make it. Whoever may not goes on: the account may have it already."""
        try:
            self._client("iam").create_service_linked_role(AWSServiceName=service)
        except ClientError as error:
            # IAM's answer when it is there.
            if error.response["Error"]["Code"] != "InvalidInput":
                print(f"the service-linked role of {service} was not made: {error.response['Error']['Message']}")

    def parameters(self, name: str) -> Mapping[str, str] | None:
        """As CloudFormation has them."""
        stack = _find(self._client("cloudformation"), name)
        if stack is None or stack["StackStatus"] == NEVER_MADE:
            return None
        return {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in stack.get("Parameters", [])}

    def stack(self, name: str, template: str, parameters: Mapping[str, str]) -> Mapping[str, str]:
        """Create or update it, and wait."""
        cloudformation = self._client("cloudformation")
        print(f"stack {name} ...", flush=True)
        try:
            event = self._submit(cloudformation, name, ROOT / template, parameters)
        except ClientError as error:
            raise DeployError(f"CloudFormation refused stack {name}: {error.response['Error']['Message']}") from error
        self._settle(cloudformation, name, event)
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    def _submit(self, cloudformation: Any, name: str, template: Path, parameters: Mapping[str, str]) -> str:
        """Send it; returns what to wait for, nothing if the stack is as it should be."""
        stack = _find(cloudformation, name)
        if stack is not None and stack["StackStatus"] == NEVER_MADE:
            # It cannot be updated, only replaced.
            cloudformation.delete_stack(StackName=name, **self._role)
            self._settle(cloudformation, name, "stack_delete_complete")
            stack = None
        given: list[dict[str, Any]] = [{"ParameterKey": k, "ParameterValue": value} for k, value in parameters.items()]
        request = {
            "StackName": name,
            "TemplateBody": template.read_text(),
            "Parameters": given,
            "Capabilities": ["CAPABILITY_NAMED_IAM"],
            **self._role,
        }
        if stack is None:
            cloudformation.create_stack(**request)
            return "stack_create_complete"
        # What is not sent at all goes back to its default.
        known = {parameter["ParameterKey"] for parameter in stack.get("Parameters", [])}
        kept = known & Template.read(template).body.get("Parameters", {}).keys() - parameters.keys()
        given += [{"ParameterKey": key, "UsePreviousValue": True} for key in sorted(kept)]
        try:
            cloudformation.update_stack(**request)
        except ClientError as error:
            if "No updates are to be performed" not in error.response["Error"]["Message"]:
                raise
            return ""
        return "stack_update_complete"

    @staticmethod
    def _settle(cloudformation: Any, name: str, event: str) -> None:
        if not event:
            return
        try:
            cloudformation.get_waiter(event).wait(StackName=name, WaiterConfig={"Delay": 5, "MaxAttempts": 360})
        except WaiterError as error:
            events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
            reasons = [e["ResourceStatusReason"] for e in events if e.get("ResourceStatus", "").endswith("_FAILED")]
            raise DeployError(f"stack {name} failed: {'; '.join(reasons[-3:]) or error}") from error

    def push(self, repository: str, image: str, tag: str) -> str:
        """Build it for Fargate's usual processor, unless the registry has this commit's image already."""
        digest = self._digest(repository, tag)
        if not digest:
            pushed = f"{repository}:{tag}"
            print(f"image {pushed} ...", flush=True)
            self._log_in(repository)
            self._build(image, tag)
            _docker("tag", image, pushed)
            _docker("push", "--quiet", pushed)
            digest = self._digest(repository, tag)
        return f"{repository}@{digest}"

    def _digest(self, repository: str, tag: str) -> str:
        """What the registry has under a tag; empty if that is nothing."""
        wanted = {"repositoryName": repository.partition("/")[2], "imageIds": [{"imageTag": tag}]}
        try:
            (found,) = self._client("ecr").describe_images(**wanted)["imageDetails"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "ImageNotFoundException":
                raise DeployError(f"ECR refused {repository}: {error.response['Error']['Message']}") from error
            return ""
        return str(found["imageDigest"])

    @staticmethod
    def _build(image: str, tag: str) -> None:
        with index_secrets() as secrets:
            options = ["--platform", "linux/amd64", "--build-arg", f"REVISION={tag}", *secrets]
            if build(image, options).returncode:
                raise DeployError(f"{image} could not be built; docker's message is above")

    def _log_in(self, repository: str) -> None:
        registry = repository.partition("/")[0]
        if registry == self._registry:
            return
        (grant,) = self._client("ecr").get_authorization_token()["authorizationData"]
        user, _, password = base64.b64decode(grant["authorizationToken"]).decode().partition(":")
        # Over standard input: arguments can be read by every process of the machine.
        _docker("login", "--username", user, "--password-stdin", registry, text=password)
        self._registry = registry

    def public_key(self, key: str) -> str:
        """As PEM."""
        return public_key(self._client, key)


def _find(cloudformation: Any, name: str) -> dict[str, Any] | None:
    try:
        stack: dict[str, Any] = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" not in error.response["Error"]["Message"]:
            raise
        return None
    return None if stack["StackStatus"] == "DELETE_COMPLETE" else stack


def _docker(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    try:
        result = subprocess.run(
            ["docker", *arguments], cwd=ROOT, input=text, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise DeployError("there is no docker command: images are built with it") from None
    if result.returncode != 0:
        raise DeployError(f"docker {arguments[0]} failed: {result.stderr.strip()[-2000:]}")
    return result
