"""The steps: write a run's report to S3, compose the mail about it. Either may be run again at any time.

The mail takes its plots from S3, where the report's step has put them: so matplotlib is imported once in a run.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

from pydantic import StringConstraints

from mnist_tasks import attempts
from mnist_tasks.checkpoints import StoredObject
from mnist_tasks.config import Frozen
from mnist_tasks.cost import Prices, cost_of
from mnist_tasks.dataset import load
from mnist_tasks.notify import Mail
from mnist_tasks.promotion import decisions
from mnist_tasks.promotion.chain import Chain
from mnist_tasks.report.data import collect
from mnist_tasks.report.mail import render_report_mail, render_rollback_mail
from mnist_tasks.report.pictures import digits_png, to_png
from mnist_tasks.report.render import draw, render_html, to_dict
from mnist_tasks.storage import Storage, parse, sha256_of, to_json


class _Published(Frozen, extra="ignore"):
    """The part of `report.json` that the mail reads."""

    plots: dict[Annotated[str, StringConstraints(pattern=r"^[a-z]+$")], StoredObject]


def publish(chain: Chain, slug: str, prices: Prices) -> dict[str, str]:
    """Write the report of a decided run; returns the keys of its `html` and `json`.

    Everything comes from the run's own records and from `prices`, so the same run gives the same report at every try.
    `report.json` is written last: where it is, the rest is.

    Raises:
        NotFoundError: a step before this one has not written its part.
        IntegrityError: what is stored is not what it has to be.
    """
    storage, data = chain.storage, collect(chain, slug)
    # An ECS task whose end nobody saw is billed until the decision: the clock would make another report at every try.
    cost = cost_of(attempts.read_all(storage, chain.layout, slug), prices, data.decision.created)
    images = load(storage, chain.layout, data.plan.dataset_sha256).x_test
    figures = draw(data, images)
    plot = partial(data.layout.plot, slug)
    plots = {name: _put_png(storage, plot(name), to_png(figure)) for name, figure in figures.items()}
    keys = {"html": data.key("report.html"), "json": data.key("report.json")}
    storage.put(keys["html"], render_html(data, figures, cost).encode(), content_type="text/html; charset=utf-8")
    worst = [mistake.index for mistake in data.evaluation.worst]
    # For the page in Airflow's UI, which must not read 20 MB to show sixteen images.
    digits = _put_png(storage, plot("digits"), digits_png(images[worst])) if worst else None
    storage.put(keys["json"], to_json(to_dict(data, plots, digits, cost)))
    return keys


def _put_png(storage: Storage, key: str, png: bytes) -> StoredObject:
    storage.put(key, png, content_type="image/png")
    return StoredObject(key=key, sha256=sha256_of(png), size=len(png))


def compose_mail(chain: Chain, slug: str, *, airflow_url: str = "", earlier_failure: str = "") -> Mail:
    """The mail about a run whose report is written; `earlier_failure` as `render_report_mail` takes it.

    Raises:
        NotFoundError: it is not.
        IntegrityError: what is stored is not what it has to be.
    """
    storage, data = chain.storage, collect(chain, slug)
    published = parse(_Published, storage, storage.get(data.key("report.json")))
    # By their own keys, whatever the report says: its pictures are those of this run.
    plot = partial(chain.layout.plot, slug)
    images = {name: storage.get_verified(plot(name), stored.sha256) for name, stored in published.plots.items()}
    return render_report_mail(data, images, airflow_url=airflow_url, earlier_failure=earlier_failure)


def compose_rollback_mail(chain: Chain, slug: str, *, dag_id: str, run_id: str, airflow_url: str = "") -> Mail:
    """The mail about a rollback that was decided.

    Raises:
        NotFoundError: it was not.
        IntegrityError: the chain of decisions is damaged.
    """
    decision = decisions.read_of_run(chain, slug)
    return render_rollback_mail(
        chain.layout.classifier, decision, dag_id=dag_id, run_id=run_id, airflow_url=airflow_url
    )
