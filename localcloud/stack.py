"""Deploy the CloudFormation template, the same one that a real account gets, to the emulator."""

from __future__ import annotations

import base64
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localcloud.aws import ClientFactory
from localcloud.errors import LocalCloudError
from localcloud.home import CHECKOUT
from localcloud.images import PROMOTER_IMAGE, TRAINER_IMAGE
from localcloud.processes import wait_until

# The output that names the key whose signatures others have to be able to verify.
SIGNING_KEY = "SigningKey"
STACK = "mnist"
TEMPLATE = CHECKOUT / "infra" / "mnist.yaml"
PARAMETERS = {"TrainerImage": TRAINER_IMAGE, "PromoterImage": PROMOTER_IMAGE, "Emulated": "true"}
DEPLOY_SECONDS = 60.0


def deploy(client: ClientFactory, template: Path) -> tuple[dict[str, str], bool]:
    """Create or update the stack; nothing happens when it is up to date already.

    Returns:
        The stack's outputs by their keys, and whether anything was changed.

    Raises:
        LocalCloudError: the template was refused, or a resource could not be made; with CloudFormation's reason.
            Or nothing answers.
    """
    # Here, because botocore is slow to load: see localcloud.aws.
    from botocore.exceptions import BotoCoreError, ClientError

    cloudformation = client("cloudformation")
    try:
        changed = _create_or_update(cloudformation, template.read_text())
    except ClientError as error:
        raise LocalCloudError(f"CloudFormation refused {template}: {error.response['Error']['Message']}") from error
    except BotoCoreError as error:
        raise LocalCloudError(f"CloudFormation cannot be asked to deploy {template}: {error}") from error
    except OSError as error:
        raise LocalCloudError(f"cannot read the template {template}: {error.strerror}") from error
    stack = _wait_settled(cloudformation)
    if stack["StackStatus"] not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
        raise LocalCloudError(f"stack {STACK}: {stack['StackStatus']}: {_reasons(cloudformation)}")
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    if "Bucket" in outputs:
        # The emulator drops the template's ObjectLockEnabled. Each time: the first one may have been interrupted here.
        enabled = {"ObjectLockEnabled": "Enabled"}
        client("s3").put_object_lock_configuration(Bucket=outputs["Bucket"], ObjectLockConfiguration=enabled)
    return outputs, changed


def environment(outputs: Mapping[str, str]) -> dict[str, str]:
    """The outputs as environment variables: `TaskDefinition` becomes `MNIST_TASK_DEFINITION`."""
    return {f"MNIST_{re.sub(r'(?<!^)(?=[A-Z])', '_', key).upper()}": value for key, value in outputs.items()}


def public_key(client: ClientFactory, key: str) -> str:
    """The public half of a signing key, as PEM."""
    der = client("kms").get_public_key(KeyId=key)["PublicKey"]
    lines = textwrap.wrap(base64.b64encode(der).decode(), 64)
    return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----\n"])


def keep_public_key(block: str, file: Path) -> None:
    """Add a public key to a PEM file, unless it is in there.

    Keys that were there before stay: what they have signed is still to be verified.
    """
    known = file.read_text() if file.exists() else ""
    if block not in known:
        partial = file.with_suffix(".partial")
        partial.write_text(known + block)
        partial.replace(file)


def _create_or_update(cloudformation: Any, body: str) -> bool:
    request = {
        "StackName": STACK,
        "TemplateBody": body,
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in PARAMETERS.items()],
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
    }
    status = _status(cloudformation)
    if status in {"ROLLBACK_COMPLETE", "CREATE_FAILED", "DELETE_FAILED"}:
        # A stack that never came up cannot be updated, only replaced.
        cloudformation.delete_stack(StackName=STACK)
        wait_until(lambda: _status(cloudformation) is None, DEPLOY_SECONDS)
        status = None
    if status is None:
        cloudformation.create_stack(**request)
        return True
    try:
        cloudformation.update_stack(**request)
    except cloudformation.exceptions.ClientError as error:
        if "No updates are to be performed" not in str(error):
            raise
        return False
    return True


def _status(cloudformation: Any) -> str | None:
    try:
        status: str = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]["StackStatus"]
    except cloudformation.exceptions.ClientError as error:
        if "does not exist" not in str(error):
            raise
        return None
    return None if status == "DELETE_COMPLETE" else status


def _wait_settled(cloudformation: Any) -> dict[str, Any]:
    def describe() -> dict[str, Any]:
        stack: dict[str, Any] = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
        return stack

    wait_until(lambda: not describe()["StackStatus"].endswith("_IN_PROGRESS"), DEPLOY_SECONDS)
    return describe()


def _reasons(cloudformation: Any) -> str:
    events = cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]
    failed = [event for event in events if event.get("ResourceStatus", "").endswith("_FAILED")]
    return "; ".join(f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '?')}" for event in failed)
