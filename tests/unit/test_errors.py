"""The error family: what a person reads, and what deserves a retry."""

import pickle

import pytest

from mnist_tasks import errors


def test_an_error_says_what_happened_and_how_to_mend_it():
    error = errors.DataError("came 3, expected 4", mend="send 4")

    assert str(error) == "came 3, expected 4\n  To mend it: send 4"


def test_an_error_without_a_cure_is_its_problem_alone():
    assert str(errors.DataError("came 3, expected 4")) == "came 3, expected 4"


def test_an_error_survives_the_way_to_another_process():
    error = pickle.loads(pickle.dumps(errors.GateFailed("0.91 < 0.975", mend="train longer")))

    assert (type(error), error.problem, error.mend) == (errors.GateFailed, "0.91 < 0.975", "train longer")


@pytest.mark.parametrize("kind", [errors.TemporaryError, errors.Conflict])
def test_what_may_pass_on_its_own_deserves_a_retry(kind):
    assert errors.is_temporary(kind("x"))


@pytest.mark.parametrize(
    "kind",
    [
        errors.AttestationRefused,
        errors.ConfigurationError,
        errors.ContainerFailed,
        errors.DataError,
        errors.GateFailed,
        errors.IntegrityError,
        errors.NotFoundError,
        errors.ValidationFailed,
        ValueError,
    ],
)
def test_what_would_only_fail_again_does_not(kind):
    assert not errors.is_temporary(kind("x"))


def test_the_docstring_draws_the_whole_family():
    family = {
        name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, errors.MnistError)
    }

    assert {name for name in family if name not in (errors.__doc__ or "")} == set()
