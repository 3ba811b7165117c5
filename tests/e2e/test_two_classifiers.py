"""Two classifiers in one Airflow, on the same night: neither touches what belongs to the other."""

from __future__ import annotations

import re
import urllib.request
from dataclasses import dataclass
from urllib.parse import urlencode

import pytest

from examples.contracts.classifier import CONTRACTS, PAGES
from examples.contracts.pages import data_set
from mnist_tasks.definitions.mnist import MNIST, REBUILT_FILE
from mnist_tasks.layout import Layout, classifier_of, run_slug
from mnist_tasks.promotion.chain import Chain
from mnist_tasks.promotion.release import read_champion
from mnist_tasks.signing import TrustedKeys
from tests.e2e.airflow import ANSWER_SECONDS, NEVER, eventually, started, states
from tests.signatures import decision_in
from tools.laptop import Laptop

BOTH = (MNIST, CONTRACTS)
CONF = {"candidates": 1, "seed": 7}
AREAS = ("checkpoints", "datasets", "decisions", "runs")


@dataclass(frozen=True)
class Night:
    """What two runs at once have left: each one's run, and every key with its ETag before and after."""

    runs: dict[str, str]
    before: dict[str, str]
    after: dict[str, str]
    pages: dict[str, str]


def listing(storage):
    pages = storage.client.get_paginator("list_objects_v2").paginate(Bucket=storage.bucket)
    return {entry["Key"]: entry["ETag"] for page in pages for entry in page.get("Contents", [])}


def owner(key):
    """Whose an object is, by its key alone."""
    area, folder = key.split("/")[:2]
    assert area in AREAS, key
    return "contracts" if folder == "contracts" else "mnist"


def page(api, dag_id, run_id):
    """The tab of a run."""
    query = urlencode({"dag_id": dag_id, "run_id": run_id, "part": "main"})
    request = urllib.request.Request(f"{api.url}/mnist/?{query}", headers={"Authorization": f"Bearer {api.token}"})
    with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
        return answer.read().decode()


@pytest.fixture(scope="module")
def home(start_pipeline, mnist_file):
    """A cloud of the module's own, which has both data sets already."""
    with start_pipeline() as pipeline:
        pipeline.storage.put(Layout(MNIST).dataset(REBUILT_FILE.sha256), mnist_file)
        pipeline.storage.put(Layout(CONTRACTS).dataset(PAGES.sha256), data_set())
        yield pipeline


@pytest.fixture(scope="module")
def night(home):
    laptop = Laptop(home.home / ".airflow" / "up", home.laptop.cloud, examples=("contracts",))
    with started(laptop, **{classifier.variable("SCHEDULE"): NEVER for classifier in BOTH}) as running:
        api = running.api
        known = {dag for classifier in BOTH for dag in (classifier.training_dag, classifier.rollback_dag)}
        eventually(lambda: known <= {dag["dag_id"] for dag in api.get("/api/v2/dags")["dags"]}, "the DAGs of both")
        before = listing(home.storage)
        for classifier in BOTH:
            api.patch(f"/api/v2/dags/{classifier.training_dag}", {"is_paused": False})
        runs = {classifier.name: api.trigger(CONF, classifier.training_dag) for classifier in BOTH}
        for classifier in BOTH:
            run, tasks = api.await_run(runs[classifier.name], classifier.training_dag)
            assert run["state"] == "success", states(tasks)
        pages = {c.name: page(api, c.training_dag, runs[c.name]) for c in BOTH}
    slugs = {c.name: run_slug(c.training_dag, runs[c.name]) for c in BOTH}
    return Night(slugs, before, listing(home.storage), pages)


def test_every_object_that_was_written_belongs_to_one_of_them_and_none_was_changed(night):
    changed = [key for key in night.before if night.after.get(key) != night.before[key]]
    written = night.after.keys() - night.before.keys()

    assert changed == []
    for name, slug in night.runs.items():
        own = {key for key in written if owner(key) == name}
        others = "|".join(other for other in night.runs if other != name)
        assert {key.split("/")[0] for key in own} == set(AREAS)
        assert [key for key in own if re.search(rf"/({others})_model_", key)] == []
        assert any(slug in key for key in own)
        assert [key for key in own if any(night.runs[other] in key for other in night.runs if other != name)] == []


@pytest.mark.parametrize("classifier", BOTH, ids=lambda c: c.name)
def test_each_has_a_champion_and_a_chain_of_its_own(night, home, classifier):
    keys = TrustedKeys.from_file(home.laptop.cloud.environment["MNIST_SIGNING_KEYS"])
    layout = Layout(classifier)
    chain = Chain(home.storage, layout, keys)
    champion = read_champion(home.storage, layout)

    assert chain.verify() == 1
    assert champion is not None
    assert classifier_of(champion.name) == classifier.name
    assert champion.run == night.runs[classifier.name]
    assert len(decision_in(home.storage.get(layout.decision(1)).body)["evaluation"]["recall"]) == len(
        classifier.classes
    )


@pytest.mark.parametrize("classifier", BOTH, ids=lambda c: c.name)
def test_each_mails_its_own_people(night, home, classifier):
    (mail,) = home.mails(night.runs[classifier.name])

    assert mail["Subject"].startswith(f"{classifier.title}: promoted and released")
    assert mail["To"] == ", ".join(classifier.recipients)


@pytest.mark.parametrize("classifier", BOTH, ids=lambda c: c.name)
def test_each_has_its_page_with_its_own_classes(night, classifier):
    shown = night.pages[classifier.name]
    (other,) = (c for c in BOTH if c is not classifier)

    assert "Promoted and released: this model is the first champion." in shown
    assert all(f'<th scope="row">{name}</th>' in shown for name in classifier.classes)
    assert f"{other.name}_model_" not in shown.replace("<wbr>", "")
