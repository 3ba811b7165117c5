"""One event a line: what is in it for machines, what people see of it, and what CloudWatch makes metrics of."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from mnist_tasks import events
from mnist_tasks.errors import ConfigurationError
from mnist_tasks.events import JsonLines, Sentences, read, sentence
from tests.told import events_in, told, told_events

ABOUT = {"run": "a-run-1", "candidate": "mnist_model_20261124_020005"}


def test_each_line_says_when_what_and_of_which_run_and_candidate() -> None:
    with told_events(**ABOUT) as lines:
        events.tell("epoch", "epoch 1/10", epoch=1)
        events.warn("progress not stored", "S3 did not answer")
        events.fail(ConfigurationError("no such key", mend="name another"))
    for line in lines:
        assert abs((datetime.fromisoformat(line["time"]) - datetime.now(UTC)).total_seconds()) < 60
        assert ABOUT.items() <= line.items()
        assert "_aws" not in line
    assert [(line["level"], line["event"], line["message"]) for line in lines] == [
        ("info", "epoch", "epoch 1/10"),
        ("warning", "progress not stored", "S3 did not answer"),
        ("error", "failed", "no such key"),
    ]
    assert lines[0]["epoch"] == 1
    assert (lines[2]["error"], lines[2]["mend"]) == ("ConfigurationError", "name another")


def test_figures_are_fields_and_metrics_without_dimensions() -> None:
    with told_events(**ABOUT) as lines:
        events.tell("trained", "done", figures={"training_seconds": 4.5, "loss": 0.1}, best_epoch=3)
    (line,) = lines
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert (line["training_seconds"], line["loss"], line["best_epoch"]) == (4.5, 0.1, 3)
    assert directive == {
        "Namespace": "mnist",
        "Dimensions": [[]],
        "Metrics": [{"Name": "training_seconds", "Unit": "Seconds"}, {"Name": "loss", "Unit": "None"}],
    }
    assert line["_aws"]["Timestamp"] / 1000 == pytest.approx(datetime.now(UTC).timestamp(), abs=60)


def test_an_error_that_nobody_foresaw_is_one_line_with_its_traceback_in_a_field() -> None:
    with told(JsonLines(ABOUT)) as lines:
        try:
            _ = {}["nothing"]
        except KeyError as error:
            events.fail(error)
    (line,) = lines
    event = json.loads(line)
    assert (event["error"], event["message"]) == ("KeyError", "KeyError('nothing')")
    assert event["traceback"].startswith("Traceback (most recent call last):\n")
    assert event["traceback"].endswith("KeyError: 'nothing'")
    assert "mend" not in event


@pytest.mark.parametrize("hostile", ['"}\n{"level": "error"', "\u2028 \x1b[31m", "100% %s", "ü" * 10])
def test_whatever_is_told_stays_one_line_and_comes_back_as_it_was(hostile: str) -> None:
    with told(JsonLines({"run": hostile})) as lines:
        events.tell("epoch", hostile)
    (line,) = lines
    assert line.isprintable()
    assert (json.loads(line)["message"], json.loads(line)["run"]) == (hostile, hostile)


def test_what_a_container_is_about_is_cut_before_it_was_checked() -> None:
    with told_events(run="r" * 10_000) as lines:
        events.tell("x", "y")
    assert lines[0]["run"] == "r" * 100


def test_a_terminal_gets_the_sentence_and_an_error_with_its_cure() -> None:
    with told(Sentences()) as lines:
        events.tell("epoch", "epoch 1/10", figures={"loss": 0.1})
        events.fail(ConfigurationError("no such key", mend="name another"))
    assert lines == ["epoch 1/10", "error: no such key\n  To mend it: name another"]


def test_the_sentence_is_found_again_in_a_line_of_the_log() -> None:
    with told(JsonLines(ABOUT)) as lines, told(Sentences()) as sentences:
        events.tell("epoch", "epoch 1/10", figures={"loss": 0.1})
        events.fail(ConfigurationError("no such key", mend="name another"))
        events.fail(ValueError("why"))
    assert [sentence(line) for line in lines] == sentences


@pytest.mark.parametrize("line", ["", "plain", "{", "7", "[1]", "{}", '{"message": 7}', "Timeout (0:00:03)!"])
def test_a_line_that_is_no_event_is_shown_as_it_is(line: str) -> None:
    assert read(line) is None
    assert sentence(line) == line


def test_what_libraries_warn_of_is_an_event_of_the_run_too() -> None:
    """In a process of its own: Python has one root logger."""
    code = (
        "from mnist_tasks import events; import logging, warnings; events.start(run='a-run');"
        "logging.getLogger('botocore').warning('slow %s', 1); logging.getLogger('botocore').info('not this');"
        "warnings.warn('old'); events.tell('last', 'the end')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second, last = events_in(done.stdout)
    assert (first["event"], first["level"], first["message"]) == ("botocore", "warning", "slow 1")
    assert (second["event"], "old" in second["message"]) == ("py.warnings", True)
    assert (last["event"], last["level"]) == ("last", "info")
    assert {line["run"] for line in (first, second, last)} == {"a-run"}
    assert done.stderr == ""
