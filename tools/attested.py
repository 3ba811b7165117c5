"""`make run ATTESTED=1`: an attested promotion on one machine, with everything real but the proof.

Software attestation: not a TEE. The promoter is the usual one, in a task definition that configures attestation. Its
documents come from a root in a folder, and before the emulator's KMS stands a front that honours `Recipient` and the
keys' conditions on measurements (docs/attestation.md).
"""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import boto3
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

import localcloud
from localcloud import kms_recipient
from mnist_tasks.attestation import SOFTWARE_LABEL, AttestationPolicy, SoftwareSource, authenticate, recipient_key
from mnist_tasks.promotion.attested import SEALING_CONTEXT, software_pcrs

FAMILY = "mnist-promoter-attested"
_USE = ["kms:Decrypt", "kms:GenerateDataKey"]


@dataclass(frozen=True)
class Sealed:
    """A new signing key as an attested promoter gets it, and its public half as readers do."""

    ciphertext: str
    pem: bytes


def begin_anew(home: Path) -> None:
    """Forget the attested run before: its keys were made for it, and nothing else should believe them."""
    localcloud.down(home)
    shutil.rmtree(home, ignore_errors=True)


@contextmanager
def attested_promoter(cloud: localcloud.Cloud, pcr0: bytes | None = None) -> Iterator[localcloud.Cloud]:
    """The same cloud, in whose environment the promoter is an attested one, for as long as the front of KMS runs.

    `pcr0` is the image that the keys' policies name; by default it is the code of this checkout.
    """
    folder, kms = cloud.home / "attestation", boto3.client("kms", **cloud.client_arguments)
    accepted = pcr0 or software_pcrs()[0]
    attestation = {
        "MNIST_ATTESTATION_MEASUREMENTS": json.dumps([{"0": accepted.hex()}]),
        "MNIST_ATTESTATION_PRODUCTION": "false",
        "MNIST_ATTESTATION_SOFTWARE_ROOT": SoftwareSource.open(folder / "root", software_pcrs()).root_sha256,
        "MNIST_ATTESTATION_SOFTWARE_FOLDER": str(folder / "root"),
    }
    definition = _definition(cloud)
    role = definition["taskRoleArn"]
    sealing_key = _new_sealing_key(kms, role)
    sealed = seal_new_key(kms, sealing_key)
    keys = folder / f"{sealing_key.rpartition('/')[2]}.pub.pem"
    keys.write_bytes(sealed.pem)
    policies = key_policies(cloud.environment, sealing_key, role, accepted)
    with kms_recipient.start(
        cloud.environment["AWS_ENDPOINT_URL"],
        authenticate=partial(_believed, AttestationPolicy.from_environment(attestation)),
        principal=role,
        policies={key: json.dumps(document) for key, document in policies.items()},
    ) as front:
        signing = {
            # The key in KMS that signs otherwise has no place here.
            "MNIST_SIGNING_KEY": "",
            "MNIST_SEALING_KEY": sealing_key,
            "MNIST_SEALED_SIGNING_KEYS": sealed.ciphertext,
            "AWS_ENDPOINT_URL_KMS": front.url,
        }
        readers = {
            "MNIST_PROMOTER_TASK_DEFINITION": _register(cloud, definition, attestation | signing),
            "MNIST_SIGNING_KEYS": str(keys),
            "MNIST_ATTESTATION_PRODUCTION": "false",
        }
        yield replace(cloud, environment={**cloud.environment, **readers})


def seal_new_key(kms: Any, sealing_key: str) -> Sealed:
    """Make a P-256 key; its private half leaves this process sealed alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    secret = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    answer = kms.encrypt(KeyId=sealing_key, Plaintext=secret, EncryptionContext=dict(SEALING_CONTEXT))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    mark = f"attested: {SOFTWARE_LABEL}\n".encode()
    return Sealed(base64.b64encode(answer["CiphertextBlob"]).decode(), mark + public)


def _new_sealing_key(kms: Any, role: str) -> str:
    # The emulator evaluates this policy, and knows no measurements; the front has the real one.
    policy = {"Version": "2012-10-17", "Statement": [_allow(_account(role), "kms:*"), _allow(role, _USE)]}
    arn: str = kms.create_key(Policy=json.dumps(policy))["KeyMetadata"]["Arn"]
    return arn


def key_policies(environment: Mapping[str, str], sealing_key: str, role: str, pcr0: bytes) -> dict[str, Any]:
    """By its key, each policy that the front evaluates: docs/attestation.md (The keys' policies) as JSON."""
    image = {"kms:RecipientAttestation:ImageSha384": [pcr0.hex()]}
    only_the_image = {
        "Sid": "OnlyTheMeasuredImageMakesFinals",
        "Effect": "Deny",
        "Principal": "*",
        "Action": ["kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"],
        "Resource": "*",
        "Condition": {"StringNotEqualsIgnoreCase": image},
    }
    use = _allow(role, _USE)
    return {
        sealing_key: {"Statement": [{**use, "Condition": {"StringEqualsIgnoreCase": image}}]},
        environment["MNIST_FINAL_KEY"]: {"Statement": [use, only_the_image]},
        environment["MNIST_CHECKPOINT_KEY"]: {"Statement": [use]},
    }


def _believed(policy: AttestationPolicy, document: bytes) -> kms_recipient.Recipient:
    attested = authenticate(document, policy, now=datetime.now(UTC))
    return kms_recipient.Recipient(attested.document.pcrs, recipient_key(attested.document))


def _definition(cloud: localcloud.Cloud) -> dict[str, Any]:
    ecs: Any = boto3.client("ecs", **cloud.client_arguments)
    family = cloud.environment["MNIST_PROMOTER_TASK_DEFINITION"]
    found: dict[str, Any] = ecs.describe_task_definition(taskDefinition=family)["taskDefinition"]
    return found


def _register(cloud: localcloud.Cloud, definition: Mapping[str, Any], variables: Mapping[str, str]) -> str:
    """The promoter's task definition again, under another name and with other variables; its ARN."""
    (container,) = definition["containerDefinitions"]
    known = {pair["name"]: pair["value"] for pair in container["environment"]}
    environment = [{"name": name, "value": value} for name, value in {**known, **variables}.items()]
    ecs: Any = boto3.client("ecs", **cloud.client_arguments)
    answer = ecs.register_task_definition(
        family=FAMILY,
        networkMode=definition["networkMode"],
        requiresCompatibilities=["FARGATE"],
        cpu=definition["cpu"],
        memory=definition["memory"],
        taskRoleArn=definition["taskRoleArn"],
        executionRoleArn=definition["executionRoleArn"],
        containerDefinitions=[{**container, "environment": environment}],
    )
    arn: str = answer["taskDefinition"]["taskDefinitionArn"]
    return arn


def _allow(principal: str, actions: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": actions, "Resource": "*"}


def _account(role: str) -> str:
    return f"arn:aws:iam::{role.split(':')[4]}:root"
