"""The report's steps on S3, after real decisions about candidates that were trained in a second."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mnist_tasks import validation
from mnist_tasks.cost import Prices
from mnist_tasks.dataset import Dataset
from mnist_tasks.definitions.mnist import MNIST, REBUILT_FILE
from mnist_tasks.encryption import Encryption
from mnist_tasks.errors import GateFailed, IntegrityError, NotFoundError
from mnist_tasks.layout import Layout, run_slug
from mnist_tasks.notify import build_message
from mnist_tasks.promotion.chain import Chain
from mnist_tasks.promotion.promote import promote
from mnist_tasks.promotion.release import rollback
from mnist_tasks.report import compose_mail, compose_rollback_mail, publish
from mnist_tasks.storage import Storage
from tests.candidates import nudged, train, train_run
from tests.faults import Killed, mortal
from tests.lenient import judged_by

LAYOUT = Layout(MNIST)
PRICES = Prices(0.04048, 0.004445, 0.3)
NOW = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
FIRST, SECOND, WEAK = (run_slug("mnist_training", run_id) for run_id in ("first", "second", "weak"))
BACK = run_slug("mnist_rollback", "by hand")
PLOTS = {"accuracy", "loss", "recall", "confusion", "mistakes", "calibration"}


@pytest.fixture(scope="module")
def nights(
    aws: Callable[[str], Any],
    chain_of: Callable[[Storage], Chain],
    encryption: Encryption,
    mnist: Dataset,
    mnist_file: bytes,
) -> Chain:
    """A bucket after four decisions: a first champion, one too close to it, one below the gates, a rollback."""
    storage = Storage(aws("s3"), f"test-{uuid.uuid4().hex}")
    storage.client.create_bucket(Bucket=storage.bucket)
    chain = chain_of(storage)
    storage.put(LAYOUT.dataset(REBUILT_FILE.sha256), mnist_file)
    model = train(mnist, seed=1, steps=200)
    easy = judged_by(chain, accuracy=0.85, recall=0.5)
    models = {"first": [model], "second": [nudged(model), model], "weak": [model]}
    for night, (run_id, candidates) in enumerate(models.items()):
        now, slug = NOW + timedelta(days=night), run_slug("mnist_training", run_id)
        validation.run(storage, LAYOUT, slug, REBUILT_FILE.sha256, now)
        data = {"dataset": mnist, "dataset_sha256": REBUILT_FILE.sha256}
        train_run(storage, encryption, LAYOUT, run_id, candidates, **data, now=now)
        if slug == WEAK:
            with pytest.raises(GateFailed):
                promote(judged_by(chain, accuracy=0.999), encryption, slug, now=now)
        else:
            promote(easy, encryption, slug, now=now)
            publish(chain, slug, PRICES)
    kept = storage.get(f"runs/{SECOND}/report.json").json()["final"]["name"]
    rollback(chain, encryption, to=kept, reason="the field says so", slug=BACK, now=now)
    return chain


def watched(chain: Chain, *, fatal: int = 0) -> Chain:
    """The same decisions through a client that dies."""
    return replace(chain, storage=mortal(chain.storage, fatal=fatal))


def calls(chain: Chain) -> list[tuple[str, str]]:
    """What went through a `watched` chain."""
    found: list[tuple[str, str]] = chain.storage.client.calls  # type: ignore[attr-defined]
    return found


def test_page_json_and_plots_are_written_below_the_runs_own_prefix_and_the_json_last(nights: Chain) -> None:
    counting = watched(nights)

    keys = publish(counting, FIRST, PRICES)

    written = [key for operation, key in calls(counting) if operation == "put_object"]
    assert keys == {"html": f"runs/{FIRST}/report.html", "json": f"runs/{FIRST}/report.json"}
    assert set(written) == {*keys.values(), *(f"runs/{FIRST}/plots/{name}.png" for name in {*PLOTS, "digits"})}
    assert written[-1] == keys["json"]


def test_what_is_written_is_the_run(nights: Chain) -> None:
    page = nights.storage.client.get_object(Bucket=nights.storage.bucket, Key=f"runs/{FIRST}/report.html")
    report = nights.storage.get(f"runs/{FIRST}/report.json").json()

    assert page["ContentType"] == "text/html; charset=utf-8"
    assert "this model is the first champion" in page["Body"].read().decode()
    assert (report["outcome"], report["test"]["images"]) == ("released", 10_000)
    bins = report["decision"]["evaluation"]["calibration"]
    assert sum(part["images"] for part in bins) == 10_000
    assert report["champion"]["after"] == report["final"]["name"] == "mnist_model_20261124_020000_final"


def test_published_again_after_later_decisions_the_report_is_the_same_to_the_byte(nights: Chain) -> None:
    names = ["report.html", "report.json", *(f"plots/{name}.png" for name in PLOTS)]
    before = [nights.storage.get(f"runs/{FIRST}/{name}").body for name in names]

    publish(nights, FIRST, PRICES)

    assert [nights.storage.get(f"runs/{FIRST}/{name}").body for name in names] == before


def test_the_mail_about_a_kept_champion_carries_the_published_plots(nights: Chain) -> None:
    def stored(name: str) -> bytes:
        return nights.storage.get(f"runs/{SECOND}/{name}").body

    mail = compose_mail(nights, SECOND, airflow_url="https://airflow.example.com")

    assert mail.subject == "MNIST: promoted, champion kept: too close to tell"
    assert mail.images == {f"{name}@plots": stored(f"plots/{name}.png") for name in PLOTS}
    message = build_message(mail, sender="m@example.com", recipients=["t@example.com"], message_id="<a@b>", date=NOW)
    assert len([part for part in message.walk() if part.get_content_type() == "image/png"]) == len(PLOTS)


def test_a_rejected_run_can_be_reported_too(nights: Chain) -> None:
    publish(nights, WEAK, PRICES)

    assert compose_mail(nights, WEAK).subject.startswith("MNIST: not promoted: test accuracy")


def test_killed_before_the_json_there_is_no_report_and_the_next_try_completes_it(nights: Chain) -> None:
    counting = watched(nights)
    publish(counting, FIRST, PRICES)
    nights.storage.client.delete_object(Bucket=nights.storage.bucket, Key=f"runs/{FIRST}/report.json")

    with pytest.raises(Killed):
        publish(watched(nights, fatal=len(calls(counting))), FIRST, PRICES)
    with pytest.raises(NotFoundError, match=r"report\.json"):
        compose_mail(nights, FIRST)

    publish(nights, FIRST, PRICES)
    assert compose_mail(nights, FIRST).subject.startswith("MNIST: promoted and released")


def test_the_number_of_calls_grows_with_the_runs_candidates_and_with_nothing_else(nights: Chain) -> None:
    def mailed(slug: str) -> int:
        counting = watched(nights)
        compose_mail(counting, slug)
        return len(calls(counting))

    publish(nights, WEAK, PRICES)
    # Two objects for a candidate; the weak run has no final, and no record comes before its own that it would read.
    assert mailed(SECOND) - mailed(FIRST) == 2
    assert mailed(FIRST) - mailed(WEAK) == 1


def test_a_run_without_plan_or_decision_has_no_report_and_the_error_says_what_is_missing(
    nights: Chain, encryption: Encryption, mnist: Dataset
) -> None:
    with pytest.raises(NotFoundError, match="has no plan"):
        publish(nights, "unknown-run", PRICES)

    model = train(mnist, seed=1, steps=1)
    data = {"dataset": mnist, "dataset_sha256": REBUILT_FILE.sha256}
    train_run(nights.storage, encryption, LAYOUT, "undecided", [model], **data, now=NOW)
    with pytest.raises(NotFoundError, match="has no decision yet"):
        publish(nights, run_slug("mnist_training", "undecided"), PRICES)


@pytest.mark.parametrize("name", ["plots/loss.png", "report.json", "validation.json", "plan.json"])
def test_whatever_was_changed_in_the_bucket_is_found_before_it_is_mailed(nights: Chain, name: str) -> None:
    key = f"runs/{FIRST}/{name}"
    original = nights.storage.get(key).body
    nights.storage.put(key, b"{}")
    try:
        with pytest.raises(IntegrityError, match=name):
            compose_mail(nights, FIRST)
    finally:
        nights.storage.put(key, original)


def test_a_rollback_is_mailed_with_its_reason_and_the_way_back(nights: Chain) -> None:
    mail = compose_rollback_mail(nights, BACK, dag_id="mnist_rollback", run_id="by hand")

    assert mail.subject.startswith("MNIST: rolled back to mnist_model_20261125_")
    assert "the field says so" in mail.text
    assert '"to": "mnist_model_20261124_020000_final"' in mail.text
