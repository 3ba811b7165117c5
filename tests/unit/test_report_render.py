"""The report as a page that needs nothing else, and as JSON."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mnist_tasks.checkpoints import StoredObject
from mnist_tasks.cost import cost_of
from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.errors import IntegrityError
from mnist_tasks.metrics import wilson_interval
from mnist_tasks.report import ReportData, draw, render_html, to_dict
from mnist_tasks.report.reference import reference_figures
from mnist_tasks.report.words import BIAS, limits, repeat_command
from mnist_tasks.storage import to_json
from tests.decided_run import (
    APPROVED,
    BEFORE,
    DECLINED,
    FIRST,
    KEPT,
    NOW,
    PRICES,
    REJECTED,
    RELEASED,
    UNANSWERED,
    WORSE,
    cost_of_run,
    decided_run,
    images,
)

VOID = {"meta", "br", "img", "link", "hr", "input"}


class Page(HTMLParser):
    """Checks that every element is closed by its own tag; keeps text, tags and what is referred to."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.references: list[str] = []
        self.feed(html.replace("<wbr>", ""))  # where a line may end, there is no space
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attributes if name in {"src", "href", "action", "srcset"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def page(data: ReportData) -> Page:
    return Page(render_html(data, draw(data, images()), cost_of_run(data)))


@pytest.mark.parametrize("data", [RELEASED, FIRST, KEPT, WORSE, REJECTED, APPROVED, DECLINED])
def test_every_outcome_gives_a_well_formed_page_that_refers_to_nothing_outside(data: ReportData) -> None:
    html = render_html(data, draw(data, images()), cost_of_run(data))

    assert all(reference.startswith(("data:image/png;", "#")) for reference in Page(html).references)
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    assert not {"script", "iframe", "object", "link"} & set(Page(html).tags)


def test_the_page_tells_what_a_reader_asks_for() -> None:
    text = page(KEPT).text

    for expected in (
        "Promoted, champion kept: too close to tell.",
        "98.00%",  # test accuracy
        "95% interval 97.29% to 98.53%",
        "40 of 2,000 wrong",
        "97.90%",  # the champion's
        BEFORE,
        "test recall of digit 3",
        "mnist_model_20261124_020001 best",
        "10 of 10",
        "590 MB",
        "101,770 parameters",
        "Most frequent mix-ups",
        "label range",
        str(KEPT.plan.seed),
        KEPT.plan.run_id,
        "d" * 64,  # data set
        "a" * 64,  # weights
        "s3://a-bucket/checkpoints/mnist_model_20261124_020001_final/weights",
        "s3://a-bucket/decisions/00000007.json",
        "0.1.0",
        BIAS,
        repeat_command(KEPT.plan),
    ):
        assert expected in text, expected


def test_a_narrow_line_ends_between_the_parts_of_a_models_name() -> None:
    html = render_html(KEPT, draw(KEPT, images()), cost_of_run(KEPT))

    assert html.count(f"<code>{BEFORE.replace('_', '_<wbr>')}</code>") == 2  # the champion before, and now


def test_the_specifications_figures_stand_beside_the_measured_ones() -> None:
    text = page(KEPT).text

    for expected in (
        "9.38% (3 of 32), chance 12.50% (4 of 32)",
        "36.06% 30.00% after 10, 55.00% after 30 batches",
        "about 0.45 to 0.07 0.40 to 0.04",
        "from about epoch 5 on from epoch 8 on",
        "97.75% 98.00% of the test images",
        "about 188 MB 47.04 MB as bytes; as floats 188.16 MB",
    ):
        assert expected in text, expected


def test_a_history_without_figures_of_its_start_leaves_those_out() -> None:
    old = KEPT.histories[KEPT.best.name].model_copy(update={"start": (), "images_mb": None})
    names = [figure.name for figure in reference_figures(replace(KEPT, histories={KEPT.best.name: old}))]

    assert names == [
        "Training loss, first to last epoch",
        "Validation accuracy no longer rises",
        "Accuracy at the end",
    ]


@pytest.mark.parametrize(("after", "words"), [((2,), "epoch 2"), ((1, 2, 5), "epochs 1, 2 and 5")])
def test_an_interrupted_training_is_told(after: tuple[int, ...], words: str) -> None:
    first, best = KEPT.manifests
    data = replace(KEPT, manifests=(first.model_copy(update={"resumed_after": after}), best))

    assert f"Training of {first.name} was interrupted and went on after {words}: its weights are" in page(data).text
    assert "interrupted" not in page(KEPT).text


def test_accuracy_of_the_champion_follows_from_the_paired_answers() -> None:
    assert KEPT.champion_accuracy == pytest.approx(1 - 42 / 2000)
    assert RELEASED.champion_accuracy == pytest.approx(1 - 80 / 2000)
    assert FIRST.champion_accuracy is None


def test_the_first_champion_has_nothing_to_be_compared_with() -> None:
    text = page(FIRST).text

    assert "Champion before none" in text
    assert "there was no champion before" in text
    assert "The only candidate of this run." in text


def test_a_rejected_model_has_no_final_and_is_no_challenger() -> None:
    text = page(REJECTED).text

    assert "✗ failed" in text
    assert "a model that fails a gate is no challenger" in text
    assert "Final weights" not in text


def test_a_model_without_mistakes_is_met_with_suspicion() -> None:
    text = page(decided_run(wrong=[])).text

    assert "too good to be true" in text
    assert "Most frequent mix-ups" not in text


def test_the_rule_not_worse_names_its_margin() -> None:
    data = decided_run(wrong=range(40), champion_wrong=range(40), rule="not_worse")

    assert data.decision.comparison
    margin = f"{100 * (data.decision.comparison.margin or 0):.2g}"
    assert f"release what is not worse by more than {margin} percentage points" in page(data).text


def test_what_a_person_typed_as_run_id_is_text_and_never_markup() -> None:
    run_id = "</title><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\x1b[31m"
    data = decided_run(run_id=run_id)

    found = page(data)

    assert "script" not in found.tags
    assert found.references.count("x") == 0
    assert "<script>alert(1)</script>" in found.text
    assert "\x1b" not in found.text


def test_the_same_run_gives_the_same_page_at_every_try() -> None:
    first, second = (render_html(KEPT, draw(KEPT, images()), cost_of_run(KEPT)) for _ in range(2))

    assert first == second


def test_the_page_stays_small() -> None:
    data = decided_run(candidates=16, epochs=100, champion_wrong=range(50))

    assert len(render_html(data, draw(data, images()), cost_of_run(data))) < 400_000


def test_the_json_has_the_figures_and_the_records_that_they_come_from() -> None:
    plots = {"loss": StoredObject(key="runs/x/plots/loss.png", sha256="e" * 64, size=5)}

    report = json.loads(to_json(to_dict(KEPT, plots)))

    assert (report["version"], report["outcome"], report["run"]) == (1, "kept", KEPT.plan.run)
    assert report["test"]["accuracy"] == 0.98
    assert report["test"]["accuracy_interval_95"] == list(wilson_interval(1960, 2000))
    assert report["champion"]["before"] == report["champion"]["after"] == BEFORE
    assert report["champion"]["before_accuracy"] == pytest.approx(0.979)
    assert [candidate["manifest"]["name"] for candidate in report["candidates"]] == [m.name for m in KEPT.manifests]
    assert len(report["candidates"][0]["history"]["epochs"]) == 10
    assert report["decision"]["sequence"] == 7
    assert report["plots"]["loss"]["sha256"] == "e" * 64
    assert report["repeat"].startswith("airflow dags trigger mnist_training")


def test_a_decision_about_somebody_elses_candidate_makes_no_report() -> None:
    other = decided_run(candidates=1).decision

    with pytest.raises(IntegrityError, match=r"decision 7 of run .* is about mnist_model_20261124_020000"):
        ReportData(**{**vars(KEPT), "manifests": KEPT.manifests[1:], "decision": other})


def test_the_model_card_names_data_training_and_limits() -> None:
    text = page(KEPT).text

    assert "Dense(128, relu), Dropout(0.2)" in text
    assert "kept is the epoch with the highest validation accuracy, the 10th" in text
    for limit in limits(MNIST):
        assert limit in text


def test_each_digit_has_its_figures_with_an_interval() -> None:
    low, high = wilson_interval(196, 200)

    assert f"0 200 98.00% {100 * low:.2f}% to {100 * high:.2f}% 98.00% 0.9800" in page(KEPT).text


def test_calibration_is_shown_with_its_source_and_left_out_where_it_was_not_measured() -> None:
    old = KEPT.evaluation.model_copy(update={"calibration": ()})
    without = replace(KEPT, decision=KEPT.decision.model_copy(update={"evaluation": old}))

    assert "The expected calibration error is 7.00% :" in page(KEPT).text
    assert "ICML 2017, equation 3" in page(KEPT).text
    assert "calibration" not in page(without).text


def test_the_signature_is_told_with_its_key_and_what_is_not_proved_as_well() -> None:
    text = page(KEPT).text

    assert "signed with the key that the deployment trusts, by its id " + "5" * 64 in text
    assert "Attestation None: that the promoter ran in a measured environment is not proved." in text
    assert "Approved by nobody" in text
    assert "one of the keys" in page(replace(KEPT, trusted_keys=("5" * 64, "6" * 64))).text


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (APPROVED, "Approved by ada, as Airflow states"),
        (DECLINED, "Approved by nobody: rejected by ada"),
        (UNANSWERED, "Approved by nobody: nobody answered in 12 hours"),
    ],
)
def test_the_report_tells_what_came_of_asking_a_person(data: ReportData, told: str) -> None:
    assert told in page(data).text


def test_the_cost_is_told_by_task_with_what_was_wasted() -> None:
    text = page(KEPT).text

    assert "$0.0031 on Fargate: 480 vCPU-seconds and 960 GB-seconds, on demand $0.0066" in text
    assert "repeated: $0.00049, the epochs that a later task went on from included." in text
    assert "repeated exit code 143" in text


def test_a_run_whose_tasks_nobody_recorded_claims_no_cost() -> None:
    found = Page(render_html(KEPT, draw(KEPT, images()), cost_of([], PRICES, NOW)))

    assert "What the ECS tasks of this run took was not recorded." in found.text
    assert "$0" not in found.text


def test_every_field_of_the_json_is_documented() -> None:
    documented = (Path(__file__).parents[2] / "docs" / "report.md").read_text()
    report = to_dict(KEPT, {}, None, cost_of_run(KEPT))
    nested = [name for part in ("test", "champion", "verification", "cost") for name in report[part]]

    assert [name for name in (*report, *nested) if f"`{name}`" not in documented] == []


def test_the_json_has_calibration_and_cost() -> None:
    report = json.loads(to_json(to_dict(KEPT, {}, None, cost_of_run(KEPT))))

    assert report["test"]["expected_calibration_error"] == pytest.approx(0.07)
    assert report["test"]["digits"][3]["recall"] == 0.98
    assert report["cost"]["dollars"] == pytest.approx(sum(task["dollars"] for task in report["cost"]["tasks"]))
    assert report["cost"]["prices"]["spot_share"] == 0.3
    assert report["verification"]["decision_signed_by_one_of"] == ["5" * 64]
