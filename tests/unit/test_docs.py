"""What the documents say is what the code does."""

import re
from pathlib import Path

import pytest
import typer.main

from mnist_tasks.cli.app import app
from mnist_tasks.cli.group import EXIT_STATUS
from mnist_tasks.config import Settings
from mnist_tasks.definitions.mnist import MNIST

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize(("name", "field"), list(Settings.model_fields.items()))
def test_the_readme_lists_every_setting_with_its_default(name, field):
    default = ",".join(field.default) if isinstance(field.default, tuple) else str(field.default)

    (line,) = [line for line in README.splitlines() if line.startswith(f"| `MNIST_{name.upper()}` |")]
    assert field.description in line
    assert f"`{default}`" in line if default else line.endswith("|  |")


@pytest.mark.parametrize(
    ("variable", "default"),
    [
        ("MNIST_MAIL_TO", ",".join(MNIST.recipients)),
        ("MNIST_DATASET_URL", MNIST.url),
        ("MNIST_SCHEDULE", MNIST.schedule),
    ],
)
def test_the_readme_lists_what_a_deployment_may_change_of_the_definition(variable, default):
    (line,) = [line for line in README.splitlines() if line.startswith(f"| `{variable}` |")]
    assert f"`{default}`" in line


def test_every_make_target_is_explained_and_every_target_the_readme_names_exists():
    makefile = (ROOT / "Makefile").read_text()
    explained = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    declared = set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split())

    assert explained == declared
    assert set(re.findall(r"`?make ([a-z-]+)\b(?! sure)", README)) <= explained


def test_the_readme_explains_every_command_and_exit_status_of_the_command_line():
    commands = typer.main.get_command(app).commands

    assert re.findall(r"^\| `mnist (\w+)", README, re.MULTILINE) == list(commands)
    assert re.findall(r"^\| (\d+) \| ", README, re.MULTILINE) == re.findall(r"[:;] (\d+) ", EXIT_STATUS)
