"""S3 keys are those of the design, and nothing that a person typed gets into one unchecked."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.errors import ConfigurationError
from mnist_tasks.layout import Layout, candidate_name, checked_name, final_name, is_final, run_slug

NAME = "mnist_model_20261124_020005"


def test_a_candidate_is_named_after_the_second_it_was_claimed_in():
    assert candidate_name(datetime(2026, 11, 24, 2, 0, 5, tzinfo=UTC)) == NAME


def test_names_are_in_utc_wherever_the_machine_stands():
    east = timezone(timedelta(hours=9))

    assert candidate_name(datetime(2026, 11, 24, 11, 0, 5, tzinfo=east)) == NAME


def test_a_final_is_the_candidate_with_a_suffix():
    assert final_name(NAME) == f"{NAME}_final"
    assert is_final(f"{NAME}_final")
    assert not is_final(NAME)


def test_the_keys_are_those_of_the_design():
    layout = Layout(MNIST)

    assert layout.dataset("ab" * 32) == f"datasets/mnist/{'ab' * 32}/mnist.npz"
    assert layout.weights(NAME) == f"checkpoints/{NAME}/weights"
    assert layout.metrics(NAME) == f"checkpoints/{NAME}/metrics.json"
    assert layout.manifest(f"{NAME}_final") == f"checkpoints/{NAME}_final/manifest.json"
    assert layout.champion == "checkpoints/champion.json"
    assert layout.decision(7) == "decisions/00000007.json"
    assert layout.run("a-slug", "plan.json") == "runs/a-slug/plan.json"


@pytest.mark.parametrize("name", ["", "../x", "mnist_model_2026", f"{NAME}_final_final", f"{NAME}/../x", f"{NAME}\n"])
def test_a_name_of_another_form_never_becomes_a_key(name):
    with pytest.raises(ConfigurationError, match="mnist_model_YYYYMMDD_HHMMSS"):
        checked_name(name)


def test_a_final_cannot_be_promoted_again():
    with pytest.raises(ConfigurationError):
        final_name(f"{NAME}_final")


@given(st.text(), st.text())
def test_a_slug_is_a_safe_key_part_whatever_the_run_is_called(dag_id, run_id):
    slug = run_slug(dag_id, run_id)

    assert set(slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert 8 <= len(slug) <= 57
    assert not slug.startswith("-")


def test_runs_that_look_alike_get_different_slugs():
    assert len({run_slug("d", "a b"), run_slug("d", "a-b"), run_slug("e", "a b"), run_slug("d", "A B")}) == 4
