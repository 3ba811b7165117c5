"""The nightly pipeline: download, validate, train on ECS, pick the best, ask (if wanted), promote on ECS, report.

- **Promoted** means that the best candidate passed the gates and has its `_final`.
- **Released** means that this `_final` is now the champion: it was significantly better on the same test images.
- A step that fails for good fails the run, and its mail names the cause and the cure. Clear the run to go on from
  there: every step finishes what it has begun and doubles nothing.
- A run with `approval_hours` waits for a person before it promotes anything: *Required Actions* in Airflow's UI.
- To repeat a night, trigger the DAG with the seed that its report names.

Wiring only: what a step does stands in `mnist_tasks`, what differs between a laptop, docker-compose and AWS in the
environment (`mnist_tasks.config.Settings`) and in Airflow's connections `aws_default` and `smtp_default`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Asset, CronTriggerTimetable, TriggerRule, chain, task
from mnist_wiring import (
    DEFAULT_ARGS,
    LAYOUT,
    ON_PROMOTER,
    RELEASED,
    SETTINGS,
    announce,
    chain_of_decisions,
    earlier_failure,
    form,
    on_ecs,
    promotion,
    send_failure,
    send_once,
    slug_of,
    storage,
    training,
)

from mnist_approval import AskOperator, answer_of
from mnist_ecs import EcsWorkOperator
from mnist_tasks.config import RunConfig

DATASET = Asset(f"s3://{SETTINGS.bucket}/datasets/mnist")

with DAG(
    dag_id="mnist_training",
    description="Trains, checks, promotes and reports the MNIST classifier",
    # No start date, and no grace for a first run: switched on at three, the DAG waits for the next night instead of
    # making up for the last one in front of the run that a person is about to trigger.
    schedule=CronTriggerTimetable(SETTINGS.schedule, timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,
    # Six hours of work, and as long as a run may wait for a person.
    dagrun_timeout=timedelta(hours=30),
    default_args=DEFAULT_ARGS,
    params=form(RunConfig),
    tags=["mnist", "training"],
    doc_md=__doc__,
):

    @task(outlets=[DATASET])
    def download(*, params: Any = None, dag_run: Any = None, outlet_events: Any = None) -> str:
        """Bring the data set into S3, once; its SHA-256 goes on."""
        from mnist_tasks import dataset

        RunConfig.from_params(params, dag_run.conf)  # a bad parameter ends the run before anything costs time
        reference = dataset.download(storage(), LAYOUT, url=SETTINGS.dataset_url)
        outlet_events[DATASET].extra = reference.model_dump()
        return reference.sha256

    @task
    def validate(sha256: str, *, dag_run: Any = None) -> str:
        """Check the data set's content; a refusal stops the run."""
        from mnist_tasks import validation

        validation.run(storage(), LAYOUT, slug_of(dag_run), sha256, datetime.now(UTC))
        return sha256

    @task
    def plan(sha256: str, *, params: Any = None, dag_run: Any = None) -> list[dict[str, Any]]:
        """Claim the candidates' names and seeds before anything is started."""
        from mnist_tasks.plan import make_plan

        made = make_plan(
            storage(),
            LAYOUT,
            dag_id=dag_run.dag_id,
            run_id=dag_run.run_id,
            config=RunConfig.from_params(params, dag_run.conf),
            dataset_sha256=sha256,
            now=dag_run.run_after,  # and not the clock: a retry has to come to the same names
        )
        return [job.model_dump(mode="json") for job in made.jobs]

    train = EcsWorkOperator.partial(
        task_id="train",
        map_index_template="{{ task.job['candidate'] }}",
        **on_ecs(SETTINGS.task_definition, SETTINGS.container_name, SETTINGS.log_stream_prefix),
        capacity=SETTINGS.capacity,
        work=training,
        do_xcom_push=False,
        execution_timeout=timedelta(hours=2),
    )

    @task
    def pick_best(*, dag_run: Any = None) -> str:
        """Choose by validation accuracy, then loss, then name."""
        from mnist_tasks import plan

        return plan.pick_best(storage(), LAYOUT, slug_of(dag_run)).name

    # Off by default: skipped at once, unless the run says how many hours it waits for a person's answer.
    approve = AskOperator(task_id="approve")

    # A container with a role of its own recomputes the best candidate's figures, writes its `_final`, and releases it
    # if it is better. Airflow's workers read no weights and write no final.
    promote = EcsWorkOperator(
        task_id="promote",
        **ON_PROMOTER,
        work=lambda context: promotion(context["dag_run"], action="promote", **answer_of(context)),
        # Where nobody was asked. Where somebody was, the promoter itself insists on the answer.
        trigger_rule=TriggerRule.NONE_FAILED,
        outlets=[RELEASED],
        post_execute=announce,
    )

    @task
    def report(*, dag_run: Any = None) -> dict[str, str]:
        """Write the run's report to S3."""
        from mnist_tasks import report
        from mnist_tasks.cost import Prices

        return report.publish(chain_of_decisions(), slug_of(dag_run), Prices.of(SETTINGS))

    @task
    def email_report(*, dag_run: Any = None, ti: Any = None) -> bool:
        """Mail the report to the run's recipients, once; returns whether this try sent it."""
        from mnist_tasks import plan, report

        slug = slug_of(dag_run)
        told = {"airflow_url": SETTINGS.airflow_url, "earlier_failure": earlier_failure(ti)}
        mail = report.compose_mail(chain_of_decisions(), slug, **told)
        recipients = plan.read_plan(storage(), LAYOUT, slug).config.recipients
        return send_once(mail, slug=slug, kind="report", recipients=recipients)

    # Not downstream of `email_report`: then it would be the only leaf, and its success would turn a failed run green.
    @task(trigger_rule=TriggerRule.ONE_FAILED)
    def email_failure(*, dag_run: Any = None, ti: Any = None) -> str:
        """Mail what failed and why, as soon as a step has failed for good."""
        return send_failure(ti, dag_run)

    downloaded = download()
    validated = validate(downloaded)
    planned = plan(validated)
    trained = train.expand(job=planned)
    best, reported = pick_best(), report()
    chain(trained, best, approve, promote, reported, email_report())
    [downloaded, validated, planned, trained, best, approve, promote, reported] >> email_failure()
