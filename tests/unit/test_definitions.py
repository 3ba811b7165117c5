"""Every definition, and what a definition refuses."""

from __future__ import annotations

import difflib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from mnist_tasks.config import RunConfig, TrainingJob
from mnist_tasks.definitions import NAMES, named
from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.errors import ConfigurationError
from mnist_tasks.layout import Layout
from tests.jobs import JOB
from tests.unit.conftest import ROOT

EXAMPLE = ROOT / "examples" / "contracts"


@pytest.mark.parametrize("name", NAMES)
def test_a_name_leads_to_its_own_definition_which_has_keys_of_its_own(name):
    classifier, other = named(name), Layout(MNIST if name != "mnist" else named("contracts"))
    layout = Layout(classifier)
    candidate = f"{name}_model_20261124_020005"

    assert classifier.name == name
    assert candidate in layout.weights(candidate)
    keys = {layout.champion, layout.decision(1), layout.accepted_dataset, layout.run("a-run-12345678", "plan.json")}
    assert keys.isdisjoint(
        {other.champion, other.decision(1), other.accepted_dataset, other.run("a-run-12345678", "plan.json")}
    )
    with pytest.raises(ConfigurationError, match=f"checkpoint of the classifier {name}, not of"):
        other.weights(candidate)


@pytest.mark.parametrize("name", ["os", "mnist_tasks.definitions.mnist", "../mnist", "", "MNIST"])
def test_a_name_that_is_not_listed_leads_nowhere(name):
    with pytest.raises(ConfigurationError, match="there is no classifier"):
        named(name)


def test_a_name_imports_its_own_module_and_no_other():
    code = "import sys; from mnist_tasks.definitions import named; named('mnist'); print('examples' in sys.modules)"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    printed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)

    assert printed.stdout.split() == ["False"]


def test_the_definition_is_all_that_a_container_without_pillow_and_matplotlib_needs():
    code = "import sys; from mnist_tasks.definitions import named; named('contracts'); print(*sys.modules)"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    printed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)

    assert {"PIL", "matplotlib", "tensorflow", "airflow"}.isdisjoint(printed.stdout.split())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"classes": ("a", "a")}, "different names"),
        ({"classes": ("a",)}, "at least 2"),
        ({"image_shape": (6, 28)}, "greater than or equal to 7"),
        ({"training_images": 6000}, "leave none"),
        ({"image_shape": (256, 256), "hidden_units": 256}, r"16,780,042 weights, expected at most 16,711,680: an int"),
        ({"files": ({"name": "x.npz", "sha256": "0" * 64, "size": 2**28 + 1},)}, "less than or equal to 268435456"),
        ({"name": "Mnist"}, "pattern"),
        ({"recipients": ()}, "at least 1"),
        ({"url": "", "source": None}, "comes from somewhere"),
        ({"url": "ftp://example.com/x.npz"}, "pattern"),
        ({"validation": MNIST.validation.model_copy(update={"max_class_share": 0.09})}, "can all have"),
        ({"surprise": 1}, "Extra inputs"),
    ],
)
def test_a_definition_that_cannot_be_is_refused(changes, words):
    with pytest.raises(ValidationError, match=words):
        type(MNIST).model_validate(dict(MNIST) | changes)


def test_the_default_run_is_held_against_the_data_set_as_any_other_is():
    MNIST.check(RunConfig(validation_images=30_000))
    with pytest.raises(ConfigurationError, match=r"5,000 validation images leave none of the 5,000 .* at most 4,999"):
        named("contracts").check(RunConfig(validation_images=5000))


def test_a_definition_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        MNIST.name = "other"


def test_a_deployment_says_otherwise_by_variables_of_the_classifiers_own():
    environment = {
        "CONTRACTS_SCHEDULE": "0 4 * * *",
        "CONTRACTS_MAIL_TO": "a@example.com, b@example.com",
        "CONTRACTS_DATASET_URL": "file:///data/contracts.npz",
        "MNIST_SCHEDULE": "",
    }
    changed = named("contracts").deployed(environment)

    assert (changed.schedule, changed.url) == ("0 4 * * *", "file:///data/contracts.npz")
    assert changed.recipients == ("a@example.com", "b@example.com")
    assert MNIST.deployed(environment) == MNIST


def test_a_variable_with_a_bad_value_is_called_by_its_name():
    with pytest.raises(ConfigurationError, match=r"CONTRACTS_MAIL_TO.*nobody"):
        named("contracts").deployed({"CONTRACTS_MAIL_TO": "nobody"})


def test_a_job_of_before_there_were_others_is_mnists():
    old = JOB.model_dump(exclude={"classifier"})

    assert TrainingJob.model_validate(old) == JOB
    with pytest.raises(ValidationError, match="no candidate of the classifier contracts"):
        TrainingJob.model_validate(old | {"classifier": "contracts"})


def test_what_a_reader_has_to_compare_is_less_than_150_lines():
    """Definition and DAG files of both, without the program that draws the pages."""
    mnist = source(inspect.getfile(type(MNIST)).replace("classifier.py", "definitions/mnist.py"))
    mnist += source(ROOT / "dags" / "mnist_training.py") + source(ROOT / "dags" / "mnist_rollback.py")
    contracts = source(EXAMPLE / "classifier.py") + source(EXAMPLE / "dags" / "contracts.py")
    changed = [line for line in difflib.ndiff(mnist, contracts) if line[:2] in {"- ", "+ "} and line[2:].strip()]

    assert 0 < len(changed) < 150


def source(path: str | Path) -> list[str]:
    return Path(path).read_text().splitlines()
