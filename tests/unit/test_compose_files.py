"""docker-compose.yaml and docker-compose.aws.yaml, read as compose merges them: what an engine would be told."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.container import ROOT

RESET = object()


class _Loader(yaml.SafeLoader):
    """YAML with compose's two tags; what is overridden is what a merge has last anyway."""


_Loader.add_constructor("!reset", lambda loader, node: RESET)
_Loader.add_constructor(
    "!override",
    lambda loader, node: (
        loader.construct_sequence(node, deep=True)
        if isinstance(node, yaml.SequenceNode)
        else loader.construct_mapping(node, deep=True)
    ),
)


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.load((ROOT / name).read_text(), _Loader)
    return content


HERE, AWS = read("docker-compose.yaml"), read("docker-compose.aws.yaml")
ON_AWS = sorted(name for name, service in AWS["services"].items() if "env_file" in service)


def environment(service: str) -> dict[str, Any]:
    """What stands before the file of the deployment (env_file): https://docs.docker.com/reference/compose-file/merge/"""
    merged = HERE["services"][service]["environment"] | AWS["services"][service]["environment"]
    return {name: value for name, value in merged.items() if value is not RESET}


def test_every_part_of_airflow_reads_the_file_of_the_deployment() -> None:
    assert ON_AWS == ["api-server", "dag-processor", "scheduler", "triggerer", "worker"]


@pytest.mark.parametrize("service", ON_AWS)
def test_no_setting_of_the_laptop_goes_before_the_file_of_the_deployment(service: str) -> None:
    assert {name for name in environment(service) if name.startswith("MNIST_")} == {"MNIST_SIGNING_KEYS"}
    assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD" in environment(service)


@pytest.mark.parametrize("service", ON_AWS)
def test_airflow_has_the_public_keys_that_it_believes(service: str) -> None:
    (config,) = AWS["services"][service]["configs"]
    assert environment(service)["MNIST_SIGNING_KEYS"] == f"/{config}"
    assert AWS["configs"][config]["file"] == "${MNIST_PUBLIC_KEYS_FILE:-./build/deployment/promotion.pub.pem}"


@pytest.mark.parametrize("service", ON_AWS)
def test_no_profile_is_named_unless_somebody_names_one(service: str) -> None:
    """botocore refuses a profile that is not in the file, `default` as well."""
    assert environment(service)["AWS_PROFILE"] is None


def test_nothing_is_reset_in_an_anchor() -> None:
    """Compose drops it where it meets the anchor first, and knows nothing of it where the anchor is used."""
    shared = [block for name, block in AWS.items() if name.startswith("x-")]
    assert shared
    assert RESET not in [value for block in shared for value in block.values()]


@pytest.mark.parametrize("compose", [HERE, AWS], ids=["here", "aws"])
def test_every_part_of_airflow_names_what_it_runs(compose: dict[str, Any]) -> None:
    """The image has no entry point of its own: whatever it is told is what runs."""
    own = [name for name, service in HERE["services"].items() if service.get("image") == "mnist-airflow:local"]
    assert len(own) == 7
    for name in own:
        service = HERE["services"][name] | compose["services"].get(name, {})
        assert service["entrypoint"][0] == "/opt/mnist/bin/python"
        assert "command" in service
