"""What infra/monitoring.yaml waits for is what the containers write: other names, and nobody ever hears an alarm."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from mnist_tasks import events
from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.errors import ConfigurationError
from mnist_tasks.history import Epoch, History, Running
from mnist_tasks.layout import Layout
from mnist_tasks.promotion import telling as promoter
from mnist_tasks.promotion.decisions import Decision
from mnist_tasks.storage import Storage
from mnist_tasks.training.telling import Telling
from tests.container import ROOT, job_for
from tests.decided_run import FIRST, KEPT, REJECTED, RELEASED, rollback
from tests.told import told_events
from tools.iam.template import Template

MONITORING = Template.read(ROOT / "infra" / "monitoring.yaml").body["Resources"]
DASHBOARD = MONITORING["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
DECISIONS = {
    "first": FIRST.decision, "released": RELEASED.decision, "kept": KEPT.decision, "rejected": REJECTED.decision,
}  # fmt: skip


@pytest.fixture(scope="module")
def written() -> list[dict[str, Any]]:
    """An event of every kind that has figures, and errors, from both containers."""
    epoch = Epoch(epoch=1, seconds=1, loss=0.5, accuracy=0.9, validation_loss=0.4, validation_accuracy=0.92)
    start = Running(batch=1, images=32, loss=2.4, accuracy=0.1)
    history = History(start=(start,), epochs=(epoch,), seconds=1, peak_memory_mb=1)
    job = job_for("a-bucket")
    with told_events(run=job.run, candidate=job.candidate) as trainer:
        telling = Telling(Storage(_Nowhere(), "a-bucket"), Layout(MNIST), job, images=54_000)  # type: ignore[arg-type]
        telling.running(start)
        telling.epoch(history)
        telling.end(history)
    with told_events(run=job.run, action="promote") as promotion:
        for decision in DECISIONS.values():
            promoter.tell(decision)
        events.fail(ConfigurationError("what", mend="how"))
        events.fail(ValueError("why"))
    return trainer + promotion


class _Nowhere:
    def put_object(self, **_: object) -> None: ...


def metrics(written: list[dict[str, Any]]) -> set[tuple[str, str]]:
    directives = [directive for event in written if "_aws" in event for directive in event["_aws"]["CloudWatchMetrics"]]
    assert {json.dumps(directive["Dimensions"]) for directive in directives} == {"[[]]"}
    return {(d["Namespace"], metric["Name"]) for d in directives for metric in d["Metrics"]}


def test_every_alarm_looks_at_a_metric_that_a_container_writes(written: list[dict[str, Any]]) -> None:
    alarms = [r["Properties"] for r in MONITORING.values() if r["Type"] == "AWS::CloudWatch::Alarm"]
    assert len(alarms) == 3
    for alarm in alarms:
        assert (alarm["Namespace"], alarm["MetricName"]) in metrics(written)
        assert "Dimensions" not in alarm


def test_every_widget_shows_a_metric_that_a_container_writes(written: list[dict[str, Any]]) -> None:
    widgets = json.loads(re.sub(r"\$\{[\w.:]+\}", "1", DASHBOARD))["widgets"]
    shown = [tuple(metric) for widget in widgets for metric in widget["properties"].get("metrics", [])]
    assert len(shown) >= 6
    assert set(shown) <= metrics(written)


def test_every_query_asks_for_fields_that_a_container_writes(written: list[dict[str, Any]]) -> None:
    fields = {name for event in written for name in event}
    queries = [r["Properties"]["QueryString"] for r in MONITORING.values() if r["Type"] == "AWS::Logs::QueryDefinition"]
    (shown,) = re.findall(r'"query": "SOURCE [^|]*\| ([^"]*)"', DASHBOARD)
    assert len(queries) == 4
    for query in [*queries, shown]:
        asked = _fields_of(query)
        assert asked
        assert asked <= fields, query


def _fields_of(query: str) -> set[str]:
    """The names in a query that are no word of its language, no string and no field of CloudWatch's own."""
    bare = re.sub(r'#[^\n]*|"[^"]*"|/(?:\\.|[^/\n])*/|@\w+', " ", query)
    language = {
        "filter", "fields", "sort", "asc", "desc", "limit", "stats", "by", "or", "and", "like", "ispresent", "avg",
        "max", "count", "bin", "as",
    }  # fmt: skip
    return set(re.findall(r"\b[a-z_]+\b", bare)) - language


@pytest.mark.parametrize(
    ("outcome", "promoted", "released"), [("first", 1, 1), ("released", 1, 1), ("kept", 1, 0), ("rejected", 0, 0)]
)
def test_a_decision_is_one_event_with_the_figures_of_its_outcome(outcome: str, promoted: int, released: int) -> None:
    event, decision = _told(DECISIONS[outcome]), DECISIONS[outcome]
    assert (event["promoted"], event["released"], event["test_accuracy"]) == (
        promoted,
        released,
        decision.evaluation.accuracy,
    )
    assert (event["outcome"], event["candidate"], event["decision"]) == (
        decision.outcome,
        decision.candidate,
        decision.sequence,
    )
    assert decision.outcome in event["message"]


@pytest.mark.parametrize(
    "statements",
    [
        MONITORING["AlarmKey"]["Properties"]["KeyPolicy"]["Statement"],
        MONITORING["AlarmsPolicy"]["Properties"]["PolicyDocument"]["Statement"],
    ],
    ids=["key", "topic"],
)
def test_events_reach_the_topic_without_a_condition_that_they_cannot_meet(statements: list[dict[str, Any]]) -> None:
    """EventBridge says nothing about the account to SNS's keys and topics; CloudWatch does."""
    services = {s["Principal"]["Service"]: s for s in statements if "Service" in s["Principal"]}

    assert "Condition" not in services["events.amazonaws.com"]
    assert "aws:SourceAccount" in services["cloudwatch.amazonaws.com"]["Condition"]["StringEquals"]


def test_a_rollback_moves_no_metric() -> None:
    """It measures nothing new; counted as a promotion, it would silence the alarm about a night without one."""
    event = _told(rollback())
    assert event["outcome"] == "rolled_back"
    assert not {"_aws", "promoted", "test_accuracy"} & event.keys()


def _told(decision: Decision) -> dict[str, Any]:
    with told_events(run=decision.run, action="promote") as told:
        promoter.tell(decision)
    (event,) = told
    return event


def test_the_error_query_finds_what_cannot_be_told_as_an_event() -> None:
    """faulthandler's words when the time is up, and the interpreter's own."""
    query = MONITORING["QueryOfErrors"]["Properties"]["QueryString"]
    (pattern,) = re.findall(r"@message like /(.*)/", query)
    assert re.search(pattern, "Timeout (0:00:03)!")
    assert re.search(pattern, "Fatal Python error: Segmentation fault")
    assert not re.search(pattern, '{"level": "info"}')
