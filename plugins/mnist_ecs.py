"""The operator for containers, training and promoting: the stock one, made exactly-once.

What it does otherwise than `EcsRunTaskOperator` (amazon provider 9.39.0), and what would make that unnecessary:

- **One task for a job, whoever dies.** What is about to be submitted is written to Airflow's task state first,
  then RunTask is called with a client token made of it: a retry that finds the note but no ARN sends the same request
  and gets the same task. The stock operator sends a random token, and finds only tasks that still run. (apache/airflow
  PR 72421 keeps the ARN; `ResumableJobMixin` by itself leaves the moment between the two uncovered.)
- **Success is what is in S3**, the candidate's manifest or the run's decision, not an exit code: a task that somebody
  stopped may well exit with 0. (No upstream issue: the stock operator cannot know what success is.)
- **The request is made of a checked job**, whatever an XCom holds: overrides could carry roles and other commands.
- **ECS that does not answer while the container works is no failure**, and neither is its log. (Issue 42521.)
- **Every exit stops the task** that it leaves behind, not only some. (PR 61051.) What no exit can (a worker that is
  killed when no retry is left) is bounded by the container's own time limit and by the DAG `mnist_sweep`.
- **The end has a type**: `mnist_tasks.ecs` tells what another try may mend from what it can only repeat, in the words
  of the container's own error where its log can be read. The last try runs on demand, because Fargate never falls back
  from Spot by itself.

It is synchronous: a deferred task that is killed leaves its container running (issue 36090), and execution_timeout does
not reach it (issue 69678).

**What a clear means.** A committed candidate is not trained again, and a run that has decided does not decide again:
the step ends as it did, at once. A task that still runs is waited for. Otherwise a new task goes on: training after the
last whole epoch, promoting with what it had written. To do it anew, trigger a new run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from airflow.providers.amazon.aws.exceptions import EcsOperatorError
from airflow.providers.amazon.aws.operators.ecs import EcsRunTaskOperator
from airflow.providers.amazon.aws.utils.task_log_fetcher import AwsTaskLogFetcher
from airflow.sdk import ResumableJobMixin
from botocore.exceptions import BotoCoreError, ClientError

from mnist_tasks import attempts, ecs, events
from mnist_tasks.errors import TemporaryError
from mnist_wiring import storage

# Keys of the task state, which Airflow's UI shows. Renamed, they would make a deployment forget tasks that run.
SUBMISSION, REFUSED, PROGRESS = "submission", "refused", "progress"

_DONE, _STOPPED = "DONE", "STOPPED"
# A task that has just been started, and one that ended an hour ago, look the same to DescribeTasks: it knows neither.
_TIMES_MISSING = 20


class _Sentences(AwsTaskLogFetcher):
    """Shows what a container tells as sentences; the stock one would show the JSON in which CloudWatch keeps it."""

    @staticmethod
    def event_to_str(event: dict[str, Any]) -> str:
        """The line in Airflow's log."""
        shown: str = AwsTaskLogFetcher.event_to_str({**event, "message": events.sentence(event["message"])})
        return shown


class EcsWorkOperator(ResumableJobMixin, EcsRunTaskOperator):
    """Has a container on ECS do a piece of work, and waits for it; returns the work's result.

    Args:
        work: Makes the work of the context that Airflow gives this step.
        capacity: Where to run it; the last try asks for FARGATE.
        job: What `work` may need besides, for a step that is mapped: plain JSON, checked there.
        kwargs: Those of the stock operator; `overrides` and `tags` are made of the work.
    """

    external_id_key = "ecs_task"
    template_fields = (*EcsRunTaskOperator.template_fields, "job")

    def __init__(
        self,
        *,
        work: Callable[[Any], ecs.Work],
        capacity: ecs.Capacity,
        job: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"overrides": {}, **kwargs})
        self.make_work = work
        self.capacity = capacity
        self.job = job
        self._told = ""
        self._attempt: attempts.Attempt | None = None
        self._is_over = False  # the task `arn` has been seen stopped
        self._is_called_off = False

    def execute(self, context: Any) -> Mapping[str, Any]:
        """Return once the work is done.

        Raises:
            TemporaryError: another try may succeed.
            MnistError: another try would only repeat it.
        """
        earlier = context["task_state_store"].get(self.external_id_key)
        self.arn = earlier["arn"] if earlier else None
        with self._stopping_what_is_left():
            self.work = self.make_work(context)
            request = ecs.request(self.work.job, self.container_name or "")
            self.overrides, self.tags = request["overrides"], request["tags"]
            result = self.work.result()
            if result is not None:
                self.log.info("%s is done already", self.work.job.name)
            else:
                self.execute_resumable(context)
                # Not what that returns: nothing, where it has waited for the task of an earlier try.
                result = self.work.result() or {}
            self.work.clean_up()
        return dict(result)

    # What ResumableJobMixin asks for. An "external id" is {"generation": ..., "arn": ...}.

    def submit_job(self, context: Any) -> dict[str, Any]:
        """Start the task of the next generation, or find the one that an earlier try has started."""
        self._check_is_wanted()
        state = context["task_state_store"]
        is_last_try = context["ti"].try_number > context["ti"].max_tries
        submission = self._submission(state, is_last_try=is_last_try)
        state.set(SUBMISSION, submission.model_dump())
        try:
            self.arn = self._run_task(submission)
        except EcsOperatorError as error:
            state.set(REFUSED, submission.generation)  # nothing was started; the next try may ask for other capacity
            if is_last_try and submission.capacity != "FARGATE":
                return self.submit_job(context)  # what was noted was an earlier try's request
            raise ecs.refusal_of(error.failures) from error
        return {"generation": submission.generation, "arn": self.arn}

    def get_job_status(self, external_id: Any, context: Any) -> str:  # noqa: ARG002
        """How far the task of an earlier try is."""
        self.arn, self._generation = external_id["arn"], external_id["generation"]
        task = self._wait(attach=True)
        if task is not None and task["lastStatus"] != _STOPPED:
            return str(task["lastStatus"])
        return _STOPPED if self.work.result() is None else _DONE

    def is_job_active(self, status: str) -> bool:
        """Whether it is worth waiting for."""
        return status not in {_DONE, _STOPPED}

    def is_job_succeeded(self, status: str) -> bool:
        """Whether there is nothing left to do."""
        return status == _DONE

    def poll_until_complete(self, external_id: Any, context: Any) -> None:
        """Wait for the task's end, telling how far it is."""
        self.arn, self._generation = external_id["arn"], external_id["generation"]
        with self._live_log():
            task = self._wait(context["task_state_store"])
        if self.work.result() is not None:
            return
        lines = self._last_lines()
        for line in lines:
            self.log.error("container: %s", events.sentence(line))
        if task is None:
            raise TemporaryError(f"ECS no longer knows the task {self.arn}", mend="Airflow starts another one")
        raise ecs.failure_of(task, self.container_name or "", missing=self.work.missing, log=lines)

    def get_job_result(self, external_id: Any, context: Any) -> None:
        """Results are read from S3."""

    def on_kill(self) -> None:
        """Stop the task: the run was marked failed, cleared or timed out, or the worker shuts down."""
        self._is_called_off = True
        self._stop("Airflow has ended this step")

    def _submission(self, state: Any, *, is_last_try: bool) -> ecs.Submission:
        noted, ended = state.get(SUBMISSION), state.get(self.external_id_key)
        done = max(ended["generation"] if ended else 0, state.get(REFUSED) or 0)
        if noted and noted["generation"] > done:
            return ecs.Submission(**noted)  # an earlier try may or may not have got to RunTask
        return ecs.Submission(generation=done + 1, capacity="FARGATE" if is_last_try else self.capacity)

    def _run_task(self, submission: ecs.Submission) -> str:
        self._started_by = self.work.job.run
        self.capacity_provider_strategy = submission.placement()
        token = submission.client_token(self.work.job)
        self.arn, self._is_over = None, False  # the task of the generation before is over
        # The stock `_start_task` has no argument for it. The event is documented: botocore's extension point.
        self.client.meta.events.register(
            "provide-client-params.ecs.RunTask", lambda params, **_: {**params, "clientToken": token}, "client-token"
        )
        try:
            self._start_task()
        except (ClientError, BotoCoreError) as error:
            if (arn := ecs.conflicting_task(error)) is None:
                raise ecs.explained(error) from error
            self.arn = arn
        finally:
            self.client.meta.events.unregister("provide-client-params.ecs.RunTask", unique_id="client-token")
        self._check_is_wanted()  # or called off while the request was on its way: there was nothing to stop yet
        return str(self.arn)

    def _check_is_wanted(self) -> None:
        if self._is_called_off:
            raise TemporaryError("Airflow has ended this step", mend="clear it to go on")

    def _wait(self, state: Any = None, *, attach: bool = False) -> dict[str, Any] | None:
        """Look at the task until it has stopped, and return what ECS says of it; None if ECS knows no such task.

        With `attach`, a task that may run on is enough; not one that is being stopped, because no two tasks may do one
        job at the same time.
        """
        missing = 0
        while missing < _TIMES_MISSING:
            with self._patience():
                task = self._describe()
                self._record(task)
                if task is not None and (
                    task["lastStatus"] == _STOPPED or (attach and task["desiredStatus"] != _STOPPED)
                ):
                    self._is_over = task["lastStatus"] == _STOPPED
                    return task
                missing = missing + 1 if task is None else 0
            self._tell(state)
            time.sleep(self.waiter_delay)
        self._is_over = True
        return None

    def _describe(self) -> dict[str, Any] | None:
        try:
            answer = self.client.describe_tasks(cluster=ecs.cluster_of(self.arn), tasks=[self.arn])
        except (ClientError, BotoCoreError) as error:
            if ecs.is_out_of_reach(error, self.arn, self.cluster):
                return None
            raise ecs.explained(error) from error
        return next(iter(answer["tasks"]), None)

    def _tell(self, state: Any) -> None:
        """Put the newest figures where Airflow's UI shows them. Nothing that goes wrong here is worth the work."""
        if state is None:
            return
        with suppress(Exception):
            told = self.work.progress()
            if told is not None and told != self._told:
                state.set(PROGRESS, told)
                self._told = told

    def _record(self, task: dict[str, Any] | None) -> None:
        """Keep from when to when it ran: ECS forgets it within the hour. Like the figures, it is worth no work."""
        with suppress(Exception):
            name = self.work.job.name
            attempt = task and attempts.of_task(task, name, self._generation, self.container_name or "")
            if attempt and attempt != self._attempt:
                attempts.write(storage(), self.work.layout, self.work.job.run, attempt)
                self._attempt = attempt

    @contextmanager
    def _patience(self) -> Iterator[None]:
        try:
            yield
        except TemporaryError as error:
            self.log.warning("%s; the task runs on, and is looked at again", error.problem)

    @contextmanager
    def _stopping_what_is_left(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._stop("Airflow has lost this step")
            raise

    def _stop(self, reason: str) -> None:
        if not self.arn or self._is_over:
            return
        try:
            self.client.stop_task(cluster=ecs.cluster_of(self.arn), task=self.arn, reason=reason)
            self.log.info("stopped %s: %s", self.arn, reason)
        except (ClientError, BotoCoreError) as error:
            self.log.warning("%s could not be stopped, its time limit or mnist_sweep will: %s", self.arn, error)

    @contextmanager
    def _live_log(self) -> Iterator[None]:
        self.task_log_fetcher = self._get_task_log_fetcher()
        self.task_log_fetcher.start()
        try:
            yield
        finally:
            self.task_log_fetcher.stop()
            self.task_log_fetcher.join()

    def _get_task_log_fetcher(self) -> AwsTaskLogFetcher:
        return _Sentences(
            aws_conn_id=self.aws_conn_id,
            region_name=self.resolve_awslogs_region(),
            log_group=self.awslogs_group,
            log_stream_name=self._get_logs_stream_name(),
            fetch_interval=self.awslogs_fetch_interval,
            logger=self.log,
        )

    def _last_lines(self) -> list[str]:
        # Throttled or missing logs are no reason to fail: the verdict has been given.
        with suppress(ClientError, BotoCoreError):
            if self.task_log_fetcher:
                return self.task_log_fetcher.get_last_log_messages(self.number_logs_exception)
        return []
