"""`make permissions`: how requests are read, what they need, and what is made of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from localcloud.front.calls import Calls
from localcloud.front.http import Head
from tools.iam.conditions import UnsupportedError, as_list
from tools.iam.template import Template
from tools.permissions.calls import Call, parse, read
from tools.permissions.faults import faults
from tools.permissions.needs import PUT_COMPARES, PUT_LOCKS, PUT_TAGS, RUN_PASSES, S3_ENCRYPTS, Need, needs
from tools.permissions.reviewed import REVIEWED
from tools.permissions.verdict import Reviewed, grants, judge

AWS = Template.read()
BUCKET = AWS.arn("Bucket").rpartition(":")[2]
WORKER, TRAINER, PROMOTER = "mnist-WorkerRole-1", "mnist-TrainerRole-1", "mnist-PromoterRole-1"
ECS, KMS = "AmazonEC2ContainerServiceV20141113", "TrentService"


def s3(method: str, path: str, role: str = WORKER, **headers: str) -> Call:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    record = {"role": role, "service": "s3", "method": method, "path": path, "headers": named, "body": ""}
    return parse(record)


def call(service: str, target: str, body: Mapping[str, Any], role: str = WORKER) -> Call:
    headers = {"x-amz-target": target}
    record = {"role": role, "service": service, "method": "POST", "path": "/", "headers": headers}
    return parse({**record, "body": json.dumps(body)})


def needed(call: Call) -> list[tuple[str, str, str]]:
    return [(need.action, need.resource, need.because) for need in needs(call, AWS)]


@pytest.mark.parametrize(
    ("request_line", "operation", "action"),
    [
        ("GET /b/k", "GetObject", "s3:GetObject"),
        ("GET /b/k?versionId=7", "GetObject", "s3:GetObjectVersion"),
        ("HEAD /b/k", "HeadObject", "s3:GetObject"),
        ("HEAD /b", "HeadBucket", "s3:ListBucket"),
        ("GET /b?list-type=2&prefix=runs%2F", "ListObjectsV2", "s3:ListBucket"),
        ("PUT /b/k", "PutObject", "s3:PutObject"),
        ("DELETE /b/k", "DeleteObject", "s3:DeleteObject"),
        ("DELETE /b/k?versionId=7", "DeleteObject", "s3:DeleteObjectVersion"),
    ],
)
def test_a_request_to_s3_is_the_operation_and_needs_the_action_that_aws_documents(
    request_line: str, operation: str, action: str
) -> None:
    found = s3(*request_line.split())

    assert found.operation == operation
    assert needs(found, AWS)[0].action == action


def test_a_put_needs_what_its_headers_ask_for_and_a_key_for_the_object() -> None:
    put = s3(
        "PUT",
        "/b/a%20key",
        x_amz_tagging="stage=candidate",
        x_amz_object_lock_mode="GOVERNANCE",
        if_match='"etag"',
    )

    resource = "arn:aws:s3:::b/a key"
    assert needed(put) == [
        ("s3:PutObject", resource, ""),
        ("s3:PutObjectTagging", resource, PUT_TAGS),
        ("s3:PutObjectRetention", resource, PUT_LOCKS),
        ("s3:GetObject", resource, PUT_COMPARES),
        ("kms:GenerateDataKey", AWS.arn("Key"), S3_ENCRYPTS),
    ]


@pytest.mark.parametrize("request_line", ["PUT /b/k?tagging", "GET /b?policy", "GET /b/k?acl"])
def test_an_operation_whose_permission_nobody_has_looked_up_is_an_error(request_line: str) -> None:
    with pytest.raises(UnsupportedError):
        needs(s3(*request_line.split()), AWS)


def test_the_encryption_context_is_what_conditions_see() -> None:
    key = AWS.arn("CheckpointKey")
    decrypt = {"KeyId": key, "CiphertextBlob": "AAAA", "EncryptionContext": {"purpose": "weights"}}

    (need,) = needs(call("kms", f"{KMS}.Decrypt", decrypt, TRAINER), AWS)

    assert (need.role, need.action, need.resource) == ("TrainerRole", "kms:Decrypt", key)
    assert need.context["kms:EncryptionContext:purpose"] == "weights"


def test_run_task_needs_to_pass_the_roles_of_the_definition_and_to_tag() -> None:
    body = {"cluster": "mnist", "taskDefinition": "mnist-trainer", "tags": [{"key": "a", "value": "b"}]}

    found = needed(call("ecs", f"{ECS}.RunTask", body))

    assert [action for action, _, _ in found] == ["ecs:RunTask", "iam:PassRole", "iam:PassRole", "ecs:TagResource"]
    assert {resource for _, resource, because in found if because == RUN_PASSES} == {
        AWS.arn("ExecutionRole"),
        AWS.arn("TrainerRole"),
    }


def test_a_role_in_an_override_is_what_is_passed() -> None:
    another = "arn:aws:iam::111122223333:role/administrator"
    body = {"cluster": "mnist", "taskDefinition": "mnist-trainer:7", "overrides": {"taskRoleArn": another}}

    assert ("iam:PassRole", another, RUN_PASSES) in needed(call("ecs", f"{ECS}.RunTask", body))


def test_a_call_without_a_permission_is_missing() -> None:
    forbidden = s3("DELETE", f"/{BUCKET}/decisions/head.json", PROMOTER)

    verdict = judge(AWS, needs(forbidden, AWS), ())

    assert [need.action for need, _ in verdict.missing] == ["s3:DeleteObject"]
    assert not verdict.fits


def test_a_condition_that_does_not_hold_makes_a_call_missing() -> None:
    final = {"KeyId": AWS.arn("CheckpointKey"), "CiphertextBlob": "AAAA", "EncryptionContext": {"purpose": "final"}}

    assert judge(AWS, needs(call("kms", f"{KMS}.Decrypt", final, TRAINER), AWS), ()).missing


SMALL = Template(
    {
        "Parameters": {},
        "Resources": {
            "R": {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "Policies": [
                        {
                            "PolicyDocument": {
                                "Statement": [
                                    {
                                        "Sid": "S",
                                        "Effect": "Allow",
                                        "Action": ["s3:GetObject", "s3:PutObject"],
                                        "Resource": ["arn:aws:s3:::b/x/*", "arn:aws:s3:::b/y/*"],
                                    }
                                ]
                            }
                        }
                    ]
                },
            }
        },
    },
    {},
)
GET_X, PUT_Y = Need("R", "s3:GetObject", "arn:aws:s3:::b/x/1"), Need("R", "s3:PutObject", "arn:aws:s3:::b/y/1")


def test_what_is_granted_and_never_used_is_unused_resource_by_resource() -> None:
    verdict = judge(SMALL, [GET_X, PUT_Y], ())

    assert verdict.summary() == "0 missing, 2 unused, 0 implied"
    assert {(grant.action, grant.resource) for grant in verdict.unused} == {
        ("s3:GetObject", "arn:aws:s3:::b/y/*"),
        ("s3:PutObject", "arn:aws:s3:::b/x/*"),
    }
    assert not verdict.fits


def test_what_aws_does_by_itself_or_a_person_has_reviewed_is_implied_with_the_reason() -> None:
    because = Need("R", "s3:GetObject", "arn:aws:s3:::b/y/1", because="of a call")
    reviewed = Reviewed("R", "s3:PutObject", "*/x/*", "of a person")

    verdict = judge(SMALL, [GET_X, PUT_Y, because], [reviewed])

    assert [reason for _, reason in verdict.implied] == ["of a call", "of a person"]
    assert verdict.fits


def test_a_review_that_nothing_needs_any_more_does_not_stay() -> None:
    reviewed = Reviewed("R", "s3:GetObject", "*/x/*", "used, after all")

    assert judge(SMALL, [GET_X, PUT_Y], [reviewed]).idle == (reviewed,)


@pytest.mark.parametrize("reviewed", REVIEWED, ids=lambda reviewed: f"{reviewed.role} {reviewed.action}")
def test_every_review_is_of_something_that_the_template_grants(reviewed: Reviewed) -> None:
    assert any(map(reviewed.covers, grants(AWS)))


def test_the_boundary_has_no_action_that_no_role_has() -> None:
    boundary = AWS.boundary("WorkerRole") or {}
    bounded = {action for statement in boundary["Statement"] for action in as_list(statement["Action"])}

    assert bounded == {grant.action for grant in grants(AWS)}


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"cluster": "mnist"}, "taskDefinition is missing"),
        ({"taskDefinition": "t", "colour": "red"}, "colour is no parameter"),
        ({"taskDefinition": "t", "launchType": "LAPTOP"}, "launchType is 'LAPTOP'"),
        ({"taskDefinition": "t", "tags": [{"key": "a=b;c", "value": "v"}]}, "tags[0].key is 'a=b;c'"),
        ({"taskDefinition": "t", "tags": [{"key": "k", "value": "v"}] * 51}, "tags has the size 51"),
    ],
)
def test_what_aws_s_models_refuse_is_named(body: Mapping[str, Any], fault: str) -> None:
    (found,) = faults(call("ecs", f"{ECS}.RunTask", body))

    assert fault in found


def test_a_header_that_s3_does_not_know_is_named() -> None:
    assert faults(s3("PUT", "/b/k", x_amz_colour="red")) == ["s3:PutObject: x-amz-colour is no parameter"]
    assert faults(s3("PUT", "/b/k", x_amz_object_lock_mode="GOVERNANCE", x_amz_meta_a="b", if_none_match="*")) == []


def test_a_request_is_noted_with_its_role_and_without_what_proves_it(tmp_path: Path) -> None:
    scope = "AWS4-HMAC-SHA256 Credential={}/20261124/us-east-1/kms/aws4_request, Signature=0123"
    calls = Calls(tmp_path / "calls", {"ASIA1": TRAINER}.get)  # type: ignore[arg-type]
    target, token = {"x-amz-target": f"{KMS}.Sign"}, {"x-amz-security-token": "t0ken"}

    for key in ("ASIA1", "test"):
        headers = {"authorization": scope.format(key), **token, **target}
        calls.note(Head(b"", "POST", "/", headers), b'{"KeyId": "arn:aws:kms:us-east-1:000000000000:key/1"}')

    text = (tmp_path / "calls").read_text()
    assert "t0ken" not in text
    assert "Signature" not in text
    names = {f"MNIST_{kind}_KEY": f"arn:aws:kms:us-east-1:000000000000:key/{kind}" for kind in ("CHECKPOINT", "FINAL")}
    names["MNIST_SIGNING_KEY"] = "arn:aws:kms:us-east-1:000000000000:key/1"
    assert read(tmp_path / "calls", AWS, names) == [Call(TRAINER, "kms", "Sign", {"KeyId": AWS.arn("SigningKey")})]
