"""How a deployment asks AWS: what is sent when the account has nothing yet, half of it, or all."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tools.deploy import aws
from tools.deploy.aws import Aws, DeployError

REPOSITORY = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/mnist-trainer"
TEMPLATE = "infra/monitoring.yaml"


def refusal(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Operation")


class CloudFormation:
    """Keeps one stack, as far as `Aws` looks at it."""

    def __init__(self, status: str = "", **parameters: str) -> None:
        self.status = status
        self.had = parameters
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        if not self.status:
            raise refusal("ValidationError", f"Stack with id {StackName} does not exist")
        had = [{"ParameterKey": key, "ParameterValue": value} for key, value in self.had.items()]
        return {"Stacks": [{"StackName": StackName, "StackStatus": self.status, "Parameters": had}]}

    def create_stack(self, **request: Any) -> None:
        self.sent.append(("create", request))
        self.status = "CREATE_COMPLETE"

    def update_stack(self, **request: Any) -> None:
        self.sent.append(("update", request))

    def delete_stack(self, **request: Any) -> None:
        self.sent.append(("delete", request))
        self.status = ""

    def get_waiter(self, event: str) -> Any:
        return self

    def wait(self, **_: Any) -> None:
        """It is so at once."""

    def parameters(self) -> dict[str, Any]:
        _, request = self.sent[-1]
        return {p["ParameterKey"]: p.get("ParameterValue", p.get("UsePreviousValue")) for p in request["Parameters"]}


def account(**clients: Any) -> Aws:
    return Aws(clients.__getitem__)


def test_a_stack_whose_creation_was_rolled_back_is_replaced() -> None:
    cloudformation = CloudFormation("ROLLBACK_COMPLETE", AlarmEmail="a@example.com")
    Aws(lambda _: cloudformation, cloudformation_role="arn:role").stack("mnist-monitoring", TEMPLATE, {})
    (first, deletion), (second, creation) = cloudformation.sent
    assert (first, second) == ("delete", "create")
    assert deletion == {"StackName": "mnist-monitoring", "RoleARN": "arn:role"}
    assert creation["Parameters"] == []


def test_parameters_that_are_not_given_keep_their_values() -> None:
    cloudformation = CloudFormation("UPDATE_COMPLETE", AlarmEmail="a@example.com", NightlyHours="30", PipelineStack="x")
    account(cloudformation=cloudformation).stack("mnist-monitoring", TEMPLATE, {"PipelineStack": "mnist"})
    assert cloudformation.parameters() == {"PipelineStack": "mnist", "AlarmEmail": True, "NightlyHours": True}


def test_a_parameter_that_the_template_has_no_more_is_not_sent() -> None:
    cloudformation = CloudFormation("CREATE_COMPLETE", Retired="1", NightlyHours="30")
    account(cloudformation=cloudformation).stack("mnist-monitoring", TEMPLATE, {})
    assert cloudformation.parameters() == {"NightlyHours": True}


def test_a_new_stack_has_its_defaults() -> None:
    cloudformation = CloudFormation()
    account(cloudformation=cloudformation).stack("mnist-monitoring", TEMPLATE, {"AlarmEmail": "a@example.com"})
    assert cloudformation.parameters() == {"AlarmEmail": "a@example.com"}


@pytest.mark.parametrize("status", ["", "ROLLBACK_COMPLETE", "DELETE_COMPLETE"])
def test_a_stack_that_was_never_made_has_no_parameters(status: str) -> None:
    assert account(cloudformation=CloudFormation(status, AlarmEmail="a@example.com")).parameters("mnist") is None
    assert account(cloudformation=CloudFormation("CREATE_COMPLETE", A="1")).parameters("mnist") == {"A": "1"}


class Iam:
    def __init__(self, error: ClientError | None = None) -> None:
        self.error = error
        self.made: list[str] = []

    def create_service_linked_role(self, AWSServiceName: str) -> None:  # noqa: N803
        self.made.append(AWSServiceName)
        if self.error:
            raise self.error


def test_ecs_gets_its_role_once(capsys: pytest.CaptureFixture[str]) -> None:
    taken = Iam(refusal("InvalidInput", "Service role name AWSServiceRoleForECS has been taken in this account"))
    for iam in (Iam(), taken):
        account(iam=iam).service_role("ecs.amazonaws.com")
        assert iam.made == ["ecs.amazonaws.com"]
    assert capsys.readouterr().out == ""


def test_whoever_may_not_make_the_role_is_told_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    account(iam=Iam(refusal("AccessDenied", "not authorized"))).service_role("ecs.amazonaws.com")
    assert "ecs.amazonaws.com was not made: not authorized" in capsys.readouterr().out


class Ecr:
    """A registry with images by their tags."""

    def __init__(self, **images: str) -> None:
        self.images = images

    def describe_images(self, repositoryName: str, imageIds: list[dict[str, str]]) -> dict[str, Any]:  # noqa: N803
        if repositoryName != "mnist-trainer":
            raise refusal("RepositoryNotFoundException", f"no {repositoryName}")
        (wanted,) = imageIds
        if wanted["imageTag"] not in self.images:
            raise refusal("ImageNotFoundException", "no such image")
        return {"imageDetails": [{"imageDigest": self.images[wanted["imageTag"]]}]}

    def get_authorization_token(self) -> dict[str, Any]:
        return {"authorizationData": [{"authorizationToken": base64.b64encode(b"AWS:secret").decode()}]}


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> Callable[[Ecr], list[str]]:
    """Docker's subcommands, noted; `push` brings the image into a registry."""

    def noting(ecr: Ecr) -> list[str]:
        noted: list[str] = []

        def run(*words: str, text: str | None = None) -> None:
            noted.append(words[0])
            if words[0] == "push":
                ecr.images[words[-1].rpartition(":")[2]] = "sha256:new"

        monkeypatch.setattr(aws, "_docker", run)
        monkeypatch.setattr(Aws, "_build", staticmethod(lambda image, tag: noted.append("build")))
        return noted

    return noting


def test_an_image_that_the_registry_has_is_neither_built_nor_pulled(docker: Callable[[Ecr], list[str]]) -> None:
    ecr = Ecr(c0ffee="sha256:old")
    noted = docker(ecr)
    assert account(ecr=ecr).push(REPOSITORY, "mnist-trainer:local", "c0ffee") == f"{REPOSITORY}@sha256:old"
    assert noted == []


def test_another_commit_is_built_and_pushed(docker: Callable[[Ecr], list[str]]) -> None:
    ecr = Ecr(c0ffee="sha256:old")
    noted = docker(ecr)
    assert account(ecr=ecr).push(REPOSITORY, "mnist-trainer:local", "decaf") == f"{REPOSITORY}@sha256:new"
    assert noted == ["login", "build", "tag", "push"]


def test_a_registry_that_refuses_is_an_error_that_names_it() -> None:
    with pytest.raises(DeployError, match="mnist-other"):
        account(ecr=Ecr()).push(REPOSITORY.replace("trainer", "other"), "mnist-other:local", "c0ffee")
