"""The mails: both parts say the same, images fit their places, and what others typed stays text."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default

import pytest

from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.notify import Mail, build_message, message_id
from mnist_tasks.report import FailedStep, ReportData, render_failure_mail, render_report_mail, render_rollback_mail
from mnist_tasks.report.words import repeat_command
from tests.decided_run import BEFORE, DECLINED, FIRST, KEPT, REJECTED, RELEASED, WORSE, decided_run, rollback
from tests.unit.test_report_render import Page

IMAGES = dict.fromkeys(("accuracy", "loss", "recall", "confusion", "mistakes", "calibration"), b"\x89PNG")
AIRFLOW = "https://airflow.example.com"
LABELS = FailedStep(
    step="validate",
    error="ValidationFailed",
    problem="12 labels out of range 0..9: first at 17 (value 11)",
    mend="correct the data set",
)


def assert_images_fit(mail: Mail) -> None:
    assert sorted(re.findall(r'src="cid:([^"]+)"', mail.html)) == sorted(mail.images)


@pytest.mark.parametrize("data", [RELEASED, FIRST, KEPT, WORSE, REJECTED, DECLINED])
def test_both_parts_of_every_outcome_stand_alone(data: ReportData) -> None:
    mail = render_report_mail(data, IMAGES)

    for part in (mail.text, Page(mail.html).text):
        assert f"{100 * data.evaluation.accuracy:.2f}%" in part
        assert "95% interval" in part
        assert repeat_command(data.plan) in part
        assert data.plan.run_id in part
        assert f"s3://a-bucket/runs/{data.plan.run}/report.html" in part
    assert mail.text.startswith(("Promoted", "Not promoted"))
    assert_images_fit(mail)
    assert len(mail.images) == 6


def test_a_kept_champion_is_named_with_its_accuracy_on_the_same_images() -> None:
    text = render_report_mail(KEPT, IMAGES).text

    assert f"97.90% on the same images, {BEFORE}" in text


def test_failed_gates_are_told_in_the_text() -> None:
    assert "failed: test accuracy 95.50% is below 97.50%" in render_report_mail(REJECTED, IMAGES).text


def test_plots_that_are_missing_leave_no_empty_frame() -> None:
    mail = render_report_mail(KEPT, {"loss": b"\x89PNG"})

    assert list(mail.images) == ["loss@plots"]
    assert_images_fit(mail)


def test_every_image_says_in_words_what_it_shows() -> None:
    html = render_report_mail(KEPT, IMAGES).html

    assert len(re.findall(r'<img [^>]*alt="[A-Z][^"]{20,}"', html)) == 6


def test_links_appear_only_where_the_deployment_has_an_address() -> None:
    without, with_link = render_report_mail(KEPT, IMAGES), render_report_mail(KEPT, IMAGES, airflow_url=AIRFLOW)

    assert "http" not in without.text
    assert Page(without.html).references == [f"cid:{cid}" for cid in without.images]
    url = f"{AIRFLOW}/dags/mnist_training/runs/scheduled__2026-11-24T02%3A00%3A00%2B00%3A00"
    assert url in with_link.text
    assert url in Page(with_link.html).references


def test_nothing_in_the_html_is_loaded_from_elsewhere() -> None:
    for mail in (render_report_mail(KEPT, IMAGES), render_failure_mail(MNIST, [LABELS], dag_id="d", run_id="r")):
        assert not {"script", "link", "style", "iframe", "form"} & set(Page(mail.html).tags)


def test_a_run_id_of_an_attacker_adds_no_header_no_line_and_no_markup() -> None:
    run_id = "x\r\nBcc: thief@example.org\r\n\r\nChampion now  mine\x1b[2J<script>alert(1)</script>" + "y" * 3000
    data = decided_run(run_id=run_id)

    for mail in (
        render_report_mail(data, IMAGES, airflow_url=AIRFLOW),
        render_failure_mail(MNIST, [LABELS], dag_id="mnist_training", run_id=run_id, airflow_url=AIRFLOW),
        render_rollback_mail(MNIST, rollback(), dag_id="mnist_rollback", run_id=run_id, airflow_url=AIRFLOW),
    ):
        message = build_message(
            mail,
            sender="mnist@example.com",
            recipients=["team@example.com"],
            message_id=message_id(data.plan.run, "report", "mnist@example.com"),
            date=datetime(2026, 11, 24, tzinfo=UTC),
        )
        arrived = message_from_bytes(message.as_bytes(), policy=default)
        assert arrived["Bcc"] is None
        assert "script" not in Page(mail.html).tags
        assert "\x1b" not in mail.text + mail.html
        outside_quotes = re.sub(r"'[^']*'", "", mail.text)
        assert not re.search(r"^(Bcc|Champion now +mine)", outside_quotes, re.MULTILINE)


def test_a_failure_says_where_what_and_how_to_mend_it() -> None:
    mail = render_failure_mail(MNIST, [LABELS], dag_id="mnist_training", run_id="manual__1")

    assert mail.subject == "MNIST: failed at validate: 12 labels out of range 0..9: first at 17 (value 11)"
    for part in (mail.text, Page(mail.html).text):
        for expected in ("ValidationFailed", LABELS.problem, "To mend it", "correct the data set", "manual__1"):
            assert expected in part
        assert "airflow dags clear mnist_training --run-id manual__1 --yes" in part


def test_the_last_lines_of_the_log_are_shown_if_there_are_any() -> None:
    failed = LABELS.model_copy(update={"log_tail": ("INFO reading", "ERROR <label> 11")})

    mail = render_failure_mail(MNIST, [failed], dag_id="d", run_id="r")

    assert "  | INFO reading\n  | ERROR <label> 11" in mail.text
    assert "ERROR <label> 11" in Page(mail.html).text
    assert "log" not in render_failure_mail(MNIST, [LABELS], dag_id="d", run_id="r").text.lower()


def test_several_failed_steps_are_all_told_and_the_subject_counts_them() -> None:
    steps = [FailedStep(step="train", map_index=i, error="ContainerFailed", problem=f"exit code {i}") for i in (0, 1)]

    mail = render_failure_mail(MNIST, steps, dag_id="mnist_training", run_id="r", airflow_url=AIRFLOW)

    assert mail.subject == "MNIST: failed at train (and 1 more): exit code 0"
    for index in (0, 1):
        assert f"Step train {index}: ContainerFailed\nexit code {index}" in mail.text
        assert f"{AIRFLOW}/dags/mnist_training/runs/r/tasks/train/mapped/{index}" in mail.text


def test_a_long_problem_of_many_lines_gives_its_first_line_to_the_subject_and_all_to_the_mail() -> None:
    failed = FailedStep(step="download", error="DataError", problem="no source worked\n- " + "a" * 500 + "\n- last")

    mail = render_failure_mail(MNIST, [failed], dag_id="d", run_id="r")

    assert mail.subject == "MNIST: failed at download: no source worked"
    assert "- last" in mail.text
    assert "a" * 500 in Page(mail.html).text


@pytest.mark.parametrize(
    ("failed", "subject"),
    [
        (FailedStep(step="train", error="KeyError"), "MNIST: failed at train: KeyError"),
        (FailedStep(step="train"), "MNIST: failed at train: no cause recorded"),
        (None, "MNIST: failed, no cause recorded"),
    ],
)
def test_a_failure_without_a_cause_still_makes_a_mail(failed: FailedStep | None, subject: str) -> None:
    mail = render_failure_mail(MNIST, [failed] if failed else [], dag_id="d", run_id="r")

    assert mail.subject == subject
    assert "airflow dags clear" in mail.text


def test_a_failed_step_travels_as_plain_json() -> None:
    assert FailedStep.checked(LABELS.model_dump(mode="json"), mend="") == LABELS


def test_a_rollback_says_who_is_champion_why_and_how_to_undo_it() -> None:
    mail = render_rollback_mail(MNIST, rollback(), dag_id="mnist_rollback", run_id="manual__1")

    assert mail.subject == f"MNIST: rolled back to {BEFORE}"
    for part in (mail.text, Page(mail.html).text):
        assert "complaints from the field, see ticket <5>" in part
        assert '{"to": "mnist_model_20261124_020001_final"' in part
        assert "98.00% of 2,000 images" in part


def test_a_run_that_goes_on_after_a_failure_says_so_first_and_what_had_failed() -> None:
    earlier = render_failure_mail(MNIST, [LABELS], dag_id="mnist_training", run_id="r").subject

    mail = render_report_mail(RELEASED, IMAGES, earlier_failure=earlier)

    assert mail.subject == "MNIST: recovered, promoted and released: 98.00% on test"
    for part in (mail.text, Page(mail.html).text):
        assert "Recovered: an earlier try failed at validate: 12 labels out of range 0..9" in part
    assert "recovered" not in render_report_mail(RELEASED, IMAGES).text.lower()


def test_an_interrupted_training_is_told_in_the_mail() -> None:
    first, best = KEPT.manifests
    data = replace(KEPT, manifests=(first.model_copy(update={"resumed_after": (2,)}), best))
    mail = render_report_mail(data, IMAGES)

    for part in (mail.text, Page(mail.html).text):
        assert f"Training of {first.name} was interrupted and went on after epoch 2" in part


def test_every_mail_leads_to_the_runs_page() -> None:
    url = f"{AIRFLOW}/dags/d/runs/r"
    mails = [
        render_failure_mail(MNIST, [LABELS], dag_id="d", run_id="r", airflow_url=AIRFLOW),
        render_rollback_mail(MNIST, rollback(), dag_id="d", run_id="r", airflow_url=AIRFLOW),
    ]
    report = render_report_mail(KEPT, IMAGES, airflow_url=AIRFLOW)

    for mail in mails:
        assert f"{url}/plugin/mnist_run" in mail.text
        assert {url, f"{url}/plugin/mnist_run"} <= set(Page(mail.html).references)
    assert any(reference.endswith("/plugin/mnist_run") for reference in Page(report.html).references)
