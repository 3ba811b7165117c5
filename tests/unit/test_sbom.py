"""What is installed is on record."""

import json
import re

from tools.sbom import ROOT, write


def test_the_bill_of_materials_names_each_package_of_the_lock_with_its_version_and_hashes(tmp_path):
    lock = ROOT / "requirements" / "trainer.txt"
    write(lock, tmp_path / "sbom.json")

    bill = json.loads((tmp_path / "sbom.json").read_text())
    pinned = re.findall(r"^([a-z0-9-]+)(?:\[[a-z,]+\])?==([^ ]+)", lock.read_text(), re.MULTILINE | re.IGNORECASE)
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "mnist-training-pipeline"
    assert sorted((part["name"], part["version"]) for part in bill["components"]) == sorted(pinned)
    assert len(pinned) > 40
    assert all(part["externalReferences"][0]["hashes"] for part in bill["components"])


def test_the_same_lock_gives_the_same_bill(tmp_path):
    for name in ("first", "second"):
        write(ROOT / "requirements" / "tools.txt", tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
