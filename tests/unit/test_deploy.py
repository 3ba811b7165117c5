"""What a deployment does, and in which order."""

import pytest

from tools.deploy.__main__ import main
from tools.deploy.steps import Deployed, Options, deploy


class Recorder:
    """An account that only remembers."""

    def __init__(self):
        self.done = []
        self.parameters = {}

    def stack(self, name, template, parameters):
        self.done.append(name)
        self.parameters[name] = parameters
        known = ("Subnets", "SecurityGroups", "LogGroup", "SigningKey", "Bucket")
        repositories = ("TrainerRepository", "PromoterRepository", "AirflowRepository")
        return {output: f"{output} of {name}" for output in (*known, *repositories)}

    def push(self, repository, image, tag):
        self.done.append(f"image {image}")
        return f"{repository}@sha256:{image}"

    def public_key(self, key):
        self.done.append(key)
        return b"PEM"


def test_what_is_needed_comes_before_what_needs_it():
    account = Recorder()
    deploy(account, Options("a-bucket"), commit="c0ffee")
    assert account.done == [
        "mnist-registry",
        "mnist-network",
        "image mnist-trainer:local",
        "image mnist-promoter:local",
        "image mnist-airflow:local",
        "mnist",
        "mnist-monitoring",
        "SigningKey of mnist",
    ]


def test_the_tasks_run_images_by_digest_in_the_network_that_was_made():
    account = Recorder()
    deploy(account, Options("a-bucket"), commit="c0ffee")
    assert account.parameters["mnist"] == {
        "BucketName": "a-bucket",
        "TrainerImage": "TrainerRepository of mnist-registry@sha256:mnist-trainer:local",
        "PromoterImage": "PromoterRepository of mnist-registry@sha256:mnist-promoter:local",
        "Subnets": "Subnets of mnist-network",
        "SecurityGroups": "SecurityGroups of mnist-network",
    }


def test_no_network_is_made_beside_the_subnets_that_are_named():
    account = Recorder()
    deploy(account, Options("a-bucket", subnets="subnet-12345678", security_groups="sg-12345678"), commit="c0ffee")
    assert "mnist-network" not in account.done
    assert account.parameters["mnist"]["Subnets"] == "subnet-12345678"


def test_airflow_gets_the_outputs_as_its_environment_and_the_public_key(tmp_path):
    Deployed({"Bucket": "a-bucket", "TaskDefinition": "mnist-trainer"}, b"PEM", "airflow@sha256:1").write(tmp_path)
    assert (tmp_path / "promotion.pub.pem").read_bytes() == b"PEM"
    assert (tmp_path / "airflow.env").read_text().splitlines() == [
        "# Airflow's image: airflow@sha256:1",
        "MNIST_BUCKET=a-bucket",
        "MNIST_TASK_DEFINITION=mnist-trainer",
    ]


def test_a_dry_run_needs_no_credentials_and_names_each_step(capsys, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    assert main(["--bucket", "a-bucket", "--dry-run"]) == 0
    said = capsys.readouterr().out
    for step in ("mnist-registry", "mnist-network", "mnist-promoter:local", "stack mnist from", "mnist-monitoring"):
        assert step in said
    assert "BucketName=a-bucket" in said


def test_a_bucket_has_to_be_named(capsys):
    with pytest.raises(SystemExit):
        main(["--dry-run"])
    assert "--bucket" in capsys.readouterr().err
