"""An attested promotion as `make run ATTESTED=1` sets it up: the promoter's own container, and all who would get past.

Everything is real but the proof: software attestation, with the front of KMS that honours it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest

import localcloud
from mnist_tasks.attestation import AttestationPolicy, AttestedClient, AttestedKms, SoftwareSource, document_source
from mnist_tasks.config import SOFTWARE_LABEL, Settings
from mnist_tasks.dataset import Dataset
from mnist_tasks.definitions.mnist import MNIST, REBUILT_FILE
from mnist_tasks.encryption import Binding, Encryption
from mnist_tasks.errors import AttestationRefused, ConfigurationError, SignatureRefused
from mnist_tasks.layout import Layout
from mnist_tasks.promotion.attested import software_pcrs
from mnist_tasks.promotion.chain import Chain
from mnist_tasks.signing import TrustedKeys
from mnist_tasks.storage import Storage
from tests.candidates import random_weights, train_run
from tests.container import keys as keys_of
from tests.promoter_tasks import run_promoter
from tools.attested import attested_promoter, seal_new_key

LAYOUT = Layout(MNIST)
# A candidate that passes no gate is a decision, too, and needs no training.
NIGHTS = ("attested", "downgraded", "rotated")
BINDING = Binding(bucket="a-bucket", key="a-key", run="a-run", candidate="a-candidate", purpose="final")


@dataclass(frozen=True)
class Account:
    """A local account of its own, in which an attested promoter is set up or not."""

    cloud: localcloud.Cloud
    slugs: dict[str, str]

    def client(self, service: str) -> Any:
        return boto3.client(service, **self.cloud.client_arguments)

    @property
    def storage(self) -> Storage:
        return Storage(self.client("s3"), self.cloud.environment["MNIST_BUCKET"])

    def chain(self, keys: TrustedKeys) -> Chain:
        return Chain(self.storage, LAYOUT, keys)

    def readers(self, **changes: str) -> TrustedKeys:
        """Whom this deployment's readers believe."""
        settings = Settings.from_environment({**self.cloud.environment, **changes})
        return TrustedKeys.from_file(settings.signing_keys, production=settings.attestation_production)

    def promote(self, night: str, **changes: str) -> tuple[int, str]:
        """Run the promoter's container with these variables besides those of its job."""
        job = {
            "MNIST_BUCKET": self.storage.bucket,
            "MNIST_CHECKPOINTS_PREFIX": "checkpoints",
            "MNIST_RUN": self.slugs[night],
        }
        return run_promoter(self.cloud.environment, self.client("ecs"), self.client("logs"), variables=job | changes)


@pytest.fixture(scope="module")
def plain(mnist: Dataset, mnist_file: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """Runs at the end of their training."""
    home = tmp_path_factory.mktemp("account")
    try:
        cloud = localcloud.up(home)
        account = Account(cloud, {})
        keys = cloud.environment
        encryption = Encryption(account.client("kms"), keys["MNIST_CHECKPOINT_KEY"], keys["MNIST_FINAL_KEY"])
        account.storage.put(LAYOUT.dataset(REBUILT_FILE.sha256), mnist_file)
        for day, night in enumerate(NIGHTS, 1):
            plan, _ = train_run(
                account.storage,
                encryption,
                LAYOUT,
                night,
                [random_weights(day)],
                dataset=mnist,
                dataset_sha256=REBUILT_FILE.sha256,
                now=datetime(2026, 11, day, tzinfo=UTC),
            )
            account.slugs[night] = plan.run
        yield account
    finally:
        localcloud.down(home)


@pytest.fixture(scope="module")
def account(plain: Account) -> Iterator[Account]:
    """The same account while its promoter is an attested one, after the first run's decision."""
    with attested_promoter(plain.cloud) as cloud:
        account = replace(plain, cloud=cloud)
        code, log = account.promote("attested")
        assert code == 0, log
        yield account


def test_the_record_of_an_attested_promotion_tells_of_the_place_and_is_believed(account: Account) -> None:
    chain = account.chain(account.readers())
    place = chain.read(1).decision.evidence.attestation

    assert place is not None
    assert (place.label, place.pcrs) == (SOFTWARE_LABEL, {"0": software_pcrs()[0].hex()})
    assert chain.verify()


def test_production_does_not_believe_it_wherever_that_is_decided(account: Account, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not a TEE, which production does not believe"):
        account.readers(MNIST_ATTESTATION_PRODUCTION="true")

    file = account.cloud.environment["MNIST_SIGNING_KEYS"]
    for promise in ("", "attested: AWS Nitro\n"):
        hidden = tmp_path / "keys.pem"
        hidden.write_text(Path(file).read_text().replace(f"attested: {SOFTWARE_LABEL}\n", promise))
        trusted = account.readers(MNIST_ATTESTATION_PRODUCTION="true", MNIST_SIGNING_KEYS=str(hidden))
        with pytest.raises(SignatureRefused, match=f"as its attestation: {SOFTWARE_LABEL}"):
            account.chain(trusted).verify()


def _other_root(folder: Path) -> dict[str, str]:
    root = SoftwareSource.open(folder / "root", software_pcrs())
    return {
        "MNIST_ATTESTATION_SOFTWARE_ROOT": root.root_sha256,
        "MNIST_ATTESTATION_SOFTWARE_FOLDER": str(folder / "root"),
    }


NO_ATTESTATION = {
    "MNIST_ATTESTATION_MEASUREMENTS": "",
    "MNIST_ATTESTATION_PRODUCTION": "",
    "MNIST_ATTESTATION_SOFTWARE_ROOT": "",
    "MNIST_ATTESTATION_SOFTWARE_FOLDER": "",
}
Overrides = Callable[[Account, Path], dict[str, str]]
GETTING_PAST: dict[str, tuple[Overrides, int, str]] = {
    "another measurement": (
        lambda _account, _folder: {"MNIST_ATTESTATION_MEASUREMENTS": json.dumps([{"0": "ee" * 48}])},
        2,
        "its measurements are none of the 1 that are accepted",
    ),
    "a software root of the attacker's": (lambda _, folder: _other_root(folder), 2, "KMS refuses this place the key"),
    "a KMS that knows no attestation": (
        lambda account, _: {"AWS_ENDPOINT_URL_KMS": account.cloud.environment["AWS_ENDPOINT_URL"]},
        2,
        "it carries the plaintext",
    ),
    "no attestation, and the key in KMS": (
        lambda account, _: {
            **NO_ATTESTATION,
            "MNIST_SEALED_SIGNING_KEYS": "",
            "MNIST_SEALING_KEY": "",
            "MNIST_SIGNING_KEY": account.cloud.environment["MNIST_SIGNING_KEY"],
        },
        3,
        "carries no valid signature of the 1 trusted key",
    ),
}


@pytest.mark.parametrize("how", GETTING_PAST)
def test_whoever_sets_the_promoter_s_variables_gets_no_attested_decision_and_nothing_is_written(
    how: str, account: Account, tmp_path: Path
) -> None:
    overrides, code, said = GETTING_PAST[how]
    before = keys_of(account.storage, "")

    ended, log = account.promote("downgraded", **overrides(account, tmp_path))

    assert (ended, said in log) == (code, True), log
    assert keys_of(account.storage, "") == before


def test_an_image_that_the_keys_do_not_name_gets_neither_the_signing_key_nor_one_for_finals(plain: Account) -> None:
    """Its own deployment's policy would let it in: the keys' policies are what protects."""
    mine = json.dumps([{"0": software_pcrs()[0].hex()}])
    with attested_promoter(plain.cloud, pcr0=b"\xee" * 48) as cloud:
        code, log = replace(plain, cloud=cloud).promote("downgraded", MNIST_ATTESTATION_MEASUREMENTS=mine)

        assert (code, "no resource-based policy allows the kms:Decrypt action" in log) == (2, True), log
        with pytest.raises(AttestationRefused, match="OnlyTheMeasuredImageMakesFinals"):
            weights(cloud).encrypt(b"weights", BINDING)


def test_the_measured_image_makes_and_opens_finals(account: Account) -> None:
    encryption = weights(account.cloud)

    assert encryption.decrypt(encryption.encrypt(b"weights", BINDING), BINDING) == b"weights"


def test_a_new_signing_key_goes_on_with_the_chain_of_the_old_one(account: Account, tmp_path: Path) -> None:
    variables = variables_of_task(account.cloud)
    new = seal_new_key(account.client("kms"), variables["MNIST_SEALING_KEY"])
    old_file = Path(account.cloud.environment["MNIST_SIGNING_KEYS"])
    both_file = tmp_path / "both.pem"
    both_file.write_bytes(old_file.read_bytes() + new.pem)

    both = f"{new.ciphertext},{variables['MNIST_SEALED_SIGNING_KEYS']}"
    code, log = account.promote("rotated", MNIST_SEALED_SIGNING_KEYS=both)

    assert code == 0, log
    assert account.chain(account.readers(MNIST_SIGNING_KEYS=str(both_file))).verify() == 2
    with pytest.raises(SignatureRefused, match="carries no valid signature"):
        account.chain(account.readers()).verify()


def variables_of_task(cloud: localcloud.Cloud) -> dict[str, str]:
    """What the attested promoter's task definition tells it."""
    ecs: Any = boto3.client("ecs", **cloud.client_arguments)
    definition = cloud.environment["MNIST_PROMOTER_TASK_DEFINITION"]
    (container,) = ecs.describe_task_definition(taskDefinition=definition)["taskDefinition"]["containerDefinitions"]
    return {pair["name"]: pair["value"] for pair in container["environment"]}


def weights(cloud: localcloud.Cloud) -> Encryption:
    """What the promoter encrypts with."""
    variables = variables_of_task(cloud)
    source = document_source(AttestationPolicy.from_environment(variables), software_pcrs=software_pcrs())
    kms = boto3.client("kms", **(cloud.client_arguments | {"endpoint_url": variables["AWS_ENDPOINT_URL_KMS"]}))
    return Encryption(AttestedClient(AttestedKms(kms, source)), final_key=variables["MNIST_FINAL_KEY"])
