"""What the DAGs share: where tasks meet Airflow's connections, the form, retries, and how a failure is told.

`aws_default` and `smtp_default` are ordinary Airflow connections (UI, secrets backend or `AIRFLOW_CONN_...`). Without
an `aws_default`, boto3's own chain applies: environment, profile, the role of the container or machine.
"""

from __future__ import annotations

import gc
import hashlib
import json
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, AssetAlias, BaseHook, ExceptionRetryPolicy, Param, RetryAction, RetryRule

from mnist_tasks.config import Frozen, PromotionJob, Settings, TrainingJob
from mnist_tasks.errors import ConfigurationError
from mnist_tasks.layout import RUNS_KEPT, Layout, run_slug

if TYPE_CHECKING:
    from email.message import EmailMessage

    from mnist_tasks.classifier import Classifier
    from mnist_tasks.ecs import Work
    from mnist_tasks.notify import Mail, MailServer
    from mnist_tasks.promotion.chain import Chain
    from mnist_tasks.report import FailedStep
    from mnist_tasks.storage import Storage

SETTINGS = Settings.from_environment(os.environ)
# Of a failed step's log, for its mail.
_LOG_LINES, _LOG_WIDTH = 15, 300


def layout_of(classifier: Classifier) -> Layout:
    """Its keys in this deployment's bucket."""
    return Layout(classifier, SETTINGS.checkpoints_prefix)


def data_set_asset(classifier: Classifier) -> Asset:
    """What `download` brings.

    Assets are called by their URI: under a name of its own, an asset would stay inactive after a change of the bucket
    until the scheduler has retired the old one.
    """
    return Asset(f"s3://{SETTINGS.bucket}/{layout_of(classifier).datasets}")


def champion_asset(classifier: Classifier) -> Asset:
    """The pointer to the final that is in service."""
    return Asset(f"s3://{SETTINGS.bucket}/{layout_of(classifier).champion}")


def released(classifier: Classifier) -> AssetAlias:
    """An alias, because a run that keeps the champion must not look like an update of it."""
    return AssetAlias(f"{classifier.name}-released")


@cache
def storage() -> Storage:
    """The bucket, through the connection `aws_default`; one client for the process, since making one takes 0.1 s."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    from mnist_tasks.storage import Storage

    # What Airflow has loaded by now lives as long as the process. Each look of the collector at all of it costs 0.3 s,
    # and what a step imports and reads makes it look several times.
    gc.freeze()
    return Storage(S3Hook(aws_conn_id="aws_default").conn, SETTINGS.bucket)


@cache
def chain_of_decisions(classifier: Classifier) -> Chain:
    """The signed decisions, for reading: only the promoter's container may sign.

    Raises:
        ConfigurationError: `MNIST_SIGNING_KEYS` names no file with public keys.
    """
    from mnist_tasks.promotion.chain import Chain
    from mnist_tasks.signing import TrustedKeys

    keys = TrustedKeys.from_file(SETTINGS.signing_keys, production=SETTINGS.attestation_production)
    return Chain(storage(), layout_of(classifier), keys)


def training(classifier: Classifier, context: Any) -> Work:
    """What a mapped step has its container do: the job that the plan made, checked again."""
    from mnist_tasks import work

    job = TrainingJob.checked(context["task"].job, mend="clear the step `plan`: its XCom is no plan's job")
    return work.training(storage(), layout_of(classifier), job)


def promotion(classifier: Classifier, dag_run: Any, **wish: str | None) -> Work:
    """What the promoter is asked to do for this run; `wish` is the action and what it needs."""
    from mnist_tasks import work

    values = {
        "bucket": SETTINGS.bucket,
        "checkpoints_prefix": SETTINGS.checkpoints_prefix,
        "run": slug_of(dag_run),
        "classifier": classifier.name,
        **wish,
    }
    job = PromotionJob.checked(values, mend="trigger the run again with values inside the bounds of the form")
    return work.promotion(chain_of_decisions(classifier), job)


def on_ecs(task_definition: str, container: str, log_stream_prefix: str) -> dict[str, Any]:
    """What every step that runs a container tells its operator."""
    return {
        "cluster": SETTINGS.cluster,
        "task_definition": task_definition,
        "network_configuration": SETTINGS.network_configuration(),
        "container_name": container,
        "awslogs_group": SETTINGS.log_group,
        "awslogs_stream_prefix": log_stream_prefix,
        "awslogs_fetch_interval": timedelta(seconds=SETTINGS.poll_seconds),
        "waiter_delay": SETTINGS.poll_seconds,
    }


# Never on Spot: a promotion takes seconds, and the champion waits for it.
ON_PROMOTER: dict[str, Any] = {
    **on_ecs(SETTINGS.promoter_task_definition, SETTINGS.promoter_container_name, SETTINGS.promoter_log_stream_prefix),
    "capacity": "FARGATE",
}


def announce(classifier: Classifier, context: Any, decision: Any) -> None:
    """Tell whoever waits for a new champion, if this decision made one that is still in service.

    A step that is run again tells it again: nobody knows whether Airflow had heard of it.
    """
    if decision["in_service"]:
        context["outlet_events"][released(classifier)].add(champion_asset(classifier), extra=decision)


def mail_server() -> MailServer:
    """The mail server of the connection `smtp_default`.

    Extras are those of Airflow's SMTP provider: `disable_ssl` and `disable_tls` (STARTTLS), both false by default, and
    `timeout` in seconds. In a URI, true, yes, on and 1 are true.

    Raises:
        ConfigurationError: a `timeout` that is no number of seconds.
    """
    from mnist_tasks.notify import MailServer

    connection = BaseHook.get_connection("smtp_default")
    extra = connection.extra_dejson
    ssl = not _is_set(extra, "disable_ssl")
    return MailServer(
        host=connection.host or "localhost",
        port=connection.port or (465 if ssl else 587),
        username=connection.login or None,
        password=connection.password or None,
        ssl=ssl,
        starttls=not ssl and not _is_set(extra, "disable_tls"),
        timeout=_seconds(extra.get("timeout", 30)),
    )


def _seconds(value: object) -> float:
    with suppress(ValueError):
        if 0 < (seconds := float(str(value))) < math.inf:
            return seconds
    raise ConfigurationError(
        f"the extra timeout of the connection smtp_default is {value!r}, and has to be a number of seconds above 0",
        mend="write it as a number, as in 30, or remove it (30 is what applies then)",
    )


def _is_set(extra: Mapping[str, Any], name: str) -> bool:
    """Whether a connection's extra switches something off: of a URI, it is text, and "false" would count as true.

    What is no clear yes leaves encryption on, so that a word that nobody foresaw sends no password in the clear.
    """
    return str(extra.get(name)).strip().lower() in {"1", "true", "yes", "on"}


def message(mail: Mail, *, slug: str, kind: str, recipients: tuple[str, ...]) -> EmailMessage:
    """The mail as it goes to the mail server."""
    from mnist_tasks import notify

    return notify.build_message(
        mail,
        sender=SETTINGS.mail_from,
        recipients=recipients,
        message_id=notify.message_id(slug, kind, SETTINGS.mail_from),
        date=datetime.now(UTC),
    )


def send_once(classifier: Classifier, mail: Mail, *, slug: str, kind: str, recipients: tuple[str, ...]) -> bool:
    """Send the run's mail, unless an earlier try has; returns whether it was sent now."""
    from mnist_tasks import outbox

    ready = message(mail, slug=slug, kind=kind, recipients=recipients)
    # Its last mail is the run's mail; the one that calls for an answer has a record of its own.
    record = "mail-approval.json" if kind == "approval" else "mail.json"
    server, now = mail_server(), datetime.now(UTC)
    return outbox.send_once(storage(), layout_of(classifier), slug, ready, server, now=now, record=record)


def send_failure(classifier: Classifier, ti: Any, dag_run: Any) -> str:
    """Tell what has failed and why. Needs nothing of AWS, which may be what failed. Returns the mail's subject."""
    from mnist_tasks import notify, report

    ended = ti.get_task_breadcrumbs(dag_run.dag_id, dag_run.run_id)
    failed = [step for step in ended if step["state"] == "failed"]
    run = {"dag_id": dag_run.dag_id, "run_id": dag_run.run_id, "airflow_url": SETTINGS.airflow_url}
    mail = report.render_failure_mail(classifier, failed_steps(ti, failed), **run)
    kind = f"failure-{failure_id(failed)}"
    ready = message(mail, slug=slug_of(dag_run), kind=kind, recipients=classifier.recipients)
    notify.deliver(ready, mail_server())
    return mail.subject


def earlier_failure(ti: Any) -> str:
    """Subject of the mail that told that this run had failed; empty if it had not.

    What `email_failure` returned outlives the clearing of a run: that step does not run again, it is skipped.
    """
    subject = next(iter(ti.xcom_pull(task_ids=["email_failure"], key="return_value")), None)
    return subject if isinstance(subject, str) else ""


def failure_id(failed: list[dict[str, Any]]) -> str:
    """The same at every try to mail this failure; another one when the run is cleared and fails again.

    No two times does a step take equally long, to the microsecond that Airflow keeps.
    """
    ends = sorted((step["task_id"], step["map_index"], step["duration"] or 0.0) for step in failed)
    return hashlib.sha256(json.dumps(ends).encode()).hexdigest()[:8]


def slug_of(dag_run: Any) -> str:
    """The part of every S3 key that belongs to this run."""
    return run_slug(dag_run.dag_id, dag_run.run_id)


def check_is_remembered(dag_run: Any) -> None:
    """A cleared run does nothing twice, as its records in S3 tell what it has done. They expire.

    Raises:
        ConfigurationError: the run is cleared, and older than its records may be.
    """
    age = datetime.now(UTC) - dag_run.run_after
    if dag_run.clear_number and age >= RUNS_KEPT:
        raise ConfigurationError(
            f"the run {dag_run.run_id} is {age.days} days old; its records are kept for {RUNS_KEPT.days}, and without "
            "them it could do a second time what it has done",
            mend="trigger a new run instead",
        )


def run_is_over(ti: Any, slug: str) -> bool:
    """Whether this Airflow knows the run, whatever it trains, and that it has ended."""
    from mnist_tasks.definitions import NAMES, named
    from mnist_tasks.plan import find_plan

    plans = (find_plan(storage(), layout_of(named(name)), slug) for name in NAMES)
    plan = next(filter(None, plans), None)
    return plan is not None and ti.get_dr_count(plan.dag_id, run_ids=[plan.run_id], states=["success", "failed"]) > 0


def form(model: type[Frozen], defaults: Frozen | None = None) -> dict[str, Param]:
    """The form of the Airflow UI, made from the model that checks what comes back: the same bounds in both places.

    `defaults`: an instance whose values the form begins with, instead of the model's own.
    """
    schema = model.model_json_schema()
    fields = schema["properties"]
    if defaults:
        fields = {name: field | {"default": defaults.model_dump(mode="json")[name]} for name, field in fields.items()}
    return {name: _param(field, required=name in schema.get("required", ())) for name, field in fields.items()}


def _param(field: dict[str, Any], *, required: bool) -> Param:
    schema = {key: value for key, value in field.items() if key != "default"}
    # JSON schema has two ways to say "or nothing"; Airflow's form understands only the list of types.
    for variant in schema.pop("anyOf", []):
        schema.update({**variant, "type": [variant["type"], "null"]} if variant["type"] != "null" else {})
    return Param(**schema) if required else Param(field["default"], **schema)


def remember_cause(context: Any) -> None:
    """Leave the cause where the failure mail finds it: a task cannot read another one's log."""
    from mnist_tasks.errors import MnistError
    from mnist_tasks.report import FailedStep

    ti, error = context["ti"], context.get("exception")
    problem, mend = (error.problem, error.mend) if isinstance(error, MnistError) else (str(error), "")
    cause = FailedStep(
        step=ti.task_id,
        map_index=ti.map_index,
        error=type(error).__name__,
        problem=problem,
        mend=mend,
        log_tail=log_tail(error),
    )
    ti.xcom_push(key="failure", value=cause.model_dump(mode="json"))


def log_tail(error: BaseException | None) -> tuple[str, ...]:
    """The end of the log that belongs to an error: its container's, or of one that nobody foresaw, the traceback."""
    import traceback

    from mnist_tasks.errors import MnistError
    from mnist_tasks.notify import one_line

    foreseen = error is None or isinstance(error, MnistError)
    lines = getattr(error, "log", ()) if foreseen else "".join(traceback.format_exception(error)).splitlines()
    return tuple(one_line(line, _LOG_WIDTH) for line in lines[-_LOG_LINES:])


def failed_steps(ti: Any, failed: list[dict[str, Any]]) -> list[FailedStep]:
    """The steps that Airflow calls failed, each with its cause where it could still leave one."""
    from mnist_tasks.report import FailedStep

    keys = [(step["task_id"], step["map_index"]) for step in failed]
    left = ti.xcom_pull(task_ids=sorted({step for step, _ in keys}), key="failure")
    causes = {(cause.step, cause.map_index): cause for cause in map(FailedStep.found, left) if cause}
    lost = "the step ended without a word: its worker was lost or killed"
    return [causes.get(key) or FailedStep(step=key[0], map_index=key[1], problem=lost) for key in keys]


DEFAULT_ARGS: dict[str, Any] = {
    "owner": "mnist",
    "retries": 2,
    "retry_delay": timedelta(seconds=SETTINGS.retry_seconds),
    "retry_exponential_backoff": 2.0,
    # Of a run that was cleared, Airflow counts the tries from the very first one: the wait would grow to a day.
    "max_retry_delay": timedelta(seconds=4 * SETTINGS.retry_seconds),
    # What may pass on its own is tried again; everything else fails at once, because it would only fail later.
    "retry_policy": ExceptionRetryPolicy(
        rules=[
            RetryRule(["mnist_tasks.errors.TemporaryError", "mnist_tasks.errors.Conflict"], RetryAction.RETRY),
            RetryRule("mnist_tasks.errors.MnistError", RetryAction.FAIL),
        ]
    ),
    "execution_timeout": timedelta(minutes=15),
    "on_failure_callback": remember_cause,
}
