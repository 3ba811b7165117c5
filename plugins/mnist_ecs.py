"""The training operator: the stock one, with an end that says what happened.

The stock operator raises the same exception for every exit code, so a retry policy cannot tell a Spot interruption from
a bad configuration. Here `mnist_tasks.ecs.failure_of` decides, and the log can never change the verdict.
"""

from __future__ import annotations

from contextlib import suppress

from airflow.providers.amazon.aws.operators.ecs import EcsRunTaskOperator
from botocore.exceptions import BotoCoreError, ClientError

from mnist_tasks.ecs import failure_of


class TrainOperator(EcsRunTaskOperator):
    """Runs one candidate's training task and waits for it."""

    def _check_success_task(self) -> None:
        answer = self.client.describe_tasks(cluster=self.cluster, tasks=[self.arn])
        error = failure_of(answer["tasks"][0], self.container_name or "")
        if error is None:
            return
        for line in self._last_lines():
            self.log.error("container: %s", line)
        raise error

    def _last_lines(self) -> list[str]:
        # Throttled or missing logs are no reason to fail: the exit code has already spoken.
        with suppress(ClientError, BotoCoreError):
            if self.task_log_fetcher:
                return self.task_log_fetcher.get_last_log_messages(self.number_logs_exception)
        return []
