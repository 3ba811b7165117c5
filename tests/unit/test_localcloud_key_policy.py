"""Key policies are evaluated as AWS evaluates them, as far as attestation goes; what cannot be evaluated is denied."""

from __future__ import annotations

import json
from typing import Any

import pytest

from localcloud.key_policy import KeyRequest, denial

ROLE = "arn:aws:iam::111122223333:role/promoter"
OTHER = "arn:aws:iam::111122223333:role/other"
KEY = "arn:aws:kms:us-east-1:111122223333:key/1"
PCR0, PCR8 = b"\xab" * 48, b"\xcd" * 48
IMAGE = "kms:RecipientAttestation:ImageSha384"


def statement(effect: str = "Allow", condition: Any = None, **changes: Any) -> dict[str, Any]:
    base = {"Sid": "Use", "Effect": effect, "Principal": {"AWS": ROLE}, "Action": "kms:Decrypt", "Resource": "*"}
    return base | ({"Condition": condition} if condition else {}) | changes


def is_allowed(*statements: dict[str, Any], attested: bool = True, **changes: Any) -> bool:
    request = {
        "principal": ROLE,
        "action": "kms:Decrypt",
        "key_arn": KEY,
        "pcrs": {0: PCR0, 8: PCR8} if attested else None,
        "encryption_context": {"purpose": "promotion"},
    }
    return denial(json.dumps({"Statement": list(statements)}), KeyRequest(**(request | changes))) is None


@pytest.mark.parametrize(
    ("condition", "attested", "allowed"),
    [
        ({"StringEquals": {IMAGE: PCR0.hex()}}, True, True),
        ({"StringEquals": {IMAGE: PCR0.hex()}}, False, False),
        ({"StringEquals": {IMAGE: "00" * 48}}, True, False),
        ({"StringEquals": {IMAGE: PCR0.hex().upper()}}, True, False),
        ({"StringEqualsIgnoreCase": {IMAGE: PCR0.hex().upper()}}, True, True),
        ({"StringEqualsIgnoreCase": {IMAGE: ["00" * 48, PCR0.hex()]}}, True, True),
        ({"StringEqualsIgnoreCase": {"kms:recipientattestation:imagesha384": PCR0.hex()}}, True, True),
        ({"StringEquals": {"kms:RecipientAttestation:PCR0": PCR0.hex()}}, True, True),
        ({"StringEquals": {"kms:RecipientAttestation:PCR8": PCR8.hex()}}, True, True),
        ({"StringEquals": {"kms:RecipientAttestation:PCR8": PCR0.hex()}}, True, False),
        ({"StringEquals": {"kms:RecipientAttestation:PCR9": PCR0.hex()}}, True, False),
        ({"StringEquals": {IMAGE: PCR0.hex(), "kms:RecipientAttestation:PCR8": PCR8.hex()}}, True, True),
        ({"StringEquals": {IMAGE: PCR0.hex(), "kms:RecipientAttestation:PCR8": PCR0.hex()}}, True, False),
        ({"StringEquals": {"kms:EncryptionContext:purpose": "promotion"}}, True, True),
        ({"StringEquals": {"kms:EncryptionContext:purpose": "training"}}, True, False),
        ({"StringLike": {"kms:EncryptionContext:purpose": "promo*"}}, True, True),
        ({"Null": {IMAGE: "false"}}, True, True),
        ({"Null": {IMAGE: "false"}}, False, False),
        ({"Null": {IMAGE: True}}, False, True),
    ],
)
def test_an_allow_holds_where_its_conditions_hold(condition, attested, allowed):
    assert is_allowed(statement(condition=condition), attested=attested) is allowed


@pytest.mark.parametrize(
    ("condition", "attested", "allowed"),
    [
        ({"StringNotEquals": {IMAGE: PCR0.hex()}}, True, True),
        ({"StringNotEquals": {IMAGE: "00" * 48}}, True, False),
        ({"StringNotEquals": {IMAGE: PCR0.hex()}}, False, False),
        ({"StringNotEqualsIgnoreCase": {IMAGE: [PCR0.hex().upper(), "00" * 48]}}, True, True),
        ({"StringNotLike": {IMAGE: "abab*"}}, True, True),
        ({"Null": {IMAGE: "true"}}, False, False),
        ({"Null": {IMAGE: "true"}}, True, True),
    ],
)
def test_a_deny_wins_where_its_conditions_hold(condition, attested, allowed):
    assert is_allowed(statement(), statement("Deny", condition), attested=attested) is allowed


@pytest.mark.parametrize(
    ("changes", "allowed"),
    [
        ({"Principal": {"AWS": OTHER}}, False),
        ({"Principal": {"AWS": [OTHER, ROLE]}}, True),
        ({"Principal": "*"}, True),
        ({"Principal": {"AWS": "*"}}, True),
        ({"Principal": {"AWS": "arn:aws:iam::111122223333:root"}}, True),
        ({"Principal": {"AWS": "111122223333"}}, True),
        ({"Principal": {"AWS": "arn:aws:iam::999999999999:root"}}, False),
        ({"Principal": {"Service": "ecs.amazonaws.com"}}, False),
        ({"Action": "kms:GenerateDataKey"}, False),
        ({"Action": ["kms:GenerateDataKey", "KMS:decrypt"]}, True),
        ({"Action": "kms:*"}, True),
        ({"Action": "kms:De*"}, True),
        ({"Resource": KEY}, True),
        ({"Resource": KEY + "2"}, False),
    ],
)
def test_a_statement_counts_for_its_principals_actions_and_resources(changes, allowed):
    assert is_allowed(statement(**changes)) is allowed


def test_a_not_action_is_every_other_action():
    every_other = {name: value for name, value in statement().items() if name != "Action"}

    assert is_allowed(every_other | {"NotAction": "kms:Encrypt"})
    assert not is_allowed(every_other | {"NotAction": "kms:Decrypt"})


def test_without_a_statement_nothing_is_allowed():
    assert not is_allowed()


@pytest.mark.parametrize("effect", ["Allow", "Deny"])
@pytest.mark.parametrize(
    "changes",
    [
        {"Condition": {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}},
        {"Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}}},
        {"Condition": {"StringEqualsIfExists": {IMAGE: PCR0.hex()}}},
        {"Condition": {"ForAnyValue:StringEquals": {IMAGE: PCR0.hex()}}},
        {"Principal": ...},
    ],
)
def test_what_cannot_be_evaluated_is_denied(effect, changes):
    odd = {name: value for name, value in statement(effect, **changes).items() if value is not ...}

    assert not is_allowed(statement(), odd)


@pytest.mark.parametrize("policy", ["", "{", "[]", "{}", '{"Statement": 1}', '{"Statement": [{}]}'])
def test_a_policy_that_is_none_denies(policy):
    assert denial(policy, KeyRequest(ROLE, "kms:Decrypt", KEY, None, {}))
