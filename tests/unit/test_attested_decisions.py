"""Which records readers believe where promotion is attested, and which promoters begin at all."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mnist_tasks.attestation import AttestationPolicy, AttestedClient, AttestedKms, SoftwareSource
from mnist_tasks.config import (
    NITRO_LABEL,
    SOFTWARE_LABEL,
    AttestationLabel,
    PromoterSettings,
    Settings,
)
from mnist_tasks.encryption import Binding, Encryption
from mnist_tasks.errors import ConfigurationError, SignatureRefused, TemporaryError
from mnist_tasks.page import verification
from mnist_tasks.promotion.authority import open_authority
from mnist_tasks.promotion.records import Attestation, Decision, Evidence
from mnist_tasks.promotion.statement import believe, sign
from mnist_tasks.promotion.surroundings import admitted
from mnist_tasks.report import draw, render_html, to_dict
from mnist_tasks.signing import SealedSigner, TrustedKeys
from tests.decided_run import NOW, RELEASED, cost_of_run, images
from tests.signatures import SoftwareSigner

SIGNER = SoftwareSigner()
ARN = "arn:aws:kms:us-east-1:000000000000:key/1"
KEYS = {"MNIST_CHECKPOINT_KEY": ARN, "MNIST_FINAL_KEY": ARN}
SEALED = {"MNIST_SEALING_KEY": ARN, "MNIST_SEALED_SIGNING_KEYS": "AAAA"}
MEASUREMENTS = {"MNIST_ATTESTATION_MEASUREMENTS": json.dumps([{"0": "ab" * 48}])}


def keys_file(label: str | None) -> bytes:
    """The signer's public key as a deployment ships it."""
    return (f"the promoter's\nattested: {label}\n".encode() if label else b"") + SIGNER.pem


def decision(label: AttestationLabel | None) -> Decision:
    """One whose record carries this evidence."""
    if label is None:
        return RELEASED.decision
    place = Attestation(
        label=label,
        module_id="i-1-enc-1",
        timestamp=NOW,
        pcrs={"0": "ab" * 48},
        document_sha256="a" * 64,
        root_sha256="b" * 64,
    )
    return RELEASED.decision.model_copy(update={"evidence": Evidence(attestation=place)})


LABELS: list[AttestationLabel | None] = [None, NITRO_LABEL, SOFTWARE_LABEL]


@pytest.mark.parametrize("known", LABELS)
@pytest.mark.parametrize("told", LABELS)
def test_a_record_is_believed_if_it_tells_of_the_place_that_its_key_is_known_for(
    known: AttestationLabel | None, told: AttestationLabel | None
) -> None:
    """Without evidence from an attested key, with evidence from another one, or software's for hardware's: refused."""
    record = sign(decision(told), signer=SIGNER, keys=SIGNER.keys)
    keys = TrustedKeys.from_pem(keys_file(known), source="keys.pem")

    if known == told:
        assert believe(record, keys=keys, where="here") == decision(told)
    else:
        with pytest.raises(SignatureRefused, match=f"attestation: {told or 'none'}; .* carries: {known or 'none'}"):
            believe(record, keys=keys, where="here")


def test_report_and_page_show_what_kind_of_place_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "read_vouched", lambda *_: RELEASED.final)
    nowhere: Any = None
    for label in (NITRO_LABEL, SOFTWARE_LABEL):
        data = replace(RELEASED, decision=decision(label))
        html = render_html(data, draw(data, images()), cost_of_run(data))
        verified = verification.verify_final(nowhere, data.decision)

        assert f"{label}. The key that signed was opened for module <code>i-1-enc-1</code>" in html
        assert to_dict(data, {})["verification"]["attestation"] == label
        assert verified is not None
        assert verified.sentence.endswith(f"The place that decided: {label}.")


def test_a_key_is_attested_if_one_of_its_places_in_the_file_says_so() -> None:
    """A second copy without the line does not open a way around it."""
    other = SoftwareSigner()
    keys = TrustedKeys.from_pem(other.pem + keys_file(NITRO_LABEL) + SIGNER.pem, source="keys.pem")

    assert list(keys.attested.values()) == [NITRO_LABEL]
    assert keys.attested.keys() == SIGNER.keys.keys.keys()


@pytest.mark.parametrize("mark", ["", "aws nitro", "AWS Nitro!", "software", f"{NITRO_LABEL}\nattested: {NITRO_LABEL}"])
def test_an_unknown_kind_of_attestation_in_the_file_is_refused(mark: str) -> None:
    with pytest.raises(ConfigurationError, match="says before a key: attested:"):
        TrustedKeys.from_pem(f"attested: {mark}\n".encode() + SIGNER.pem, source="keys.pem")


@pytest.mark.parametrize(("production", "believed"), [("", False), ("true", False), ("false", True)])
def test_production_takes_no_file_with_a_key_of_software(tmp_path: Path, production: str, believed: bool) -> None:
    file = tmp_path / "keys.pem"
    file.write_bytes(keys_file(SOFTWARE_LABEL))
    settings = Settings.from_environment({"MNIST_SIGNING_KEYS": str(file), "MNIST_ATTESTATION_PRODUCTION": production})

    def read() -> TrustedKeys:
        return TrustedKeys.from_file(settings.signing_keys, production=settings.attestation_production)

    if believed:
        assert read().attested
    else:
        with pytest.raises(ConfigurationError, match="not a TEE, which production does not believe"):
            read()


def test_the_promoter_takes_each_variable_of_the_attestation_s_policy_and_kms_at_this_machine_alone() -> None:
    names = [f"MNIST_ATTESTATION_{field.upper()}" for field in AttestationPolicy.model_fields]
    known = dict.fromkeys(names, "x") | {"AWS_ENDPOINT_URL_KMS": "http://127.0.0.1:8000"}

    assert admitted(known) == known
    with pytest.raises(ConfigurationError, match="the promoter takes no MNIST_ATTESTATION_X"):
        admitted({"MNIST_ATTESTATION_X": "1"})
    with pytest.raises(ConfigurationError, match="AWS_ENDPOINT_URL_KMS leads to"):
        admitted({"AWS_ENDPOINT_URL_KMS": "https://kms.example.com"})


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({}, "expected either MNIST_SIGNING_KEY or MNIST_SEALED_SIGNING_KEYS"),
        ({"MNIST_SIGNING_KEY": ARN, **SEALED}, "expected either MNIST_SIGNING_KEY or MNIST_SEALED_SIGNING_KEYS"),
        ({"MNIST_SIGNING_KEY": ARN, "MNIST_SEALING_KEY": ARN}, "belong together"),
        ({"MNIST_SEALED_SIGNING_KEYS": "AAAA"}, "belong together"),
        ({**SEALED, "MNIST_SEALING_KEY": "alias/mine"}, "MNIST_SEALING_KEY: String should match pattern"),
    ],
)
def test_a_promoter_signs_in_one_way(variables: dict[str, str], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        PromoterSettings.from_environment(KEYS | variables)


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        (SEALED, "MNIST_ATTESTATION_MEASUREMENTS: Field required"),
        (SEALED | MEASUREMENTS | {"MNIST_ATTESTATION_SOFTWARE_ROOT": "12" * 32}, "not a TEE, so production refuses"),
        (SEALED | MEASUREMENTS | {"MNIST_SEALED_SIGNING_KEYS": "not base64!"}, "which is not base64"),
        (SEALED | MEASUREMENTS, "/dev/nsm cannot be opened"),
        ({"MNIST_SIGNING_KEY": ARN, **MEASUREMENTS}, "there is no sealed key"),
    ],
)
def test_a_promoter_that_is_attested_by_half_decides_nothing(
    variables: dict[str, str], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    environment = KEYS | variables
    with pytest.raises(ConfigurationError, match=reason):
        open_authority(PromoterSettings.from_environment(environment), environment)


def test_without_attestation_nothing_of_it_is_loaded() -> None:
    modules = "mnist_tasks.promotion.__main__, mnist_tasks.promotion.authority, mnist_tasks.promotion.promote"
    program = f"import sys, {modules}; print([name for name in sys.modules if 'attest' in name or 'cbor' in name])"

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert ended.stdout == "[]\n"


def _der(key: Any, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    return bytes(key.private_bytes(Encoding.DER, form, NoEncryption()))


def test_a_key_that_was_opened_signs_as_kms_does() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    signer = SealedSigner.opened(_der(key), ARN)
    keys = TrustedKeys({}, "nowhere").with_attested([key.public_key()], NITRO_LABEL)

    record = sign(decision(NITRO_LABEL), signer=signer, keys=keys)

    assert believe(record, keys=keys, where="here") == decision(NITRO_LABEL)
    assert "PrivateKey" not in repr(signer)


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"no key",
        _der(ec.generate_private_key(ec.SECP384R1())),
        _der(rsa.generate_private_key(public_exponent=65537, key_size=2048)),
    ],
    ids=["nothing", "text", "P-384", "RSA"],
)
def test_what_is_no_key_on_p_256_signs_nothing_and_is_not_told(der: bytes) -> None:
    with pytest.raises(ConfigurationError, match="no private key on the curve P-256") as error:
        SealedSigner.opened(der, ARN)
    assert not der or der.hex() not in str(error.value)


@pytest.fixture
def client(tmp_path: Path, closed_port: int) -> Any:
    """An attested place whose KMS does not answer."""
    kms = boto3.client(
        "kms",
        endpoint_url=f"http://127.0.0.1:{closed_port}",
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(retries={"total_max_attempts": 1}),
    )
    return AttestedClient(AttestedKms(kms, SoftwareSource.open(tmp_path / "root", {0: b"\xab" * 48})))


@pytest.mark.parametrize(
    "change",
    [{}, {"NumberOfBytes": 64}, {"GrantTokens": ["one"]}, {"KeySpec": "AES_256"}, {"EncryptionContext": {}}],
    ids=str,
)
def test_an_attested_client_leaves_nothing_out_that_was_asked_for(client: Any, change: dict[str, Any]) -> None:
    usual = {"KeyId": ARN, "NumberOfBytes": 32, "EncryptionContext": {"purpose": "final"}, "GrantTokens": []}
    expected = ConfigurationError if change else TemporaryError

    with pytest.raises(expected, match="for data keys of 32 bytes" if change else "KMS did not answer"):
        client.generate_data_key(**usual | change)


def test_why_an_attested_place_got_no_key_for_weights_is_told_in_its_own_words(client: Any) -> None:
    binding = Binding(bucket="a-bucket", key="a-key", run="a-run", candidate="a-candidate", purpose="final")

    with pytest.raises(TemporaryError, match="vsock proxy"):
        Encryption(client, final_key=ARN).encrypt(b"weights", binding)
