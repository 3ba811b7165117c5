"""The templates beside the pipeline's own, as CloudFormation takes them: deployed to the one-machine cloud."""

import json

import pytest

from tests.ecs_tasks import poll
from tools.deploy.aws import Aws, DeployError


@pytest.fixture
def account(aws):
    return Aws(aws)


def test_the_registry_names_where_the_images_go(account):
    outputs = account.stack("test-registry", "infra/registry.yaml", {})
    assert {name: uri.rpartition("/")[2] for name, uri in outputs.items()} == {
        "TrainerRepository": "mnist-trainer",
        "PromoterRepository": "mnist-promoter",
        "AirflowRepository": "mnist-airflow",
    }


def test_the_network_gives_what_the_pipelines_stack_takes(account):
    outputs = account.stack("test-network", "infra/network.yaml", {})
    assert len(outputs["Subnets"].split(",")) == 2
    assert outputs["SecurityGroups"].startswith("sg-")


def test_containers_cannot_write_to_their_own_image(cloud, aws):
    ecs = aws("ecs")
    for name in ("MNIST_TASK_DEFINITION", "MNIST_PROMOTER_TASK_DEFINITION"):
        known = ecs.describe_task_definition(taskDefinition=cloud.environment[name])["taskDefinition"]
        assert [one["readonlyRootFilesystem"] for one in known["containerDefinitions"]] == [True]


def test_an_accuracy_below_the_floor_raises_an_alarm(account, aws):
    account.stack("test-monitoring", "infra/monitoring.yaml", {"SavedQueries": "false"})
    alarms = aws("cloudwatch").describe_alarms(AlarmNamePrefix="mnist-")["MetricAlarms"]
    assert sorted(alarm["AlarmName"] for alarm in alarms) == ["mnist-accuracy-drop", "mnist-cost", "mnist-no-promotion"]
    aws("cloudwatch").put_metric_data(Namespace="mnist", MetricData=[{"MetricName": "test_accuracy", "Value": 0.91}])
    poll(lambda: state_of(aws, "mnist-accuracy-drop") == "ALARM")
    body = aws("cloudwatch").get_dashboard(DashboardName="mnist")["DashboardBody"]
    assert len(json.loads(body)["widgets"]) == 7


def state_of(aws, alarm):
    return aws("cloudwatch").describe_alarms(AlarmNames=[alarm])["MetricAlarms"][0]["StateValue"]


def test_a_second_deployment_of_the_same_changes_nothing(account):
    first = account.stack("test-registry", "infra/registry.yaml", {})
    assert account.stack("test-registry", "infra/registry.yaml", {}) == first


def test_a_parameter_that_is_not_given_again_keeps_its_value(account, aws):
    address = "ml-team@example.com"
    account.stack("test-monitoring", "infra/monitoring.yaml", {"SavedQueries": "false", "AlarmEmail": address})
    outputs = account.stack("test-monitoring", "infra/monitoring.yaml", {"NightlyHours": "30"})
    assert account.parameters("test-monitoring")["AlarmEmail"] == address
    subscriptions = aws("sns").list_subscriptions_by_topic(TopicArn=outputs["Alarms"])["Subscriptions"]
    assert [subscription["Endpoint"] for subscription in subscriptions] == [address]


REPOSITORY = """
  Kept:
    Type: AWS::ECR::Repository
    DeletionPolicy: RetainExceptOnCreate
    Properties: {RepositoryName: test-kept}
"""
IMPOSSIBLE = """
  Impossible:
    Type: AWS::IAM::InstanceProfile
    DependsOn: Kept
    Properties: {InstanceProfileName: test-taken, Roles: []}
"""


def test_a_creation_that_failed_is_not_in_the_way_of_the_next_one(account, aws, tmp_path):
    template = tmp_path / "template.yaml"
    template.write_text(f"Resources:{REPOSITORY}{IMPOSSIBLE}")
    aws("iam").create_instance_profile(InstanceProfileName="test-taken")
    with pytest.raises(DeployError, match="test-again"):
        account.stack("test-again", str(template), {})
    assert account.parameters("test-again") is None
    template.write_text(f"Resources:{REPOSITORY}")
    account.stack("test-again", str(template), {})
    assert account.parameters("test-again") == {}
    # Once it was made, it outlives its stack.
    aws("cloudformation").delete_stack(StackName="test-again")
    poll(lambda: account.parameters("test-again") is None)
    assert aws("ecr").describe_repositories(repositoryNames=["test-kept"])["repositories"]


def test_a_refused_template_is_an_error_that_names_the_stack(account, tmp_path):
    template = tmp_path / "template.yaml"
    template.write_text("Resources: {Thing: {Type: AWS::No::Such}}")
    with pytest.raises(DeployError, match="test-refused"):
        account.stack("test-refused", str(template), {})
