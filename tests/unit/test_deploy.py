"""What a deployment does, and in which order."""

import re

import pytest
import yaml

from tests.container import ROOT
from tools.deploy.__main__ import main
from tools.deploy.steps import Deployed, Options, deploy
from tools.iam.template import Template

FIRST, SECOND = (f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n" for body in ("AAAA", "BBBB"))


class Recorder:
    """An account that only remembers."""

    def __init__(self):
        self.done = []
        self.sent = {}
        self.kept = {}

    def service_role(self, service):
        self.done.append(service)

    def parameters(self, name):
        return self.kept.get(name)

    def stack(self, name, template, parameters):
        self.done.append(name)
        self.sent[name] = parameters
        self.kept[name] = self.kept.get(name, {}) | parameters
        known = ("Subnets", "SecurityGroups", "LogGroup", "SigningKey", "Bucket")
        repositories = ("TrainerRepository", "PromoterRepository", "AirflowRepository")
        return {output: f"{output} of {name}" for output in (*known, *repositories)}

    def push(self, repository, image, tag):
        self.done.append(f"image {image}")
        return f"{repository}@sha256:{image}"

    def public_key(self, key):
        self.done.append(key)
        return f"PEM of {key}"


def test_what_is_needed_comes_before_what_needs_it():
    account = Recorder()
    deploy(account, Options("a-bucket"), commit="c0ffee")
    assert account.done == [
        "ecs.amazonaws.com",
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
    assert account.sent["mnist"] == {
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
    assert account.sent["mnist"]["Subnets"] == "subnet-12345678"


def test_the_tasks_stay_in_the_subnets_that_an_earlier_deployment_has_named():
    account = Recorder()
    deploy(account, Options("a-bucket", subnets="subnet-12345678", security_groups="sg-12345678"), commit="c0ffee")
    deploy(account, Options("a-bucket"), commit="decaf")
    assert "mnist-network" not in account.done
    assert account.kept["mnist"]["Subnets"] == "subnet-12345678"


def test_the_tasks_stay_in_the_network_that_was_made():
    account = Recorder()
    for commit in ("c0ffee", "decaf"):
        deploy(account, Options("a-bucket"), commit=commit)
    assert account.done.count("mnist-network") == 2
    assert account.sent["mnist"]["Subnets"] == "Subnets of mnist-network"


def test_what_is_not_given_again_stays():
    account = Recorder()
    chosen = Options(
        "a-bucket",
        alarm_email="ml-team@example.com",
        worker_services="ec2.amazonaws.com",
        parameters={"LockMode": "COMPLIANCE", "LockDays": "3650"},
    )
    deploy(account, chosen, commit="c0ffee")
    before = {name: dict(parameters) for name, parameters in account.kept.items()}
    deploy(account, Options("a-bucket"), commit="c0ffee")
    assert account.kept == before
    assert before["mnist-monitoring"]["AlarmEmail"] == "ml-team@example.com"
    assert before["mnist"]["LockMode"] == "COMPLIANCE"


def test_another_stack_shares_the_registry_and_nothing_else():
    """Its repositories have fixed names; a second stack of them would be refused."""
    account = Recorder()
    deploy(account, Options("a-bucket", stack="other"), commit="c0ffee")
    assert account.kept.keys() == {"mnist-registry", "other-network", "other", "other-monitoring"}
    resources = Template.read().body["Resources"]
    families = {resources[name]["Properties"]["Family"]["Fn::Sub"] for name in ("TrainerTask", "PromoterTask")}
    assert families == {"${AWS::StackName}-trainer", "${AWS::StackName}-promoter"}


@pytest.mark.parametrize("template", ["mnist.yaml", "registry.yaml"])
def test_what_outlives_its_stack_does_not_outlive_a_creation_that_failed(template):
    """It would be in the way of the next one: names of buckets and repositories are taken once."""
    kept = {
        name: resource["DeletionPolicy"]
        for name, resource in Template.read(ROOT / "infra" / template).body["Resources"].items()
        if resource.get("UpdateReplacePolicy") == "Retain"
    }
    assert kept
    assert set(kept.values()) == {"RetainExceptOnCreate"}


def test_airflow_gets_the_public_keys_of_all_who_have_signed():
    account = Recorder()
    earlier = "arn:aws:kms:eu-central-1:111122223333:key/1,arn:aws:kms:eu-central-1:111122223333:key/2"
    deploy(account, Options("a-bucket", parameters={"EarlierSigningKeys": earlier}), commit="c0ffee")
    deployed = deploy(account, Options("a-bucket"), commit="decaf")
    assert list(deployed.public_keys) == [f"PEM of {key}" for key in [*earlier.split(","), "SigningKey of mnist"]]


def test_a_public_key_that_was_there_before_stays(tmp_path):
    Deployed({}, [FIRST], "airflow@sha256:1").write(tmp_path)
    for _ in range(2):
        Deployed({}, [SECOND], "airflow@sha256:2").write(tmp_path)
    assert (tmp_path / "promotion.pub.pem").read_text() == FIRST + SECOND


def test_airflow_gets_the_outputs_as_its_environment_and_the_public_key(tmp_path):
    Deployed({"Bucket": "a-bucket", "TaskDefinition": "mnist-trainer"}, [FIRST], "airflow@sha256:1").write(tmp_path)
    assert (tmp_path / "promotion.pub.pem").read_text() == FIRST
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


@pytest.mark.parametrize("text", ["LockDays", "LockDay=30"])
def test_a_parameter_that_the_template_does_not_have_is_refused_before_anything_is_done(text, capsys):
    with pytest.raises(SystemExit):
        main(["--bucket", "a-bucket", "--dry-run", "--parameter", text])
    said = capsys.readouterr()
    assert text in said.err
    assert "LockDays" in said.err
    assert said.out == ""


def test_a_parameter_of_the_template_can_be_chosen(capsys):
    assert main(["--bucket", "a-bucket", "--dry-run", "--parameter", "LockDays=30", "--parameter", "LogDays=7"]) == 0
    said = capsys.readouterr().out
    assert "LockDays=30" in said
    assert "LogDays=7" in said


def test_only_what_was_pushed_is_deployed_never_a_pull_request():
    """A run of ci on a fork's branch main looks like one of this branch."""
    (job,) = yaml.safe_load((ROOT / ".github" / "workflows" / "deploy.yaml").read_text())["jobs"].values()
    condition = re.sub(r"\s+", " ", job["if"])
    assert "workflow_run.conclusion == 'success' && github.event.workflow_run.event == 'push'" in condition


def test_the_workflow_may_do_what_a_deployment_does():
    resources = Template.read(ROOT / "infra" / "ci.yaml").body["Resources"]
    (policy,) = resources["DeployRole"]["Properties"]["Policies"]
    granted = {statement["Sid"]: statement for statement in policy["PolicyDocument"]["Statement"]}
    assert "cloudformation:DeleteStack" in granted["DeployStacks"]["Action"]
    assert granted["LetEcsAct"]["Condition"] == {"StringEquals": {"iam:AWSServiceName": "ecs.amazonaws.com"}}
    assert "ecr:DescribeImages" in granted["PushImages"]["Action"]
