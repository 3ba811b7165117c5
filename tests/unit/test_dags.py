"""The wiring: exact edges, the form, retries, and what parsing costs."""

import pytest

from mnist_tasks.definitions import NAMES, named
from tests.unit.conftest import ROOT

# Each classifier has its two DAGs here; an example's stand beside it.
OWN = [name for name in NAMES if not (ROOT / "examples" / name).is_dir()]
TRAINING_EDGES = {
    "download": ["email_failure", "validate"],
    "validate": ["email_failure", "plan"],
    "plan": ["email_failure", "train"],
    "train": ["email_failure", "pick_best"],
    "pick_best": ["approve", "email_failure"],
    "approve": ["email_failure", "promote"],
    "promote": ["email_failure", "report"],
    "report": ["email_failure", "email_report"],
    "email_report": [],
    "email_failure": [],
}


DAGS = ["mnist_sweep", *(f"{name}_{what}" for name in OWN for what in ("training", "rollback"))]


@pytest.fixture(scope="module")
def training(parsed):
    return parsed["dags"]["mnist_training"]


@pytest.fixture(scope="module")
def rollback(parsed):
    return parsed["dags"]["mnist_rollback"]


def test_the_dag_folder_has_no_import_error(parsed):
    assert parsed["errors"] == {}
    assert sorted(parsed["dags"]) == sorted(DAGS)


def test_the_dags_of_the_example_are_those_of_mnist_under_another_name(parse, parsed):
    """Same steps, same edges, same kinds of task: what differs stands in the definition."""
    found = parse(ROOT / "examples" / "contracts" / "dags")

    assert found["errors"] == {}
    assert sorted(found["dags"]) == ["contracts_rollback", "contracts_training"]
    for what in ("training", "rollback"):
        ours, mnists = found["dags"][f"contracts_{what}"], parsed["dags"][f"mnist_{what}"]
        assert without_outlets(ours) == without_outlets(mnists)
        assert ours["tags"] == sorted({"contracts", what})
    assert found["dags"]["contracts_training"]["schedule"] == named("contracts").schedule
    assert found["dags"]["contracts_training"]["params"]["validation_images"]["default"] == 1000


def without_outlets(dag):
    return {name: task | {"outlets": len(task["outlets"])} for name, task in dag["tasks"].items()}


@pytest.mark.parametrize("module", ["tensorflow", "keras", "numpy", "matplotlib", "h5py", "aws_encryption_sdk"])
def test_parsing_does_not_import_what_is_heavy(parsed, module):
    assert [name for name in parsed["modules"] if name.split(".")[0] == module] == []


def test_parsing_makes_no_aws_client(parsed):
    assert parsed["clients"] == []


def test_the_edges_of_the_training_pipeline_are_exactly_these(training):
    assert {name: task["downstream"] for name, task in training["tasks"].items()} == TRAINING_EDGES


def test_training_is_an_ecs_task_for_each_candidate(training):
    assert training["tasks"]["train"]["mapped"]
    assert training["tasks"]["train"]["type"] == "EcsWorkOperator"
    assert [name for name, task in training["tasks"].items() if task["mapped"]] == ["train"]


def test_what_decides_is_an_ecs_task_of_its_own(training, rollback):
    """Airflow's workers read no weights and write no final."""
    assert training["tasks"]["promote"]["type"] == "EcsWorkOperator"
    assert rollback["tasks"]["rollback"]["type"] == "EcsWorkOperator"


def test_a_person_is_asked_between_the_choice_and_the_promotion_by_one_step_that_most_runs_skip(training):
    assert [name for name, task in training["tasks"].items() if task["type"] == "AskOperator"] == ["approve"]
    assert training["params"]["approval_hours"]["default"] is None


def test_a_failed_step_fails_the_run(training):
    """The mail of a failure hangs beside the chain, not at its end, where its success would turn the run green."""
    leaves = {name for name, task in training["tasks"].items() if not task["downstream"]}

    assert leaves == {"email_report", "email_failure"}
    assert training["tasks"]["email_failure"]["trigger_rule"] == "one_failed"
    # Where nobody is asked for an approval, `approve` is skipped.
    assert training["tasks"]["promote"]["trigger_rule"] == "none_failed"
    others = {
        rule["trigger_rule"] for name, rule in training["tasks"].items() if name not in {"email_failure", "promote"}
    }
    assert others == {"all_success"}


def test_the_longest_wait_for_a_person_fits_into_a_run(training):
    hours = training["params"]["approval_hours"]["schema"]["maximum"]

    assert training["timeout"] >= (hours + 6) * 3600


def test_it_runs_every_night_in_utc_once_and_makes_up_for_nothing(training):
    assert training["schedule"] == "0 2 * * *"
    assert training["timezone"] == "UTC"
    assert training["start_date"] is None
    assert training["catchup"] is False
    assert training["max_active_runs"] == 1
    assert training["timeout"] > 0


@pytest.mark.parametrize("dag", DAGS)
def test_every_dag_says_what_it_is_and_whose(parsed, dag):
    described = parsed["dags"][dag]

    assert len(described["doc"]) > 200
    assert described["description"]
    assert dag.rpartition("_")[0] in described["tags"]
    assert {task["owner"] for task in described["tasks"].values()} == {"mnist"}


@pytest.mark.parametrize("dag", DAGS)
def test_no_step_makes_more_than_one_xcom_of_what_it_returns(parsed, dag):
    """Each costs a request and a row, and nobody reads one of a part."""
    assert [name for name, task in parsed["dags"][dag]["tasks"].items() if task["unrolled"]] == []


@pytest.mark.parametrize("dag", DAGS)
def test_only_what_can_pass_is_tried_again(parsed, dag):
    for name, task in parsed["dags"][dag]["tasks"].items():
        assert task["retries"] == 2, name
        assert task["longest_wait"] == 120, name  # seconds; a run that was cleared many times waits no longer
        assert task["rules"] == [
            ["mnist_tasks.errors.TemporaryError,mnist_tasks.errors.Conflict", "retry"],
            ["mnist_tasks.errors.MnistError", "fail"],
        ], name


def test_the_outlets_are_the_data_set_and_on_release_the_champion(training):
    outlets = {name: task["outlets"] for name, task in training["tasks"].items() if task["outlets"]}

    bucket = "s3://contract-management-bucket-bkvww1ps"
    assert outlets == {"download": [f"{bucket}/datasets/mnist"], "promote": ["mnist-released"]}


def test_the_form_has_the_specifications_defaults(training):
    assert {name: param["default"] for name, param in training["params"].items()} == {
        "epochs": 10,
        "batch_size": 32,
        "learning_rate": 0.001,
        "learning_rates": [],
        "candidates": 2,
        "validation_images": 6000,
        "seed": None,
        "release_rule": "better",
        "approval_hours": None,
        "recipients": [],
    }


def test_every_field_of_the_forms_is_described_typed_and_bounded(training, rollback):
    for name, param in {**training["params"], **rollback["params"]}.items():
        schema = param["schema"]
        assert param["description"], name
        assert schema["title"], name
        assert schema["type"], name
        bounds = {"minimum", "exclusiveMinimum", "enum", "maxItems", "pattern", "maxLength"}
        assert bounds & set(schema), name


def test_an_empty_seed_is_allowed_by_the_form(training):
    assert training["params"]["seed"]["schema"]["type"] == ["integer", "null"]


def test_the_rollback_asks_for_a_final_and_a_reason_and_has_no_schedule(rollback):
    assert set(rollback["params"]) == {"to", "reason"}
    assert rollback["schedule"] is None
    assert rollback["max_active_runs"] == 1


def test_the_rollback_does_not_wait_to_be_switched_on(rollback):
    assert rollback["paused_at_first"] is False
