"""Models: compared, asked about an image, reported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mnist_tasks.dataset import Dataset
from tests.deployment import FIRST_FINAL, LAYOUT, SLUGS, Deployment
from tests.faults import contents, restore
from tests.signatures import decision_in

ROOT = Path(__file__).resolve().parents[3]


def test_two_models_are_compared_by_the_exact_mcnemar_test(nights: Deployment) -> None:
    pair = nights.mnist("compare", SLUGS["kept"], SLUGS["better"], "--json").json

    one, two = pair["models"]
    decision = decision_in(nights.storage.get(LAYOUT.decision(4)).body)["comparison"]
    assert two["significantly_better"]
    assert two["only_this_right"] - one["only_this_right"] == round(
        10_000 * (two["evaluation"]["accuracy"] - one["evaluation"]["accuracy"])
    )
    assert decision["verdict"]
    turned = nights.mnist("compare", SLUGS["better"], SLUGS["kept"], "--json").json
    assert [model["p_value"] for model in turned["models"]] == [two["p_value"], one["p_value"]]


def test_the_comparison_is_the_one_that_the_decision_made(nights: Deployment) -> None:
    made = decision_in(nights.storage.get(LAYOUT.decision(4)).body)["comparison"]
    final = decision_in(nights.storage.get(LAYOUT.decision(4)).body)["final"]

    one, two = nights.mnist("compare", final, FIRST_FINAL, "--json").json["models"]

    assert (one["only_this_right"], two["only_this_right"]) == (
        made["challenger_only_right"],
        made["champion_only_right"],
    )
    assert one["p_value"] == made["p_value"]


def test_a_candidate_a_final_and_its_run_are_the_same_model(nights: Deployment) -> None:
    candidate = FIRST_FINAL.removesuffix("_final")
    for other in (candidate, SLUGS["first"]):
        result = nights.mnist("compare", FIRST_FINAL, other)
        assert "Too close to tell" in result.out
        assert "0 images are read rightly by the first alone, 0 by the second alone" in " ".join(result.out.split())


def test_a_run_that_has_no_candidate_yet_cannot_be_compared(nights: Deployment) -> None:
    assert nights.mnist("compare", FIRST_FINAL, SLUGS["open"]).status == 3


def test_the_champion_reads_a_test_image_by_number(nights: Deployment, mnist: Dataset) -> None:
    reading = nights.mnist("predict", "--test-index", "7", "--json").json

    assert reading == nights.mnist("predict", "7", "--json").json
    assert reading["champion"] == FIRST_FINAL
    assert (reading["label"], len(reading["probabilities"])) == (int(mnist.y_test[7]), 10)
    assert sum(reading["probabilities"]) == pytest.approx(1, abs=1e-5)
    assert reading["image"] == mnist.x_test[7].tolist()


def test_the_champion_reads_a_picture_of_another_size_as_it_reads_the_original(
    nights: Deployment, mnist: Dataset, tmp_path: Path
) -> None:
    path = tmp_path / "digit.png"
    paper = 255 - np.kron(mnist.x_test[7], np.ones((6, 6), np.uint8))
    Image.fromarray(np.pad(paper, 40, constant_values=255)).save(path)

    reading = nights.mnist("predict", str(path), "--json").json

    assert reading["digit"] == nights.mnist("predict", "7", "--json").json["digit"]
    assert reading["label"] is None
    assert str(path) in "".join(nights.mnist("predict", str(path)).out.split())


def test_a_file_whose_name_is_a_number_goes_before_the_test_image(
    nights: Deployment, mnist: Dataset, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(mnist.x_test[7]).save("3", format="PNG")

    assert nights.mnist("predict", "3", "--json").json["source"] == "3"


@pytest.mark.parametrize(
    ("words", "status", "problem"),
    [
        ([], 2, "predict reads one image"),
        (["7", "--test-index", "7"], 2, "predict reads one image"),
        (["10000"], 2, "there is no test image 10000"),
        (["--test-index", "-1"], 2, "Invalid value"),
        (["nowhere.png"], 3, "there is no file nowhere.png"),
        ([__file__], 6, "cannot be read as a picture"),
    ],
)
def test_what_cannot_be_read_is_told(nights: Deployment, words: list[str], status: int, problem: str) -> None:
    result = nights.mnist("predict", *words, "--json")

    assert result.status == status
    assert problem in result.error["problem"]


@pytest.mark.parametrize(
    "key", [LAYOUT.weights(FIRST_FINAL), LAYOUT.manifest(FIRST_FINAL), LAYOUT.decision(5), LAYOUT.champion]
)
def test_nothing_is_read_by_a_model_on_whose_way_something_was_changed(nights: Deployment, key: str) -> None:
    before = contents(nights.storage)
    nights.storage.put(key, b"{}")
    try:
        result = nights.mnist("predict", "7", "--json")
    finally:
        restore(nights.storage, before)

    expected = "SignatureRefused" if key == LAYOUT.decision(5) else "IntegrityError"
    assert (result.status, result.error["kind"]) == (5, expected)


def test_the_report_becomes_a_file(nights: Deployment, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    expected = nights.storage.get(LAYOUT.run(SLUGS["kept"], "report.html")).body

    found = nights.mnist("report", SLUGS["kept"], "--json").json
    chosen = nights.mnist("report", SLUGS["kept"], "-o", "mine.html", "--json").json

    assert found == {"path": str(tmp_path / f"mnist-report-{SLUGS['kept']}.html"), "opened": False}
    assert Path(found["path"]).read_bytes() == Path(chosen["path"]).read_bytes() == expected


def test_the_report_opens_in_the_users_browser(nights: Deployment, tmp_path: Path) -> None:
    taken, browser = tmp_path / "taken", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {taken}\n')
    browser.chmod(0o755)
    environment = {**os.environ, **nights.environment, "BROWSER": str(browser), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mnist_tasks.cli", "report", SLUGS["kept"], "--open", "--json"]

    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )

    assert json.loads(done.stdout)["opened"]
    assert taken.read_text().strip() == Path(json.loads(done.stdout)["path"]).as_uri()


def test_a_run_without_a_report_and_a_place_that_cannot_be_written_are_told(nights: Deployment) -> None:
    assert nights.mnist("report", SLUGS["open"], "--json").error["exit_status"] == 3
    error = nights.mnist("report", SLUGS["kept"], "-o", "/no/such/folder/x", "--json").error
    assert (error["exit_status"], error["kind"]) == (2, "ConfigurationError")
