"""The page in the Airflow UI: a tab of the DAG and of each run, served by the API server.

Airflow does not authenticate what plugins serve: every route here asks for the logged-in user and for access to the
training DAG (401 and 403 without). It is framed by the UI itself, with the UI's own cookie, and by nobody else.

Plugins are loaded in every Airflow process, also by each `airflow` command: so this file imports nothing but the base
class, and the application (`mnist_page_routes`) is made when its first request comes.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from airflow.plugins_manager import AirflowPlugin

if TYPE_CHECKING:
    from fastapi import FastAPI

URL_PREFIX = "/mnist"
# Relative, because a deployment may serve the UI below a path.
HREF = "mnist/?dag_id={DAG_ID}"


@cache
def application() -> FastAPI:
    """The application behind the page."""
    from mnist_page_routes import create

    return create()


async def serve(scope: Any, receive: Any, send: Any) -> None:
    """The application as ASGI sees it, made when it is needed."""
    await application()(scope, receive, send)


class MnistPage(AirflowPlugin):
    """Registers the application and its two tabs."""

    name = "mnist_page"
    fastapi_apps = [{"name": "MNIST page", "app": serve, "url_prefix": URL_PREFIX}]  # noqa: RUF012 - Airflow's form
    # The UI shows them beside every DAG; their routes stand in mails that were sent.
    external_views = [  # noqa: RUF012
        {"name": "Model", "href": HREF, "destination": "dag", "url_route": "mnist"},
        {"name": "Model", "href": HREF + "&run_id={RUN_ID}", "destination": "dag_run", "url_route": "mnist_run"},
    ]
