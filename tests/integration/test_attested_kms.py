"""An attested place against the local account: software attestation, the KMS front and its key policies, all real."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

import localcloud
from localcloud import kms_recipient
from mnist_tasks.attestation import (
    AttestationPolicy,
    AttestedKms,
    SoftwareSource,
    authenticate,
    measure,
    open_envelope,
    recipient_key,
)
from mnist_tasks.errors import AttestationRefused, IntegrityError
from tests.forged_documents import document, public_der, rsa_key

PACKAGE = Path(__file__).resolve().parents[2] / "mnist_tasks" / "attestation"
ROLE = "arn:aws:iam::000000000000:role/promoter"
CONTEXT = {"purpose": "promotion", "run": "nightly"}
PCRS = {0: measure(PACKAGE.glob("*.py")), 1: b"\x01" * 48}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> SoftwareSource:
    return SoftwareSource.open(tmp_path_factory.mktemp("attestation") / "root", PCRS)


def front_for(cloud: localcloud.Cloud, source: SoftwareSource, **options: Any) -> kms_recipient.KmsFront:
    policy = AttestationPolicy(measurements=[{0: PCRS[0].hex()}], production=False, software_root=source.root_sha256)

    def believe(data: bytes) -> kms_recipient.Recipient:
        attested = authenticate(data, policy, now=datetime.now(UTC))
        return kms_recipient.Recipient(attested.document.pcrs, recipient_key(attested.document))

    return kms_recipient.start(cloud.environment["AWS_ENDPOINT_URL"], authenticate=believe, principal=ROLE, **options)


@pytest.fixture(scope="module")
def front(cloud: localcloud.Cloud, source: SoftwareSource) -> Iterator[kms_recipient.KmsFront]:
    with front_for(cloud, source) as running:
        yield running


@pytest.fixture(scope="module")
def client(cloud: localcloud.Cloud, front: kms_recipient.KmsFront) -> Any:
    return boto3.client("kms", **(cloud.client_arguments | {"endpoint_url": front.url}))


@pytest.fixture(scope="module")
def direct(cloud: localcloud.Cloud) -> Any:
    """The emulator itself."""
    return boto3.client("kms", **cloud.client_arguments)


def key_policy(*images: bytes, pcr: int | None = None) -> str:
    """The key's administrators may not use it; the promoter may, from these images."""
    name = "ImageSha384" if pcr is None else f"PCR{pcr}"
    condition = {"StringEqualsIgnoreCase": {f"kms:RecipientAttestation:{name}": [image.hex() for image in images]}}
    use = ["kms:Decrypt", "kms:GenerateDataKey"]
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "Administer",
                    "Effect": "Allow",
                    "Principal": {"AWS": "arn:aws:iam::000000000000:root"},
                    "NotAction": use,
                    "Resource": "*",
                },
                {
                    "Sid": "UseFromTheMeasuredImage",
                    "Effect": "Allow",
                    "Principal": {"AWS": ROLE},
                    "Action": use,
                    "Resource": "*",
                    "Condition": condition,
                },
            ],
        }
    )


@pytest.fixture
def key(direct: Any) -> str:
    arn: str = direct.create_key(Policy=key_policy(PCRS[0]))["KeyMetadata"]["Arn"]
    return arn


@pytest.fixture(scope="module")
def kms(client: Any, source: SoftwareSource) -> AttestedKms:
    return AttestedKms(client, source)


def test_an_attested_place_gets_a_data_key_and_gets_it_back(kms, key):
    made = kms.generate_data_key(key_id=key, context=CONTEXT)

    assert len(made.plaintext) == 32
    assert kms.decrypt(made.ciphertext, key_id=key, context=CONTEXT) == made.plaintext


def test_what_was_encrypted_outside_opens_inside(kms, key, direct):
    sealed = direct.encrypt(KeyId=key, Plaintext=b"the key that signs", EncryptionContext=CONTEXT)["CiphertextBlob"]

    assert kms.decrypt(sealed, key_id=key, context=CONTEXT) == b"the key that signs"


def test_the_answer_on_the_wire_has_no_plaintext_and_only_the_recipient_can_read_it(client, key, source):
    request = {
        "AttestationDocument": source.attest(public_key=public_der(rsa_key())),
        "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
    }

    answer = client.generate_data_key(KeyId=key, KeySpec="AES_256", Recipient=request)

    assert not answer.get("Plaintext")
    assert len(open_envelope(answer["CiphertextForRecipient"], rsa_key())) == 32
    with pytest.raises(AttestationRefused, match="cannot be decrypted"):
        open_envelope(answer["CiphertextForRecipient"], rsa_key(3072))


def test_the_emulator_itself_is_found_out(direct, key, source):
    """Without the front the emulator ignores `Recipient`: exactly what must never pass for attestation."""
    with pytest.raises(AttestationRefused, match="carries the plaintext"):
        AttestedKms(direct, source).generate_data_key(key_id=key, context=CONTEXT)


def test_another_encryption_context_is_refused(kms, key):
    made = kms.generate_data_key(key_id=key, context=CONTEXT)

    with pytest.raises(IntegrityError, match="does not open what"):
        kms.decrypt(made.ciphertext, key_id=key, context=CONTEXT | {"run": "another"})


def test_another_image_is_refused(client, key, source):
    other = SoftwareSource(source.root, source.key, PCRS | {0: b"\xee" * 48})

    with pytest.raises(AttestationRefused, match="no resource-based policy allows the kms:GenerateDataKey action"):
        AttestedKms(client, other).generate_data_key(key_id=key, context=CONTEXT)


def test_debug_mode_is_refused(client, key, source):
    debugged = SoftwareSource(source.root, source.key, {0: bytes(48)})

    with pytest.raises(AttestationRefused, match="debug mode"):
        AttestedKms(client, debugged).generate_data_key(key_id=key, context=CONTEXT)


def test_a_stale_document_is_refused(client, key, source):
    early = SoftwareSource(source.root, source.key, PCRS, clock=lambda: datetime.now(UTC) - timedelta(minutes=10))

    with pytest.raises(AttestationRefused, match="it was made at"):
        AttestedKms(client, early).generate_data_key(key_id=key, context=CONTEXT)


def test_a_document_of_another_root_is_refused(client, key, tmp_path):
    stranger = SoftwareSource.open(tmp_path / "root", PCRS)

    with pytest.raises(AttestationRefused, match="root certificate has SHA-256"):
        AttestedKms(client, stranger).generate_data_key(key_id=key, context=CONTEXT)


def test_a_policy_may_name_other_registers(kms, key, direct):
    direct.put_key_policy(KeyId=key, PolicyName="default", Policy=key_policy(PCRS[1], pcr=1))
    assert kms.generate_data_key(key_id=key, context=CONTEXT)

    direct.put_key_policy(KeyId=key, PolicyName="default", Policy=key_policy(PCRS[1], pcr=8))
    with pytest.raises(AttestationRefused, match="no resource-based policy"):
        kms.generate_data_key(key_id=key, context=CONTEXT)


def test_measurements_are_rotated_by_allowing_the_new_image_beside_the_old_one(client, kms, key, direct, source):
    new_image = b"\xaa" * 48
    updated = AttestedKms(client, SoftwareSource(source.root, source.key, {0: new_image}))
    made = kms.generate_data_key(key_id=key, context=CONTEXT)

    direct.put_key_policy(KeyId=key, PolicyName="default", Policy=key_policy(PCRS[0], new_image))
    assert {place.decrypt(made.ciphertext, key_id=key, context=CONTEXT) for place in (kms, updated)} == {made.plaintext}

    direct.put_key_policy(KeyId=key, PolicyName="default", Policy=key_policy(new_image))
    assert updated.decrypt(made.ciphertext, key_id=key, context=CONTEXT) == made.plaintext
    with pytest.raises(AttestationRefused, match="no resource-based policy"):
        kms.decrypt(made.ciphertext, key_id=key, context=CONTEXT)


@pytest.mark.parametrize("action", ["decrypt", "generate_data_key"])
def test_nobody_gets_the_plaintext_without_a_document(client, direct, key, action):
    sealed = direct.encrypt(KeyId=key, Plaintext=b"secret")["CiphertextBlob"]
    request = {"CiphertextBlob": sealed} if action == "decrypt" else {"KeyId": key, "KeySpec": "AES_256"}

    with pytest.raises(ClientError, match="is not authorized to perform") as error:
        getattr(client, action)(**request)
    assert error.value.response["Error"]["Code"] == "AccessDeniedException"


@pytest.mark.parametrize(
    ("recipient", "reason"),
    [
        ({}, "KeyEncryptionAlgorithm"),
        ({"AttestationDocument": b"x"}, "KeyEncryptionAlgorithm"),
        ({"AttestationDocument": b"x", "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_1"}, "KeyEncryptionAlgorithm"),
        ({"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256"}, "attestation document is refused"),
        ({"AttestationDocument": b"x", "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256"}, "document is refused"),
        ({"AttestationDocument": document(), "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256"}, "root certificate"),
    ],
)
def test_a_recipient_that_is_none_is_refused(client, key, recipient, reason):
    with pytest.raises(ClientError, match=reason) as error:
        client.generate_data_key(KeyId=key, KeySpec="AES_256", Recipient=recipient)
    assert error.value.response["Error"]["Code"] == "ValidationException"


def test_a_document_without_a_key_to_encrypt_to_is_refused(client, key, source):
    recipient = {
        "AttestationDocument": source.attest(public_key=b"no key"),
        "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
    }

    with pytest.raises(ClientError, match="its public key cannot be read"):
        client.generate_data_key(KeyId=key, KeySpec="AES_256", Recipient=recipient)


def test_operations_that_take_no_recipient_here_say_so(client, key, source):
    recipient = {
        "AttestationDocument": source.attest(public_key=public_der(rsa_key())),
        "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
    }

    with pytest.raises(ClientError, match="takes no Recipient here"):
        client.generate_random(NumberOfBytes=32, Recipient=recipient)


def test_everything_else_passes_through(client, key):
    assert client.describe_key(KeyId=key)["KeyMetadata"]["Arn"] == key
    with pytest.raises(client.exceptions.NotFoundException):
        client.generate_data_key(KeyId=key[:-1] + "!", KeySpec="AES_256")


def test_a_policy_that_the_front_was_given_counts_instead_of_the_keys(cloud, direct, source):
    key = direct.create_key()["KeyMetadata"]["Arn"]
    with front_for(cloud, source, policies={key: key_policy(PCRS[0])}) as running:
        asking = boto3.client("kms", **(cloud.client_arguments | {"endpoint_url": running.url}))

        assert AttestedKms(asking, source).generate_data_key(key_id=key, context=CONTEXT)
        with pytest.raises(ClientError, match="is not authorized to perform"):
            asking.generate_data_key(KeyId=key, KeySpec="AES_256")


def test_the_front_ends_with_its_block(cloud, source):
    with front_for(cloud, source) as running:
        url = running.url
    late = boto3.client("kms", **(cloud.client_arguments | {"endpoint_url": url}))

    with pytest.raises(EndpointConnectionError):
        late.list_keys()
