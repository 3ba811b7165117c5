"""The routes of the page: who may see it, what Airflow's database knows of a run, and what the browser may do with it.

Not loaded as a plugin (`.airflowignore`): `mnist_page` imports it when the page is first asked for.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Annotated

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import HTMLResponse, Response, StreamingResponse
from sqlalchemy import select
from starlette.exceptions import HTTPException

from mnist_tasks.classifier import Classifier
from mnist_tasks.cost import Prices
from mnist_tasks.definitions import NAMES, named
from mnist_tasks.errors import MnistError
from mnist_tasks.page import data, render
from mnist_tasks.page.data import AirflowRun, Place
from mnist_tasks.promotion.chain import Chain
from mnist_tasks.signing import TrustedKeys
from mnist_tasks.storage import Storage
from mnist_wiring import SETTINGS, layout_of

FIRST = named("mnist")
# Rollbacks are rare: these reach back further than the decisions that the page shows.
_RUNS_ASKED_FOR = 50
# A person waits for the page. boto3's own patience is five tries of a minute each.
_BRIEF = {"connect_timeout": 2, "read_timeout": 5, "retries": {"mode": "standard", "total_max_attempts": 2}}

log = logging.getLogger(__name__)

DagId = Annotated[str, Query(max_length=250)]
RunId = Annotated[str, Query(min_length=1, max_length=250)]


def create() -> FastAPI:
    """The application. Every route of it, whatever it serves, needs a user who may see the training DAG's runs."""
    app = FastAPI(
        title="MNIST page",
        dependencies=[Depends(may_see)],
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        exception_handlers={HTTPException: _refused, MnistError: _unreadable},
    )
    app.middleware("http")(_guarded)
    app.get("/")(page)
    app.get("/page.css")(stylesheet)
    app.get("/page.js")(script)
    app.get("/digits.png")(digits)
    app.get("/report")(report)
    return app


def may_see(request: Request, user: GetUserDep) -> None:
    """Lets nobody in who may not see the runs of the training DAG that the page is about."""
    dag_id = asked_for(request.query_params.get("dag_id", "")).training_dag
    requires_access_dag(method="GET", access_entity=DagAccessEntity.RUN, param_dag_id=dag_id)(request, user)


def asked_for(dag_id: str) -> Classifier:
    """The classifier that a DAG belongs to; for a DAG of nobody's, and where none is named, the first one."""
    return next((c for c in map(named, NAMES) if dag_id in {c.training_dag, c.rollback_dag}), FIRST)


def page(dag_id: DagId = FIRST.training_dag, run_id: RunId | None = None, part: str = "") -> Response:
    """The page of a run, or of all. `part=main` is what its script asks for: the content alone, with a status."""
    classifier = asked_for(dag_id)
    training, rollback = classifier.training_dag, classifier.rollback_dag
    if dag_id not in {training, rollback}:
        lines = [f"It shows {training} and {rollback}; {dag_id} is neither."]
        return HTMLResponse(
            render.head("MNIST", training) + render.message("This tab belongs to another DAG.", lines) + render.END
        )
    if part == "main":
        return HTMLResponse(_content(dag_id, run_id))
    # In two pieces, so that there is something to look at while S3 is asked. Compression would keep the first one back
    # until the second is there; an encoding that is set already keeps it away.
    return StreamingResponse(
        _pieces(dag_id, run_id), media_type="text/html; charset=utf-8", headers={"Content-Encoding": "identity"}
    )


def _pieces(dag_id: str, run_id: str | None) -> Iterator[str]:
    classifier = asked_for(dag_id)
    title = f"{classifier.title}: {run_id}" if run_id else classifier.title
    yield render.head(title, classifier.training_dag)
    try:
        yield _content(dag_id, run_id)
    except MnistError as error:
        yield render.trouble(error)
    except Exception:  # the head is sent: without an answer, the page would be loading for ever
        log.exception("the page of %s %s failed", dag_id, run_id)
        yield render.message("This page has failed.", ["The log of Airflow's API server says why."], kind="error")
    yield render.END


def _content(dag_id: str, run_id: str | None) -> str:
    now, classifier = datetime.now(UTC), asked_for(dag_id)
    where = place(classifier)
    if run_id is None:
        runs, rollbacks = known_runs(classifier.training_dag), known_runs(classifier.rollback_dag)
        return render.overview(data.read_overview(where, runs, rollbacks, now))
    known = known_runs(dag_id, run_id)
    return render.run(data.read_run(where, known[0] if known else AirflowRun(dag_id, run_id, "unknown"), now))


def stylesheet() -> Response:
    """The page's looks."""
    return Response(render.stylesheet(), media_type="text/css", headers=_KEPT)


def script() -> Response:
    """What keeps the page up to date."""
    return Response(render.script(), media_type="text/javascript", headers=_KEPT)


def digits(dag_id: DagId, run_id: RunId) -> Response:
    """The images of the worst mistakes."""
    png = data.read_digits(place(asked_for(dag_id)), AirflowRun(dag_id, run_id, "").slug)
    if png is None:
        raise HTTPException(404, "This run has no such picture.")
    return Response(png, media_type="image/png", headers=_KEPT)


def report(dag_id: DagId, run_id: RunId) -> Response:
    """The run's report, to be kept: shown in Airflow's own origin, a report that somebody changed could act in it."""
    slug = AirflowRun(dag_id, run_id, "").slug
    html = data.read_report(place(asked_for(dag_id)), slug)
    if html is None:
        raise HTTPException(404, "This run has no report.")
    name = f'attachment; filename="{asked_for(dag_id).name}-report-{slug}.html"'
    return Response(html, media_type="text/html; charset=utf-8", headers={"Content-Disposition": name})


@cache
def place(classifier: Classifier) -> Place:
    """The bucket through the connection `aws_default`, as the steps reach it, but without their patience."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook
    from botocore.config import Config

    client = S3Hook(aws_conn_id="aws_default", config=Config(**_BRIEF)).conn
    chain = Chain(
        Storage(client, SETTINGS.bucket),
        layout_of(classifier),
        TrustedKeys.from_file(SETTINGS.signing_keys, production=SETTINGS.attestation_production),
    )
    return Place(chain, Prices.of(SETTINGS))


def known_runs(dag_id: str, run_id: str | None = None) -> list[AirflowRun]:
    """What Airflow knows of a run, or of the newest ones, newest first."""
    with create_session() as session:
        columns = (DagRun.run_id, DagRun.state, DagRun.start_date, DagRun.triggering_user_name)
        query = select(*columns).where(DagRun.dag_id == dag_id)
        query = query.where(DagRun.run_id == run_id) if run_id else query.order_by(DagRun.run_after.desc())
        rows = session.execute(query.limit(_RUNS_ASKED_FOR)).all()
        failed: dict[str, dict[str, None]] = {}
        tasks = select(TaskInstance.run_id, TaskInstance.task_id).where(
            TaskInstance.dag_id == dag_id,
            TaskInstance.run_id.in_([row.run_id for row in rows if row.state == "failed"]),
            TaskInstance.state == "failed",
        )
        for task in session.execute(tasks.order_by(TaskInstance.end_date)):
            failed.setdefault(task.run_id, {})[task.task_id] = None  # each once, in the order of failure
    return [
        AirflowRun(
            dag_id=dag_id,
            run_id=row.run_id,
            state=str(row.state or "queued"),
            started=row.start_date,
            user=row.triggering_user_name,
            failed_steps=tuple(failed.get(row.run_id, ())),
        )
        for row in rows
    ]


async def _refused(request: Request, error: HTTPException) -> Response:
    """A refusal that people can read. It brings its looks along: who may not see the page gets no stylesheet."""
    dag_id = asked_for(request.query_params.get("dag_id", "")).training_dag
    title, line = {
        401: ("You are not logged in.", "Log in to Airflow, then load this page again."),
        403: (
            "You may not see this page.",
            f"It needs read access to the runs of {dag_id}: ask who runs Airflow.",
        ),
    }.get(error.status_code, ("Not found.", str(error.detail)))
    style = render.stylesheet().decode()
    body = f"<!doctype html>\n<html lang=en><meta charset=utf-8><title>{title}</title><style>{style}</style>\n"
    content = render.message(title, [line], kind="error")
    return HTMLResponse(body + content, error.status_code, headers=error.headers)


async def _unreadable(request: Request, error: MnistError) -> Response:  # noqa: ARG001 - FastAPI's signature
    return HTMLResponse(render.trouble(error), 503)


@cache
def _policy() -> str:
    """Nothing from elsewhere, nothing inline but the one stylesheet of `_refused`, framed by Airflow's UI alone."""
    style = base64.b64encode(hashlib.sha256(render.stylesheet()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'self' 'sha256-{style}'; script-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )


_KEPT = {"Cache-Control": "private, max-age=3600"}


async def _guarded(request: Request, call_next):  # type: ignore[no-untyped-def]
    answer = await call_next(request)
    answer.headers["Content-Security-Policy"] = _policy()
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Referrer-Policy"] = "same-origin"
    answer.headers.setdefault("Cache-Control", "no-store")
    return answer
