"""The two DAGs of a classifier, made from its definition: training, and the way back to an earlier final.

Wiring only: what a step does stands in `mnist_tasks`, what differs between a laptop, docker-compose and AWS in the
environment (`mnist_tasks.config.Settings`) and in Airflow's connections `aws_default` and `smtp_default`, and what
differs between classifiers in their definitions. A file in `dags/` calls one of the functions for each of its DAGs.

Not loaded as a plugin (`.airflowignore`): only what parses or runs a DAG needs it.
"""

from __future__ import annotations

import gc
import os
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from airflow.sdk import DAG, CronTriggerTimetable, TriggerRule, chain, task

from mnist_approval import AskOperator, answer_of
from mnist_ecs import EcsWorkOperator
from mnist_tasks.classifier import Classifier
from mnist_tasks.config import RollbackConfig, RunConfig
from mnist_wiring import (
    DEFAULT_ARGS,
    ON_PROMOTER,
    SETTINGS,
    announce,
    chain_of_decisions,
    check_is_remembered,
    data_set_asset,
    earlier_failure,
    form,
    layout_of,
    on_ecs,
    promotion,
    released,
    send_failure,
    send_once,
    slug_of,
    storage,
    training,
)

# Python looks for garbage after every 700 new objects, which suits processes that stay. What parses a DAG or runs a
# step loads modules by the thousand and ends: looking less often takes a tenth of its CPU time away, for 13 MB.
gc.set_threshold(50_000, 20, 50)


def training_dag(definition: Classifier, *, doc: str) -> DAG:
    """The nightly pipeline: download, validate, train on ECS, pick the best, ask (if wanted), promote, report."""
    classifier = definition.deployed(os.environ)
    layout, data_set = layout_of(classifier), data_set_asset(classifier)

    with DAG(
        dag_id=classifier.training_dag,
        description=f"Trains, checks, promotes and reports the {classifier.title} classifier",
        # No start date, and no grace for a first run: switched on at three, the DAG waits for the next night instead
        # of making up for the last one in front of the run that a person is about to trigger.
        schedule=CronTriggerTimetable(classifier.schedule, timezone="UTC", run_immediately=timedelta(0)),
        catchup=False,
        max_active_runs=1,
        # Six hours of work, and as long as a run may wait for a person.
        dagrun_timeout=timedelta(hours=30),
        default_args=DEFAULT_ARGS,
        params=form(RunConfig, classifier.training),
        tags=[classifier.name, "training"],
        doc_md=doc,
    ) as dag:

        @task(outlets=[data_set])
        def download(*, params: Any = None, dag_run: Any = None, outlet_events: Any = None) -> str:
            """Bring the data set into S3, once; its SHA-256 goes on."""
            from mnist_tasks import dataset
            from mnist_tasks.plan import find_plan

            # A bad parameter ends the run before anything costs time.
            classifier.check(RunConfig.from_params(params, dag_run.conf))
            settled = find_plan(storage(), layout, slug_of(dag_run))
            reference = dataset.download(
                storage(), layout, url=classifier.url, settled=settled.dataset_sha256 if settled else None
            )
            outlet_events[data_set].extra = reference.model_dump()
            return reference.sha256

        @task
        def validate(sha256: str, *, dag_run: Any = None) -> str:
            """Check the data set's content; a refusal stops the run."""
            from mnist_tasks import validation

            validation.run(storage(), layout, slug_of(dag_run), sha256, datetime.now(UTC))
            return sha256

        @task
        def plan(sha256: str, *, params: Any = None, dag_run: Any = None) -> list[dict[str, Any]]:
            """Claim the candidates' names and seeds before anything is started."""
            from mnist_tasks.plan import make_plan

            check_is_remembered(dag_run)
            made = make_plan(
                storage(),
                layout,
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
            work=partial(training, classifier),
            do_xcom_push=False,
            execution_timeout=timedelta(hours=2),
        )

        @task
        def pick_best(*, dag_run: Any = None) -> str:
            """Choose by validation accuracy, then loss, then name."""
            from mnist_tasks import plan

            return plan.pick_best(storage(), layout, slug_of(dag_run)).name

        # Off by default: skipped at once, unless the run says how many hours it waits for a person's answer.
        approve = AskOperator(task_id="approve", classifier=classifier)

        # A container with a role of its own recomputes the best candidate's figures, writes its `_final`, and releases
        # it if it is better. Airflow's workers read no weights and write no final.
        promote = EcsWorkOperator(
            task_id="promote",
            **ON_PROMOTER,
            work=lambda context: promotion(
                classifier, context["dag_run"], action="promote", **answer_of(layout, context)
            ),
            # Where nobody was asked. Where somebody was, the promoter itself insists on the answer.
            trigger_rule=TriggerRule.NONE_FAILED,
            outlets=[released(classifier)],
            post_execute=partial(announce, classifier),
        )

        @task(multiple_outputs=False)  # a type of `dict` alone would make an XCom of each of its values as well
        def report(*, dag_run: Any = None) -> dict[str, str]:
            """Write the run's report to S3."""
            from mnist_tasks import report
            from mnist_tasks.cost import Prices

            return report.publish(chain_of_decisions(classifier), slug_of(dag_run), Prices.of(SETTINGS))

        @task
        def email_report(*, dag_run: Any = None, ti: Any = None) -> bool:
            """Mail the report to the run's recipients, once; returns whether this try sent it."""
            from mnist_tasks import plan, report

            slug = slug_of(dag_run)
            told = {"airflow_url": SETTINGS.airflow_url, "earlier_failure": earlier_failure(ti)}
            mail = report.compose_mail(chain_of_decisions(classifier), slug, **told)
            recipients = plan.read_plan(storage(), layout, slug).config.recipients or classifier.recipients
            return send_once(classifier, mail, slug=slug, kind="report", recipients=recipients)

        # Not downstream of `email_report`: then it would be the only leaf, and its success would turn a failed run
        # green.
        @task(trigger_rule=TriggerRule.ONE_FAILED)
        def email_failure(*, dag_run: Any = None, ti: Any = None) -> str:
            """Mail what failed and why, as soon as a step has failed for good."""
            return send_failure(classifier, ti, dag_run)

        downloaded = download()
        validated = validate(downloaded)
        planned = plan(validated)
        trained = train.expand(job=planned)
        best, reported = pick_best(), report()
        chain(trained, best, approve, promote, reported, email_report())
        [downloaded, validated, planned, trained, best, approve, promote, reported] >> email_failure()
    return dag


def rollback_dag(definition: Classifier, *, doc: str) -> DAG:
    """Puts an earlier final back into service, by hand and with a reason."""
    classifier = definition.deployed(os.environ)

    def wish(context: Any) -> Any:
        """What the person asked for, checked, as the promoter's work."""
        check_is_remembered(context["dag_run"])
        wished = RollbackConfig.from_params(context["params"], context["dag_run"].conf)
        return promotion(classifier, context["dag_run"], action="rollback", to=wished.to, reason=wished.reason)

    with DAG(
        dag_id=classifier.rollback_dag,
        description="Points the champion back to an earlier final",
        schedule=None,
        # It runs only when somebody asks for it, and then nobody wants to find out that it waits for a switch.
        is_paused_upon_creation=False,
        max_active_runs=1,
        default_args=DEFAULT_ARGS,
        params=form(RollbackConfig),
        tags=[classifier.name, "rollback"],
        doc_md=doc,
    ) as dag:
        # The promoter verifies the final, records the decision, moves the champion.
        rollback = EcsWorkOperator(
            task_id="rollback",
            **ON_PROMOTER,
            work=wish,
            outlets=[released(classifier)],
            post_execute=partial(announce, classifier),
        )

        @task
        def email_rollback(*, dag_run: Any = None) -> bool:
            """Tell the classifier's recipients what was moved and why, once; returns whether this try sent it."""
            from mnist_tasks import report

            slug = slug_of(dag_run)
            run = {"dag_id": dag_run.dag_id, "run_id": dag_run.run_id, "airflow_url": SETTINGS.airflow_url}
            mail = report.compose_rollback_mail(chain_of_decisions(classifier), slug, **run)
            return send_once(classifier, mail, slug=slug, kind="rollback", recipients=classifier.recipients)

        @task(trigger_rule=TriggerRule.ONE_FAILED)
        def email_failure(*, dag_run: Any = None, ti: Any = None) -> str:
            """Mail what failed and why."""
            return send_failure(classifier, ti, dag_run)

        rollback >> [email_rollback(), email_failure()]
    return dag
