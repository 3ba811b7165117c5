"""What came from people and from S3 never becomes part of a key, unless it has the form of one."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mnist_tasks.config import PromotionJob, RollbackConfig, RunConfig, Settings, TrainingJob
from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.errors import ConfigurationError
from mnist_tasks.layout import Layout, final_name, run_slug
from tests.hostile import TEXTS
from tests.jobs import JOB

LAYOUT = Layout(MNIST)
NAME = "mnist_model_20261124_020005"
PROMOTION = {"action": "promote", "bucket": "a-bucket", "checkpoints_prefix": "checkpoints", "run": "a-run"}
ROLLBACK = {"to": f"{NAME}_final", "reason": "the field says so"}


@pytest.mark.parametrize("case", TEXTS)
def test_a_run_id_becomes_a_slug_of_plain_characters(case: str) -> None:
    for dag_id, run_id in ((TEXTS[case], "a run"), ("a_dag", TEXTS[case])):
        slug = run_slug(dag_id, run_id)
        assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,56}", slug)
        assert LAYOUT.run(slug, "plan.json") == f"runs/{slug}/plan.json"


@pytest.mark.parametrize("case", TEXTS)
def test_a_name_is_refused_by_every_rule_that_takes_one(case: str) -> None:
    rules = (LAYOUT.weights, LAYOUT.metrics, LAYOUT.manifest, LAYOUT.final_decision, LAYOUT.claim, final_name)
    for name in (TEXTS[case], NAME + TEXTS[case], TEXTS[case] + NAME, f"{NAME}_final{TEXTS[case]}"):
        for rule in (*rules, lambda name: LAYOUT.resume("a-run", name), lambda name: LAYOUT.progress("a-run", name)):
            with pytest.raises(ConfigurationError):
                rule(name)


def test_digits_are_those_of_ascii() -> None:
    name = "mnist_model_\u0662\u0660\u0662\u0666\u0661\u0661\u0662\u0664_020005"
    with pytest.raises(ConfigurationError):
        LAYOUT.manifest(name)
    with pytest.raises(ConfigurationError):
        RollbackConfig.from_params(ROLLBACK | {"to": f"{name}_final"})


@pytest.mark.parametrize("case", TEXTS)
def test_a_hash_of_a_data_set_is_refused_before_it_is_part_of_a_key(case: str) -> None:
    """It comes through XCom, which others may write."""
    for sha256 in (TEXTS[case], "a" * 64 + TEXTS[case], "a" * 63, "A" * 64, "a" * 64 + "\n"):
        with pytest.raises(ConfigurationError, match="64 hexadecimal digits"):
            LAYOUT.dataset(sha256)


@pytest.mark.parametrize("case", TEXTS)
@pytest.mark.parametrize("field", ["bucket", "checkpoints_prefix", "run", "candidate", "dataset_sha256"])
def test_a_training_job_with_it_is_refused(case: str, field: str) -> None:
    content = JOB.model_dump()
    for value in (TEXTS[case], content[field] + TEXTS[case], f"{content[field]}\n"):
        with pytest.raises(ConfigurationError):
            TrainingJob.checked(content | {field: value}, mend="")


@pytest.mark.parametrize("case", TEXTS)
@pytest.mark.parametrize("field", ["action", "bucket", "checkpoints_prefix", "run", "to"])
def test_a_promoters_job_with_it_is_refused(case: str, field: str) -> None:
    content: dict[str, Any] = {**PROMOTION, **ROLLBACK, "action": "rollback"}
    for value in (TEXTS[case], content[field] + TEXTS[case], f"{content[field]}\n"):
        with pytest.raises(ConfigurationError):
            PromotionJob.checked(content | {field: value}, mend="")


@pytest.mark.parametrize("case", TEXTS)
def test_a_rollback_to_it_is_refused(case: str) -> None:
    with pytest.raises(ConfigurationError):
        RollbackConfig.from_params(ROLLBACK | {"to": ROLLBACK["to"] + TEXTS[case]})


UNPRINTABLE = [case for case, text in TEXTS.items() if not text.isprintable() or len(text) > 500]


@pytest.mark.parametrize("case", UNPRINTABLE)
def test_a_reason_that_is_not_plain_text_is_refused(case: str) -> None:
    """It goes into a record for good, and from there into logs, mails, pages and terminals."""
    with pytest.raises(ConfigurationError):
        RollbackConfig.from_params(ROLLBACK | {"reason": f"it is wrong {TEXTS[case]}"})


def test_a_reason_may_have_letters_of_every_alphabet() -> None:
    reason = "zu viele Beschwerden über die 7, voir ticket n° 5, 不准确"
    assert RollbackConfig.from_params(ROLLBACK | {"reason": reason}).reason == reason


@pytest.mark.parametrize("model", [RunConfig, RollbackConfig])
def test_no_parameter_of_a_run_names_an_address_a_file_or_a_bucket(model: Any) -> None:
    """Where data comes from and goes to is the deployment's: a conf that names it is refused."""
    named = [
        name for name in model.model_fields if re.search(r"url|uri|path|file|bucket|key|role|host|definition", name)
    ]
    assert named == []
    for name in set(Settings.model_fields) - set(model.model_fields):
        with pytest.raises(ConfigurationError, match=f"unknown keys .*'{name}'"):
            model.from_params(ROLLBACK if model is RollbackConfig else {}, {name: "https://example.com/x"})
