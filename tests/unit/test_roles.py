"""The roles of the template against the table of who may do what, by evaluating the template's own documents."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.roles import ACTS, FINAL, OBJECTS, PROMOTER, ROLES, TRAINER, WORKER, Act, Row
from tools.iam.evaluate import Decision, Policies, Request, evaluate
from tools.iam.template import Template

AWS = Template.read()
BUCKET = AWS.arn("Bucket")
ADMINISTRATOR = "arn:aws:iam::111122223333:role/administrator"
EVERYTHING = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
TLS = {"aws:SecureTransport": "true"}

# Statements and trust policies that the emulator gets another form of, or none; docs/security.md says why.
DIFFERENT = {
    "BucketPolicy: TlsOnly",
    "ExecutionRole: trust",
    "TrainerRole: trust",
    "PromoterRole: trust",
    "WorkerRole: trust",
    "WorkerRole: StartTasks",
    "WorkerRole: WatchAndStopTasks",
    "WorkerRole: FindTasks",
    "WorkerRole: ReadLogs",
    "TrainerRole: EncryptCandidates",
    "PromoterRole: DecryptCandidates",
    "PromoterRole: EncryptFinals",
    "ReaderRole: DecryptCandidates",
    "ReaderRole: DecryptFinals",
    "CheckpointKey: OnlyForItsPurpose",
    "FinalKey: OnlyForItsPurpose",
}


def allowed(role: str, action: str, resource: str, **context: Any) -> bool:
    return AWS.decide(role, action, resource, **{**TLS, **context}) is Decision.ALLOWED


@pytest.mark.parametrize("row", OBJECTS, ids=str)
def test_exactly_these_roles_may_do_this_to_an_object(row: Row) -> None:
    resource = f"{BUCKET}/{row.key}" if row.key else BUCKET

    assert {role for role in ROLES if allowed(role, row.action, resource)} == row.who


@pytest.mark.parametrize("act", ACTS, ids=str)
def test_exactly_these_roles_may_do_this(act: Act) -> None:
    resource = AWS.arn(act.resource) if act.resource in AWS.body["Resources"] else act.resource

    assert {role for role in AWS.roles if allowed(role, act.action, resource, **act.context)} == act.who


def test_every_role_has_the_boundary_and_none_reaches_beyond_it() -> None:
    for role in AWS.roles:
        boundary = AWS.boundary(role)
        assert boundary, role
        request = Request(AWS.arn(role), "iam:CreateUser", "*")
        assert evaluate(request, Policies([EVERYTHING], boundary)) is Decision.NOT_ALLOWED


@pytest.mark.parametrize("key", [f"{FINAL}/weights", "checkpoints/champion.json", "decisions/00000001.json"])
@pytest.mark.parametrize("action", ["s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"])
def test_not_even_an_administrator_writes_or_removes_what_was_decided(key: str, action: str) -> None:
    policies = Policies([EVERYTHING], resource=AWS.resource_policy(BUCKET))

    assert evaluate(Request(ADMINISTRATOR, action, f"{BUCKET}/{key}", TLS), policies) is Decision.DENIED


@pytest.mark.parametrize(
    ("key", "action", "context"),
    [
        ("SigningKey", "kms:Sign", {}),
        ("FinalKey", "kms:GenerateDataKey", {"kms:EncryptionContext:purpose": "final"}),
        ("FinalKey", "kms:Decrypt", {"kms:EncryptionContext:purpose": "weights"}),
        ("CheckpointKey", "kms:Decrypt", {}),
    ],
)
def test_not_even_an_administrator_signs_or_makes_finals(key: str, action: str, context: dict[str, str]) -> None:
    policies = Policies([EVERYTHING], resource=AWS.resource_policy(AWS.arn(key)))

    assert evaluate(Request(ADMINISTRATOR, action, AWS.arn(key), context), policies) is Decision.DENIED
    assert evaluate(Request(ADMINISTRATOR, "kms:DescribeKey", AWS.arn(key)), policies) is Decision.ALLOWED


@pytest.mark.parametrize(
    "context",
    [
        {"aws:SecureTransport": "false"},
        {**TLS, "s3:x-amz-server-side-encryption": "AES256"},
        {**TLS, "s3:x-amz-server-side-encryption-aws-kms-key-id": "arn:aws:kms:eu-central-1:444455556666:key/mine"},
        {**TLS, "s3:x-amz-server-side-encryption-customer-algorithm": "AES256"},
    ],
    ids=["without TLS", "with a key of S3's own", "with another KMS key", "with a key that the caller brings"],
)
@pytest.mark.parametrize(
    ("role", "key"), [(TRAINER, "checkpoints/mnist_model_19990101_000000/weights"), (PROMOTER, FINAL)]
)
def test_what_a_role_may_write_it_may_not_write(role: str, key: str, context: dict[str, str]) -> None:
    resource = f"{BUCKET}/{key}/manifest.json" if key == FINAL else f"{BUCKET}/{key}"

    assert AWS.decide(role, "s3:PutObject", resource, **TLS) is Decision.ALLOWED
    assert AWS.decide(role, "s3:PutObject", resource, **context) is Decision.DENIED


def test_a_put_may_name_the_bucket_s_own_encryption() -> None:
    context = {
        **TLS,
        "s3:x-amz-server-side-encryption": "aws:kms",
        "s3:x-amz-server-side-encryption-aws-kms-key-id": AWS.arn("Key"),
    }

    assert AWS.decide(PROMOTER, "s3:PutObject", f"{BUCKET}/{FINAL}/weights", **context) is Decision.ALLOWED


@pytest.mark.parametrize(
    ("role", "operator"),
    [
        (TRAINER, "StringEquals"),
        (PROMOTER, "StringEquals"),
        ("ExecutionRole", "StringEquals"),
        (WORKER, "StringEqualsIfExists"),
    ],
)
def test_only_services_of_this_account_take_a_role_of_the_pipeline(role: str, operator: str) -> None:
    (statement,) = AWS.properties(role)["AssumeRolePolicyDocument"]["Statement"]

    assert set(statement["Principal"]) == {"Service"}
    assert statement["Condition"][operator] == {"aws:SourceAccount": "111122223333"}


def test_an_ec2_instance_can_be_put_into_the_worker_s_role_and_no_other() -> None:
    profiles = [r for r in AWS.body["Resources"].values() if r["Type"] == "AWS::IAM::InstanceProfile"]

    assert [profile["Properties"]["Roles"] for profile in profiles] == [[{"Ref": WORKER}]]


def test_the_policies_fit_into_what_iam_and_s3_take() -> None:
    """Without white space: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""

    def size(document: Any) -> int:
        return len(json.dumps(document, separators=(",", ":")))

    for role in AWS.roles:
        assert sum(map(size, AWS.identity(role))) < 10_240, role
        assert size(AWS.boundary(role)) < 6_144
        assert size(AWS.properties(role)["AssumeRolePolicyDocument"]) < 2_048
    assert size(AWS.resource_policy(BUCKET)) < 20 * 1024


def statements(template: Template) -> dict[str, Any]:
    """Every statement by the resource that it stands in and its Sid."""
    found: dict[str, Any] = {}
    documents = {f"{role}": template.identity(role) for role in template.roles}
    documents["BucketPolicy"] = [template.resource_policy(BUCKET) or {}]
    documents["Boundary"] = [template.boundary(PROMOTER) or {}]
    documents |= {name: [template.resource_policy(template.arn(name)) or {}] for name in template.keys}
    for name, several in documents.items():
        found |= {f"{name}: {s['Sid']}": s for document in several for s in document["Statement"]}
    trusts = {f"{role}: trust": template.properties(role)["AssumeRolePolicyDocument"] for role in template.roles}
    return found | trusts


def test_what_the_emulator_gets_differs_in_these_statements_and_no_other() -> None:
    real, emulated = statements(AWS), statements(Template.read(Emulated="true"))

    assert {name for name in real.keys() | emulated.keys() if real.get(name) != emulated.get(name)} == DIFFERENT


def test_checkpoints_in_another_folder_are_granted_guarded_and_tidied_the_same() -> None:
    other = Template.read(CheckpointsPrefix="models")
    for name in ["Bucket", "BucketPolicy", *AWS.roles]:
        renamed = json.dumps(AWS.properties(name)).replace("checkpoints/", "models/")
        assert json.dumps(other.properties(name)) == renamed


@pytest.mark.parametrize("folder", ["datasets", "decisions", "runs", "", "a/b", "*", "_hidden"])
def test_checkpoints_cannot_be_put_where_other_things_are_nor_where_a_policy_would_say_something_else(
    folder: str,
) -> None:
    pattern = AWS.body["Parameters"]["CheckpointsPrefix"]["AllowedPattern"]

    assert re.fullmatch(pattern, "checkpoints")
    assert not re.fullmatch(pattern, folder)
