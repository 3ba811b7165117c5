"""Settings, run parameters and training jobs: defaults are the specification's, bad values are named."""

import pytest
from pydantic import ValidationError

from mnist_tasks.config import RunConfig, Settings, TrainingJob, derived_seed
from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.errors import ConfigurationError
from tests.jobs import JOB


def test_the_defaults_are_the_specifications():
    config = RunConfig()

    assert (config.epochs, config.batch_size) == (10, 32)
    assert Settings.from_environment({}).bucket == "contract-management-bucket-bkvww1ps"


def test_settings_come_from_variables_with_our_prefix():
    settings = Settings.from_environment({"MNIST_BUCKET": "other-bucket", "MNIST_SUBNETS": "subnet-1, subnet-2"})

    assert settings.bucket == "other-bucket"
    assert settings.subnets == ("subnet-1", "subnet-2")


def test_an_empty_variable_counts_as_not_set():
    assert Settings.from_environment({"MNIST_BUCKET": " "}) == Settings.from_environment({})


def test_a_bad_setting_is_named_with_what_came():
    with pytest.raises(ConfigurationError, match=r"bucket: .*came 'No_Bucket'") as caught:
        Settings.from_environment({"MNIST_BUCKET": "No_Bucket"})
    assert "MNIST_..." in caught.value.mend


def test_an_address_that_may_hold_a_secret_is_neither_printed_nor_told_in_an_error():
    definition = MNIST.deployed({"MNIST_DATASET_URL": "https://user:hidden-word@example.com/mnist.npz"})
    assert "hidden-word" in definition.url
    assert "hidden-word" not in repr(definition) + str(definition)

    with pytest.raises(ConfigurationError, match=r"MNIST_DATASET_URL: .*may hold a secret") as caught:
        MNIST.deployed({"MNIST_DATASET_URL": "ftp://user:hidden-word@example.com/mnist.npz"})
    assert "hidden-word" not in str(caught.value)


def test_tasks_get_a_network_only_where_subnets_are_set():
    assert Settings.from_environment({}).network_configuration() is None
    assert Settings.from_environment({"MNIST_SUBNETS": "s", "MNIST_SECURITY_GROUPS": "g"}).network_configuration() == {
        "awsvpcConfiguration": {"subnets": ["s"], "securityGroups": ["g"], "assignPublicIp": "DISABLED"}
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("epochs", 101),
        ("epochs", "many"),
        ("batch_size", 0),
        ("learning_rate", 0),
        ("learning_rate", float("nan")),
        ("learning_rate", 1.5),
        ("learning_rates", [0]),
        ("learning_rates", [0.001, 2]),
        ("learning_rates", [float("nan")]),
        ("learning_rates", ["fast"]),
        ("learning_rates", 0.001),
        ("learning_rates", [0.001] * 17),
        ("candidates", 17),
        ("approval_hours", 0.001),
        ("approval_hours", 25),
        ("validation_images", 60000),
        ("seed", -1),
        ("seed", 2**31),
        ("release_rule", "newest"),
        ("recipients", ["no address"]),
        ("recipients", ["a@example.com\nBcc: b@example.com"]),
        ("recipients", ["a@example.com,b@example.com"]),
    ],
)
def test_a_parameter_outside_its_bounds_is_refused_by_name(name, value):
    with pytest.raises(ConfigurationError, match=name):
        RunConfig.from_params({name: value})


def test_an_unknown_key_in_the_runs_conf_is_refused_and_the_known_ones_are_listed():
    with pytest.raises(ConfigurationError, match=r"'epoch'.*known are epochs, batch_size"):
        RunConfig.from_params({}, {"epoch": 3})


def test_a_run_config_cannot_be_changed():
    with pytest.raises(ValidationError):
        RunConfig().epochs = 3


def test_a_job_survives_the_way_through_the_environment():
    assert TrainingJob.from_environment(JOB.to_environment()) == JOB


def test_a_job_reads_nothing_but_its_own_variables():
    assert TrainingJob.from_environment({**JOB.to_environment(), "MNIST_OTHER": "1", "HOME": "/"}) == JOB


def test_a_missing_variable_is_named():
    environment = JOB.to_environment()
    del environment["MNIST_SEED"]

    with pytest.raises(ConfigurationError, match=r"MNIST_SEED: Field required \(came nothing\)"):
        TrainingJob.from_environment(environment)


def test_a_bad_variable_is_named_as_it_is_set():
    environment = JOB.to_environment() | {"MNIST_EPOCHS": "0", "MNIST_CANDIDATE": "x"}

    with pytest.raises(ConfigurationError) as caught:
        TrainingJob.from_environment(environment)
    assert "MNIST_EPOCHS: Input should be greater than or equal to 1 (came '0')" in caught.value.problem
    assert "MNIST_CANDIDATE: String should match" in caught.value.problem


def test_candidates_take_their_learning_rates_in_turn():
    varied = RunConfig(learning_rates=(0.001, 0.002), learning_rate=0.5)

    assert [varied.learning_rate_of(number) for number in range(5)] == [0.001, 0.002, 0.001, 0.002, 0.001]
    assert [RunConfig(learning_rate=0.5).learning_rate_of(number) for number in range(2)] == [0.5, 0.5]


def test_seeds_depend_on_all_parts_and_fit_31_bits():
    seeds = [derived_seed("run", index) for index in range(100)]

    assert len(set(seeds)) == 100
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert derived_seed("run", 1) != derived_seed("other run", 1)
