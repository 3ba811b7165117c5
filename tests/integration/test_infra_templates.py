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


def test_a_refused_template_is_an_error_that_names_the_stack(account, tmp_path):
    template = tmp_path / "template.yaml"
    template.write_text("Resources: {Thing: {Type: AWS::No::Such}}")
    with pytest.raises(DeployError, match="test-refused"):
        account.stack("test-refused", str(template), {})
