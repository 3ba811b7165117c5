"""The evaluator of policies against cases that AWS's documentation works out itself."""

from __future__ import annotations

from typing import Any

import pytest

from tools.iam.conditions import UnsupportedError, arn_like, holds
from tools.iam.evaluate import Decision, Document, Policies, Request, evaluate

ROLE = "arn:aws:iam::111122223333:role/somebody"
OTHER = "arn:aws:iam::111122223333:role/somebody-else"
KEY = "arn:aws:kms:us-east-1:111122223333:key/1"
OBJECT = "arn:aws:s3:::carlossalzman/file"


def document(effect: str, action: str, resource: str = "*", **more: Any) -> Document:
    return {"Statement": [{"Effect": effect, "Action": action, "Resource": resource, **more}]}


def decide(policies: Policies, action: str = "s3:GetObject", resource: str = OBJECT, **context: Any) -> Decision:
    return evaluate(Request(ROLE, action, resource, context), policies)


def test_what_nothing_allows_is_not_allowed() -> None:
    assert decide(Policies([])) is Decision.NOT_ALLOWED


def test_an_explicit_deny_overrides_any_allow() -> None:
    """reference_policies_evaluation-logic_AccessPolicyLanguage_Interplay.html"""
    allow, deny = document("Allow", "s3:*"), document("Deny", "s3:GetObject")

    assert decide(Policies([allow, deny])) is Decision.DENIED
    assert decide(Policies([allow], boundary=deny)) is Decision.DENIED
    assert (
        decide(Policies([allow], resource={"Statement": [{**deny["Statement"][0], "Principal": "*"}]}))
        is Decision.DENIED
    )


def test_a_boundary_allows_nothing_and_cuts_off_what_it_does_not_allow() -> None:
    """access_policies_boundaries.html: Shirley's boundary has S3, CloudWatch and EC2, and iam:CreateUser is denied."""
    boundary = {"Statement": [{"Effect": "Allow", "Action": ["s3:*", "cloudwatch:*", "ec2:*"], "Resource": "*"}]}

    assert decide(Policies([document("Allow", "iam:CreateUser")], boundary), "iam:CreateUser") is Decision.NOT_ALLOWED
    assert decide(Policies([], boundary)) is Decision.NOT_ALLOWED
    assert decide(Policies([document("Allow", "s3:*")], boundary)) is Decision.ALLOWED


def test_inside_an_account_a_bucket_policy_that_names_the_role_is_enough() -> None:
    """reference_policies_evaluation-logic_policy-eval-basics-single-account.html: Carlos and his bucket."""
    for_him, for_another = (
        document("Allow", "s3:*", "arn:aws:s3:::carlossalzman/*", Principal={"AWS": who}) for who in (ROLE, OTHER)
    )

    assert decide(Policies([], resource=for_him)) is Decision.ALLOWED
    assert decide(Policies([], resource=for_another)) is Decision.NOT_ALLOWED


def test_a_statement_for_the_account_leaves_it_to_the_identity_policies() -> None:
    """https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html"""
    account = document("Allow", "kms:*", Principal={"AWS": "arn:aws:iam::111122223333:root"})
    own = document("Allow", "kms:Decrypt", KEY)

    assert decide(Policies([], resource=account), "kms:Decrypt", KEY) is Decision.NOT_ALLOWED
    assert decide(Policies([own], resource=account), "kms:Decrypt", KEY) is Decision.ALLOWED


def test_no_identity_policy_opens_a_key_whose_policy_does_not_say_so() -> None:
    own = document("Allow", "kms:Decrypt", KEY)
    for_another = document("Allow", "kms:*", Principal={"AWS": OTHER})

    assert decide(Policies([own], resource=for_another), "kms:Decrypt", KEY) is Decision.NOT_ALLOWED


@pytest.mark.parametrize(
    ("conditions", "context", "expected"),
    [
        # reference_policies_condition-logic-multiple-context-keys-or-values.html: AND between keys, OR between values.
        ({"StringEquals": {"a:x": ["1", "2"]}}, {"a:x": "2"}, True),
        ({"StringEquals": {"a:x": "1", "a:y": "1"}}, {"a:x": "1", "a:y": "2"}, False),
        ({"StringEquals": {"a:x": "1"}, "Bool": {"a:y": "true"}}, {"a:x": "1", "a:y": "true"}, True),
        # For a negated operator, NOR between values.
        ({"StringNotEquals": {"a:x": ["1", "2"]}}, {"a:x": "2"}, False),
        ({"StringNotEquals": {"a:x": ["1", "2"]}}, {"a:x": "3"}, True),
        # reference_policies_elements_condition_operators.html: a key that is not there.
        ({"StringEquals": {"a:x": "1"}}, {}, False),
        ({"StringNotEquals": {"a:x": "1"}}, {}, True),
        ({"StringEqualsIfExists": {"a:x": "1"}}, {}, True),
        ({"StringEqualsIfExists": {"a:x": "1"}}, {"a:x": "2"}, False),
        ({"Null": {"a:x": "true"}}, {}, True),
        ({"Null": {"a:x": "false"}}, {}, False),
        ({"Null": {"a:x": "false"}}, {"a:x": "1"}, True),
        ({"Bool": {"aws:SecureTransport": "false"}}, {}, False),
        # reference_policies_condition-single-vs-multi-valued-context-keys.html
        ({"ForAllValues:StringEquals": {"a:x": ["1", "2"]}}, {"a:x": ["1", "2"]}, True),
        ({"ForAllValues:StringEquals": {"a:x": ["1", "2"]}}, {"a:x": ["1", "3"]}, False),
        ({"ForAllValues:StringEquals": {"a:x": "1"}}, {}, True),
        ({"ForAnyValue:StringEquals": {"a:x": "1"}}, {"a:x": ["1", "3"]}, True),
        ({"ForAnyValue:StringEquals": {"a:x": "1"}}, {}, False),
        ({"ForAnyValue:StringNotEquals": {"a:x": "1"}}, {}, False),
        # Keys are not case-sensitive, values are.
        ({"StringEquals": {"AWS:PrincipalArn": "a"}}, {"aws:principalarn": "a"}, True),
        ({"StringEquals": {"a:x": "One"}}, {"a:x": "one"}, False),
        ({"StringLike": {"a:x": "o*e"}}, {"a:x": "one"}, True),
        ({"ArnNotLike": {"a:x": "arn:aws:iam::*:role/*"}}, {"a:x": ROLE}, False),
    ],
)
def test_conditions_hold_as_documented(conditions: Any, context: Any, expected: bool) -> None:
    assert holds(conditions, context) is expected


def test_a_wildcard_in_an_arn_stays_in_its_part() -> None:
    assert arn_like("arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket/a:b/c")
    assert not arn_like("arn:aws:*:bucket/a", "arn:aws:s3:::bucket/a")


def test_actions_are_not_case_sensitive_and_resources_are() -> None:
    policy = document("Allow", "S3:get*", "arn:aws:s3:::carlossalzman/*")

    assert decide(Policies([policy])) is Decision.ALLOWED
    assert decide(Policies([policy]), resource="arn:aws:s3:::CarlosSalzman/file") is Decision.NOT_ALLOWED


@pytest.mark.parametrize(
    "statement",
    [
        {"NotAction": "s3:*", "Resource": "*"},
        {"Action": "s3:*", "NotResource": "*"},
        {"Action": "s3:*", "Resource": "arn:aws:s3:::${aws:username}/*"},
        {"Action": "s3:*", "Resource": "*", "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}},
        {"Action": "s3:*", "Resource": "*", "Condition": {"ForSomeValues:StringEquals": {"a:x": "1"}}},
    ],
)
def test_what_the_evaluator_does_not_know_is_an_error(statement: Any) -> None:
    with pytest.raises(UnsupportedError):
        decide(
            Policies([{"Statement": [{"Effect": "Allow", **statement}]}]), **{"aws:SourceIp": "10.0.0.1", "a:x": "1"}
        )
