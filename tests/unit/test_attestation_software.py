"""Software attestation makes documents that the verifier reads like Nitro's, and that say that they are not."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from cryptography import x509

from mnist_tasks.attestation import SOFTWARE_LABEL, SoftwareSource, measure, verify
from mnist_tasks.errors import AttestationRefused, ConfigurationError
from tests.forged_documents import NOW, PCRS, policy, public_der, rsa_key

KEY = public_der(rsa_key())


def source(folder, now=NOW) -> SoftwareSource:
    return SoftwareSource.open(folder / "software", PCRS, clock=lambda: now)


def test_its_documents_carry_what_was_asked_for(tmp_path):
    made = source(tmp_path)

    attested = verify(
        made.attest(public_key=KEY, nonce=b"live", user_data=b"decision"),
        policy(software_root=made.root_sha256),
        now=NOW + timedelta(seconds=1),
        nonce=b"live",
        user_data=b"decision",
        public_key=KEY,
    )

    assert attested.label == SOFTWARE_LABEL
    assert attested.document.module_id == "software-attestation-not-a-tee"
    assert SOFTWARE_LABEL in made.root.subject.rfc4514_string()


def test_each_document_is_signed_by_a_key_of_its_own(tmp_path):
    made = source(tmp_path)
    trusting = policy(software_root=made.root_sha256)
    first, second = (verify(made.attest(public_key=KEY), trusting, now=NOW).document for _ in range(2))

    keys = {x509.load_der_x509_certificate(d.certificate).public_key().public_numbers() for d in (first, second)}
    assert len(keys) == 2


def test_its_certificates_live_three_hours(tmp_path):
    made = source(tmp_path)
    lenient = policy(software_root=made.root_sha256, max_age_seconds=3600)

    with pytest.raises(AttestationRefused, match="not valid at validation time"):
        verify(made.attest(public_key=KEY), lenient, now=NOW + timedelta(hours=4))


def test_who_shares_the_folder_shares_the_root(tmp_path):
    assert source(tmp_path).root_sha256 == source(tmp_path).root_sha256


def test_processes_that_make_a_root_at_once_agree_on_one(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        roots = set(pool.map(lambda _: source(tmp_path).root_sha256, range(16)))

    assert len(roots) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["software"]


def test_its_key_is_for_its_owner_alone_and_not_shown(tmp_path):
    made = source(tmp_path)

    assert stat.S_IMODE((tmp_path / "software" / "root.key.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "software").stat().st_mode) == 0o700
    assert "key=" not in repr(made)


@pytest.mark.parametrize("file", ["root.pem", "root.key.pem"])
@pytest.mark.parametrize("content", [b"", b"nonsense"])
def test_a_folder_that_holds_no_root_is_refused(tmp_path, file, content):
    source(tmp_path)
    (tmp_path / "software" / file).write_bytes(content)

    with pytest.raises(ConfigurationError, match="holds no root"):
        source(tmp_path)


def test_a_key_of_another_root_is_refused(tmp_path):
    source(tmp_path / "one")
    source(tmp_path / "two")
    key = (tmp_path / "two" / "software" / "root.key.pem").read_bytes()
    (tmp_path / "one" / "software" / "root.key.pem").write_bytes(key)

    with pytest.raises(ConfigurationError, match="do not belong together"):
        source(tmp_path / "one")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "software").write_text("a file")

    with pytest.raises(ConfigurationError, match="holds no root"):
        source(tmp_path)


def test_a_measurement_depends_on_content_and_order_of_the_paths_alone(tmp_path):
    a, b = tmp_path / "a.py", tmp_path / "b.py"
    a.write_text("1")
    b.write_text("2")
    before = measure([a, b])

    assert len(before) == 48
    assert measure([b, a]) == before
    b.write_text("3")
    assert measure([a, b]) != before
