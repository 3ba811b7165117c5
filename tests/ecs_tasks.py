"""Run one-container ECS tasks in the one-machine cloud, read what became of them, and have AWS's bad days happen."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import localcloud

IMAGE = "python:3.11-slim"
CONTAINER = "main"
DEADLINE_SECONDS = 120.0


def poll(look: Callable[[], Any], until: Callable[[Any], bool] = bool, *, seconds: float = DEADLINE_SECONDS) -> Any:
    deadline = time.monotonic() + seconds
    while not until(value := look()):
        assert time.monotonic() < deadline, f"still {value!r} after {seconds:.0f} s"
        time.sleep(0.05)
    return value


@dataclass(frozen=True)
class Tasks:
    """Runs one-container ECS tasks and reads what became of them."""

    ecs: Any
    logs: Any
    environment: Any
    image: str = IMAGE

    def run(self, code: str = "", *, image: str = "", stop_timeout: int = 120, **request: Any) -> str:
        command = ["python", "-u", "-c", code]
        definition = self.register(image=image or self.image, command=command, stopTimeout=stop_timeout)
        return self.run_definition(definition, **request)

    def register(self, *, role: bool = True, **container: Any) -> str:
        options = {
            "awslogs-group": self.environment["MNIST_LOG_GROUP"],
            "awslogs-region": self.environment["AWS_DEFAULT_REGION"],
            "awslogs-stream-prefix": "test",
        }
        defaults = {"name": CONTAINER, "logConfiguration": {"logDriver": "awslogs", "options": options}}
        answer = self.ecs.register_task_definition(
            family="test",
            networkMode="awsvpc",
            containerDefinitions=[defaults | container],
            **({"taskRoleArn": self.trainer_role()} if role else {}),
        )
        return answer["taskDefinition"]["taskDefinitionArn"]

    def trainer_role(self) -> str:
        answer = self.ecs.describe_task_definition(taskDefinition=self.environment["MNIST_TASK_DEFINITION"])
        return answer["taskDefinition"]["taskRoleArn"]

    def run_definition(self, definition: str, **request: Any) -> str:
        answer = self.start(definition, **request)
        assert answer["failures"] == []
        return answer["tasks"][0]["taskArn"]

    def start(self, definition: str, **request: Any) -> dict[str, Any]:
        """RunTask's whole answer."""
        capacity = {} if "capacityProviderStrategy" in request else {"launchType": "FARGATE"}
        defaults = {"cluster": self.environment["MNIST_CLUSTER"], "taskDefinition": definition}
        return self.ecs.run_task(**defaults | capacity | request)

    def listed(self, **request: Any) -> list[str]:
        pages = self.ecs.get_paginator("list_tasks").paginate(cluster=self.environment["MNIST_CLUSTER"], **request)
        return [arn for page in pages for arn in page["taskArns"]]

    def describe(self, task: str) -> dict[str, Any]:
        answer = self.ecs.describe_tasks(cluster=self.environment["MNIST_CLUSTER"], tasks=[task])
        return answer["tasks"][0]

    def finish(self, task: str) -> dict[str, Any]:
        return poll(lambda: self.describe(task), lambda described: described["lastStatus"] == "STOPPED")

    def stop(self, task: str, reason: str = "the test is over") -> dict[str, Any]:
        return self.ecs.stop_task(cluster=self.environment["MNIST_CLUSTER"], task=task, reason=reason)["task"]

    def lines(self, task: str) -> list[str]:
        stream = f"test/{CONTAINER}/{task.rpartition('/')[2]}"
        try:
            answer = self.logs.get_log_events(
                logGroupName=self.environment["MNIST_LOG_GROUP"], logStreamName=stream, startFromHead=True
            )
        except self.logs.exceptions.ResourceNotFoundException:
            return []
        return [event["message"] for event in answer["events"]]

    def await_lines(self, task: str, count: int = 1) -> list[str]:
        """All its lines, once there are so many: CloudWatch may get the last ones after ECS says STOPPED."""
        return poll(lambda: self.lines(task), lambda lines: len(lines) >= count)


def follows(second: dict[str, Any], first: dict[str, Any]) -> bool:
    """Whether a task was created after another one had stopped. The emulator tells createdAt in whole seconds."""
    return bool(second["createdAt"] >= first["stoppedAt"].replace(microsecond=0))


def process_state(pid: int) -> str:
    """Its letter, as proc(5) has them; empty where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def is_alive(pid: int) -> bool:
    return process_state(pid) not in {"", "Z"}


def control(cloud: localcloud.Cloud, action: str, **request: Any) -> dict[str, Any]:
    """`spot-interruption` (task: its ARN) or `capacity` (failures: how many); see localcloud/README.md."""
    url = f"{cloud.environment['AWS_ENDPOINT_URL']}/_localcloud/{action}"
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(request).encode()), timeout=60) as answer:
        return json.load(answer)
