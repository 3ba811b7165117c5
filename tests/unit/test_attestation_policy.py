"""What a deployment accepts is checked when it is configured, and production never trusts software."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mnist_tasks.attestation import AttestationPolicy, NitroSource, SoftwareSource, document_source
from mnist_tasks.errors import ConfigurationError
from tests.forged_documents import PCRS, policy

PCR0 = "ab" * 48
MEASUREMENTS = json.dumps([{"0": PCR0, "8": "cd" * 48}, {"0": "ef" * 48}])
ROOT = "12" * 32


def configured(**variables: str) -> AttestationPolicy:
    values = {"MEASUREMENTS": MEASUREMENTS} | variables
    return AttestationPolicy.from_environment({f"MNIST_ATTESTATION_{name}": value for name, value in values.items()})


def test_a_deployment_is_production_unless_it_says_otherwise():
    assert configured() == AttestationPolicy(
        measurements=[{0: PCR0, 8: "cd" * 48}, {0: "ef" * 48}], production=True, max_age_seconds=300
    )


def test_development_may_trust_a_software_root(tmp_path):
    chosen = configured(PRODUCTION="false", SOFTWARE_ROOT=ROOT, SOFTWARE_FOLDER=str(tmp_path))

    assert (chosen.software_root, chosen.software_folder) == (ROOT, tmp_path)


@pytest.mark.parametrize("variable", ["SOFTWARE_ROOT", "SOFTWARE_FOLDER"])
@pytest.mark.parametrize("production", ["", "true", "1"])
def test_production_refuses_everything_of_software(variable, production):
    with pytest.raises(ConfigurationError, match="not a TEE, so production refuses"):
        configured(PRODUCTION=production, **{variable: ROOT})


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"MEASUREMENTS": ""}, "MNIST_ATTESTATION_MEASUREMENTS: Field required"),
        ({"MEASUREMENTS": "[]"}, "at least 1 item"),
        ({"MEASUREMENTS": "{"}, "is not JSON"),
        ({"MEASUREMENTS": "[" * 100_000}, "is not JSON"),
        ({"MEASUREMENTS": '"ab"'}, "valid tuple"),
        ({"MEASUREMENTS": json.dumps([{"1": PCR0}])}, "PCR0, which measures the image"),
        ({"MEASUREMENTS": json.dumps([{"0": "00" * 48}])}, "zero is debug mode"),
        ({"MEASUREMENTS": json.dumps([{"0": PCR0.upper()}])}, "pattern"),
        ({"MEASUREMENTS": json.dumps([{"0": PCR0[:-2]}])}, "pattern"),
        ({"MEASUREMENTS": json.dumps([{"0": PCR0, "32": PCR0}])}, "less than or equal to 31"),
        ({"MEASUREMENTS": json.dumps([{"0": PCR0}] * 9)}, "at most 8 items"),
        ({"MAX_AGE_SECONDS": "0"}, "greater than or equal to 1"),
        ({"MAX_AGE_SECONDS": "86400"}, "less than or equal to 3600"),
        ({"PRODUCTION": "perhaps"}, "boolean"),
        ({"PRODUCTION": "false", "SOFTWARE_ROOT": "root.pem"}, "pattern"),
    ],
)
def test_a_value_outside_its_bounds_is_refused_by_its_name(variables, reason):
    with pytest.raises(ConfigurationError, match=reason) as error:
        configured(**variables)
    assert "MNIST_ATTESTATION_" in str(error.value)


def test_documents_come_from_the_hardware_by_default():
    assert document_source(configured()) == NitroSource(Path("/dev/nsm"))


def test_documents_come_from_software_where_the_policy_names_a_folder(tmp_path):
    chosen = policy(software_folder=tmp_path / "software")

    assert isinstance(document_source(chosen, software_pcrs=PCRS), SoftwareSource)


def test_a_software_source_needs_something_to_claim(tmp_path):
    with pytest.raises(ConfigurationError, match="no measurements were given"):
        document_source(policy(software_folder=tmp_path / "software"))


def test_production_gets_no_software_source_even_if_the_policy_was_altered_after_it_was_checked(tmp_path):
    altered = configured().model_copy(update={"software_folder": tmp_path / "software"})

    with pytest.raises(ConfigurationError, match="production cannot take its documents from"):
        document_source(altered, software_pcrs=PCRS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "field"), list(AttestationPolicy.model_fields.items()))
def test_the_document_lists_every_variable_with_its_default(name, field):
    text = (Path(__file__).resolve().parents[2] / "docs" / "attestation.md").read_text()

    (line,) = [line for line in text.splitlines() if line.startswith(f"| `MNIST_ATTESTATION_{name.upper()}` |")]
    assert field.description in line
    has_default = not field.is_required() and field.default is not None
    assert line.endswith(f"| `{field.default}` |" if has_default else "| |")
