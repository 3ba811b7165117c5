"""The page in Airflow's UI, with a browser: a person logs in, starts a run, watches it, and sees what came of it.

One Airflow and one cloud for all tests of this file; the last one takes the cloud away.
"""

import ast
import json
import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import expect

import localcloud
from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.layout import Layout, run_slug
from tests.e2e.airflow import ANSWER_SECONDS, DAG, DEADLINE_SECONDS, Api, states, switched_on
from tests.e2e.browser import Person, address, barriers, chromium

LAYOUT = Layout(MNIST)
ROUTES = ("", "page.css", "page.js", "digits.png", "report")
TRAINING_MS = DEADLINE_SECONDS * 1000
EPOCHS = 60
REASON = "complaints from the field: <b>sevens</b> & ones"


@pytest.fixture(scope="module")
def pipeline(supplied):
    return supplied


@pytest.fixture(scope="module")
def airflow(pipeline):
    """`reader` may look at everything; `foreign` can log in, and has no role that gives access to anything."""
    users = {"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,reader:viewer,foreign:"}
    with switched_on(pipeline, **users) as running:
        yield running


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def admin(airflow, browser):
    return Person(browser, airflow.api.url, "admin", airflow.passwords["admin"])


@pytest.fixture(scope="module")
def first(admin):
    """A run that a person started with the form, seen through to its decision in one and the same page."""
    before = admin.open_dag_tab()
    expect(before.get_by_text("No run yet.")).to_be_visible()
    run_id = admin.trigger(epochs=EPOCHS, candidates=1)

    page = admin.open_run_tab(run_id)
    page.locator("html").evaluate("() => { window.notReloaded = true }")
    epochs = "|".join(map(str, range(3, EPOCHS)))  # any of them may be over before the page asks for it
    expect(page.get_by_text(re.compile(f"^epoch ({epochs}) of {EPOCHS}$"))).to_be_visible(timeout=TRAINING_MS)
    curve = page.locator("polyline.validation").first
    early = curve.get_attribute("points")
    expect(curve).not_to_have_attribute("points", early, timeout=TRAINING_MS)
    later = curve.get_attribute("points")
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "Promoted and released: this model is the first champion.", timeout=TRAINING_MS
    )
    return {
        "run_id": run_id,
        "curves": (early, later),
        "same": page.locator("html").evaluate("() => window.notReloaded"),
    }


@pytest.fixture(scope="module")
def second(airflow, first):
    """Another final, for the rollback to go to, from a run with an id as long as Airflow takes one."""
    body = {"logical_date": None, "conf": {"candidates": 2}, "dag_run_id": "manual__" + "a-long-id." * 24}
    run_id = airflow.api.post(f"/api/v2/dags/{DAG}/dagRuns", body)["dag_run_id"]
    run, tasks = airflow.api.await_run(run_id)
    assert run["state"] == "success", states(tasks)
    return run_id


@pytest.fixture(scope="module")
def rolled_back(airflow, pipeline, second):
    """The champion moved to the other final, by hand; returns that final."""
    champion = pipeline.storage.get(LAYOUT.champion).json()["name"]
    finals = {key.split("/")[1] for key in pipeline.all_keys() if key.endswith("_final/manifest.json")}
    (target,) = finals - {champion}
    run_id = airflow.api.trigger({"to": target, "reason": REASON}, "mnist_rollback")
    run, tasks = airflow.api.await_run(run_id, "mnist_rollback")
    assert run["state"] == "success", states(tasks)
    return target


@pytest.fixture(scope="module")
def everything(first, second, rolled_back):
    """The overview, and both runs."""
    return ("", first["run_id"], second)


def status(url, token=""):
    request = urllib.request.Request(url)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_an_epoch_appears_without_a_reload_and_the_curve_grows(first):
    early, later = (len(points.split()) for points in first["curves"])

    assert first["same"]
    assert 3 <= early < later


def test_the_decision_stands_there_with_its_numbers_and_the_pictures_of_its_mistakes(admin, first):
    page = admin.open_run_tab(first["run_id"])

    expect(page.locator("#decision")).to_contain_text("12 of 12 gates")
    page.get_by_text("All gates with their numbers").click()
    expect(page.get_by_role("rowheader", name="accuracy")).to_be_visible()
    expect(page.locator("#cost")).to_contain_text("vCPU-seconds")
    expect(page.locator("#verification")).to_contain_text("signed")
    pictures = page.locator(".mistakes image")
    expect(pictures.first).to_be_visible()
    drawn = "image => fetch(image.href.baseVal).then(answer => answer.status + answer.headers.get('content-type'))"
    assert pictures.first.evaluate(drawn) == "200image/png"


def test_the_history_shows_the_rollback_who_made_it_and_why(admin, rolled_back):
    page = admin.open_dag_tab()
    newest = page.locator(".moves li").first

    expect(newest).to_contain_text("rolled back")
    expect(newest).to_contain_text(rolled_back)
    expect(newest).to_contain_text(REASON)
    expect(newest).to_contain_text("triggered by admin")
    expect(page.locator("header .tiles")).to_contain_text(rolled_back)


def test_a_way_leads_from_the_overview_to_a_run_and_back_by_keyboard_alone(admin, second):
    page = admin.open_dag_tab()
    page.locator("#newest").focus()
    admin.tab.keyboard.press("Enter")
    expect(page.locator("#all")).to_be_visible()
    page.locator("#all").focus()
    admin.tab.keyboard.press("Enter")

    expect(page.locator("#newest")).to_be_visible()


@pytest.mark.parametrize("route", ROUTES)
def test_a_route_is_closed_to_strangers_and_to_foreign_roles_and_open_to_readers(airflow, first, route):
    url = address(airflow.api.url, first["run_id"], route)
    foreign, reader = (Api(airflow.api.url, airflow.passwords[user], user) for user in ("foreign", "reader"))

    assert status(url) == 401
    assert status(url, "no-token") in {401, 403}
    assert status(url, foreign.token) == 403
    assert status(url, reader.token) == 200


def test_these_are_all_routes_there_are():
    source = (Path(__file__).parents[2] / "plugins" / "mnist_page_routes.py").read_text()
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    paths = [call.func.args[0].value for call in calls if isinstance(call.func, ast.Call) and call.func.args]

    assert sorted(path.strip("/") for path in paths if str(path).startswith("/")) == sorted(ROUTES)


def test_somebody_without_access_is_told_so_in_words(airflow, browser):
    person = Person(browser, airflow.api.url, "foreign", airflow.passwords["foreign"])
    answer = person.tab.goto(address(airflow.api.url))

    assert answer.status == 403
    expect(person.tab.get_by_role("heading", level=1)).to_have_text("You may not see this page.")
    assert barriers(person.tab) == []
    person.context.close()


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_keeps_anybody_out_and_nothing_is_wider_than_the_window(admin, everything, theme, width):
    page = admin.context.new_page()
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=theme)
    for run_id in everything:
        page.goto(address(admin.url, run_id))
        for details in page.locator("details").all():
            details.evaluate("details => details.open = true")

        assert barriers(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("document.documentElement.dataset.theme") == theme
    page.close()


def test_the_theme_chosen_in_airflow_counts_more_than_the_systems(airflow, admin, first):
    page = admin.context.new_page()
    page.emulate_media(color_scheme="light")
    page.goto(address(airflow.api.url))
    page.evaluate("localStorage.setItem('theme', 'dark')")
    page.reload()
    chosen = page.evaluate("document.documentElement.dataset.theme")
    page.evaluate("localStorage.removeItem('theme')")
    page.close()

    assert chosen == "dark"


def test_the_browser_found_nothing_against_the_policy(admin, first, rolled_back):
    assert admin.complaints == []


def test_a_policy_lets_nothing_in_from_elsewhere_and_lets_only_airflow_frame_it(airflow):
    request = urllib.request.Request(address(airflow.api.url), headers={"Authorization": f"Bearer {airflow.api.token}"})
    with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))

    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["frame-ancestors"] == "'self'"
    assert not any("unsafe" in sources or "*" in sources or "http" in sources for sources in policy.values())


def test_another_dag_has_the_tab_as_well_and_is_told_whose_it_is(airflow, admin, first):
    page = admin.context.new_page()
    page.goto(address(airflow.api.url, dag_id="mnist_sweep"))

    expect(page.get_by_role("heading", level=1)).to_have_text("This tab belongs to another DAG.")
    page.close()


def test_a_damaged_record_is_named_and_the_rest_is_shown(airflow, admin, pipeline, first):
    key = LAYOUT.run(run_slug(DAG, first["run_id"]), "validation.json")
    whole = pipeline.storage.get(key).body
    pipeline.storage.put(key, json.dumps({"passed": "<script>"}).encode())
    try:
        page = admin.open_run_tab(first["run_id"])

        expect(page.locator("#data [role=alert]")).to_contain_text("cannot be shown")
        expect(page.locator("#decision")).to_contain_text("12 of 12 gates")
    finally:
        pipeline.storage.put(key, whole)


def test_an_s3_that_does_not_answer_is_said(airflow, admin, pipeline, rolled_back):
    page = admin.open_dag_tab()
    expect(page.get_by_role("heading", name="Champion history")).to_be_visible()
    home = pipeline.home / ".localcloud"
    localcloud.down(home)
    answer = admin.context.request.get(address(airflow.api.url) + "&part=main")
    gone = admin.open_dag_tab()

    assert answer.status == 503
    expect(gone.get_by_role("heading", level=1)).to_have_text("The records of the pipeline cannot be read.")
    expect(gone.locator("main")).to_contain_text("S3 did not answer")
