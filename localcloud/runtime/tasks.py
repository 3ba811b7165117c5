"""What a container owes to its ECS task and the emulator leaves out: credentials, limits, a place on record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from localcloud.aws import ClientFactory
from localcloud.runtime.container import Limits
from localcloud.runtime.engine import CreateRequest, TaskSettings

TASK_LABEL = "com.amazonaws.ecs.task-arn"
CLUSTER_LABEL = "com.amazonaws.ecs.cluster"
NAME_LABEL = "com.amazonaws.ecs.container-name"

# RunTask puts the task on record before it answers, which takes long on a busy machine only.
_RECORD_SECONDS = 60.0

# The emulator points these at an endpoint of its own, which hands out keys that it does not know itself (1.5.33).
UNUSABLE = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN")


class EcsTasks:
    """Looks tasks up in the emulator."""

    def __init__(
        self,
        client: ClientFactory,
        region: str,
        endpoint_url: str,
        await_record: Callable[[str, float], None],
        credentials: Callable[[str, str], Mapping[str, str]],
    ) -> None:
        """`endpoint_url` is where tasks reach AWS; `await_record` returns once a task, by its ARN, may start.

        `credentials` are the variables by which a container finds those of a role, for a session of that name.
        """
        self._endpoint_url = endpoint_url
        self._await_record = await_record
        self._credentials = credentials
        self._ecs = client("ecs")
        self._region = region

    def settings(self, request: CreateRequest) -> TaskSettings:
        """The settings for a container that ECS creates; any other container keeps what it brings.

        Raises OSError when its task must not start.
        """
        if TASK_LABEL not in request.labels:
            return TaskSettings(request.environment)
        self._await_record(request.labels[TASK_LABEL], _RECORD_SECONDS)
        task = self._describe(request.labels)
        definition = self._ecs.describe_task_definition(taskDefinition=task["taskDefinitionArn"])["taskDefinition"]
        role = task.get("overrides", {}).get("taskRoleArn") or definition.get("taskRoleArn")
        environment = {name: value for name, value in request.environment.items() if name not in UNUSABLE}
        environment |= {"AWS_REGION": self._region, "AWS_DEFAULT_REGION": self._region}
        environment |= {"AWS_ENDPOINT_URL": self._endpoint_url}
        # Without this, an SDK in a task that has no role would look for an EC2 instance's metadata.
        environment |= {"AWS_EC2_METADATA_DISABLED": "true"}
        if role:
            # Fargate, too, names a task role's session after the task.
            environment |= self._credentials(role, task["taskArn"].rpartition("/")[2])
        container = _container(definition, request.labels[NAME_LABEL])
        return TaskSettings(
            environment, container.get("stopTimeout"), _limits(definition, container), _is_forwarded(container)
        )

    def _describe(self, labels: Mapping[str, str]) -> dict[str, Any]:
        answer = self._ecs.describe_tasks(cluster=labels[CLUSTER_LABEL], tasks=[labels[TASK_LABEL]])
        task: dict[str, Any] = answer["tasks"][0]
        return task


def _container(definition: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(each for each in definition["containerDefinitions"] if each["name"] == name)
    return found


def _is_forwarded(container: Mapping[str, Any]) -> bool:
    """Whether the emulator takes the output to CloudWatch Logs."""
    log = container.get("logConfiguration") or {}
    return log.get("logDriver") == "awslogs" and bool((log.get("options") or {}).get("awslogs-group"))


def _limits(definition: Mapping[str, Any], container: Mapping[str, Any]) -> Limits:
    """The task's own size, as on Fargate: CPU in units of 1/1024, memory in MiB."""
    memory, cpu = definition.get("memory"), definition.get("cpu")
    return Limits(
        memory_mb=int(memory) if memory else None,
        cpus=int(cpu) / 1024 if cpu else None,
        read_only=bool(container.get("readonlyRootFilesystem")),
        writable=tuple(point["containerPath"] for point in container.get("mountPoints", ())),
    )
