"""A deployment that is made: CloudFormation, ECR through Docker, KMS."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError, WaiterError

from tools.images import build, index_secrets

ROOT = Path(__file__).resolve().parents[2]


class DeployError(Exception):
    """What stopped the deployment, and what to do about it."""


class Aws:
    """The account that boto3's usual places have credentials for."""

    def __init__(self, client: Any = boto3.client, *, cloudformation_role: str = "") -> None:
        self._client = client
        self._role = {"RoleARN": cloudformation_role} if cloudformation_role else {}
        self._registry = ""

    def stack(self, name: str, template: str, parameters: Mapping[str, str]) -> Mapping[str, str]:
        """Create or update it, and wait."""
        cloudformation = self._client("cloudformation")
        request = {
            "StackName": name,
            "TemplateBody": (ROOT / template).read_text(),
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            "Capabilities": ["CAPABILITY_NAMED_IAM"],
            **self._role,
        }
        print(f"stack {name} ...", flush=True)
        self._settle(cloudformation, name, self._submit(cloudformation, name, request))
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    @staticmethod
    def _submit(cloudformation: Any, name: str, request: Mapping[str, Any]) -> str:
        """Send it; returns what to wait for, nothing if the stack is as it should be."""
        try:
            if not _exists(cloudformation, name):
                cloudformation.create_stack(**request)
                return "stack_create_complete"
            cloudformation.update_stack(**request)
        except ClientError as error:
            message = error.response["Error"]["Message"]
            if "No updates are to be performed" in message:
                return ""
            raise DeployError(f"CloudFormation refused stack {name}: {message}") from error
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
        self._log_in(repository)
        pushed = f"{repository}:{tag}"
        if _docker("manifest", "inspect", pushed, check=False).returncode == 0:
            _docker("pull", "--quiet", pushed)
        else:
            print(f"image {pushed} ...", flush=True)
            self._build(image, tag)
            _docker("tag", image, pushed)
            _docker("push", "--quiet", pushed)
        references = _docker("image", "inspect", "--format", '{{join .RepoDigests "\\n"}}', pushed).stdout.split()
        return next(reference for reference in references if reference.startswith(f"{repository}@"))

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

    def public_key(self, key: str) -> bytes:
        """As PEM."""
        der = self._client("kms").get_public_key(KeyId=key)["PublicKey"]
        body = base64.encodebytes(der).decode().replace("\n", "")
        lines = "\n".join(body[start : start + 64] for start in range(0, len(body), 64))
        return f"-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n".encode()


def _exists(cloudformation: Any, name: str) -> bool:
    try:
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" not in error.response["Error"]["Message"]:
            raise
        return False
    return bool(stack["StackStatus"] != "DELETE_COMPLETE")


def _docker(*arguments: str, text: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    try:
        result = subprocess.run(
            ["docker", *arguments], cwd=ROOT, input=text, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise DeployError("there is no docker command: images are built with it") from None
    if check and result.returncode != 0:
        raise DeployError(f"docker {arguments[0]} failed: {result.stderr.strip()[-2000:]}")
    return result
