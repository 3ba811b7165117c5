"""Airflow's UI as a person uses it: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlencode

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, FrameLocator, Page, expect, sync_playwright

from tests.e2e.airflow import DAG

CHROMIUM = "/usr/bin/chromium"
# Two cores may be busy with other tests while the page is asked for.
PATIENCE_MS = 120_000
expect.set_options(timeout=PATIENCE_MS)
# What axe calls serious or critical keeps somebody from using the page.
SERIOUS = {"serious", "critical"}


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        try:
            yield browser
        finally:
            browser.close()


class Person:
    """Somebody who is logged in. `complaints` are what the browser wrote to its console about the page."""

    def __init__(self, browser: Browser, url: str, user: str, password: str) -> None:
        self.url, self.complaints = url, []
        self.context: BrowserContext = browser.new_context(viewport={"width": 1400, "height": 1000})
        self.context.set_default_timeout(PATIENCE_MS)
        self.tab: Page = self.context.new_page()
        self.tab.on("console", self._listen)
        self.tab.goto(url)
        self.tab.fill("input[name=username]", user)
        self.tab.fill("input[name=password]", password)
        self.tab.click("button[type=submit]")
        self.tab.wait_for_url(lambda address: "login" not in address)

    def _listen(self, message: Any) -> None:
        # The page asks for its content again by itself when S3 did not answer in time, which happens on a busy machine.
        if "status of 503" in message.text and "part=main" in str(message.location):
            return
        # Chromium warns of the sandbox that Airflow gives its frames; that one is not the page's.
        if message.type == "error" and ("/mnist/" in str(message.location) or "Security Policy" in message.text):
            self.complaints.append(message.text)

    def trigger(self, **parameters: object) -> str:
        """Start a run with the form of the UI; returns its id."""
        self.tab.goto(f"{self.url}/dags/{DAG}")
        self.tab.get_by_role("button", name="Trigger").first.click()
        form = self.tab.get_by_role("dialog")
        for name, value in parameters.items():
            form.locator(f"input[name=element_{name}]").fill(str(value))
        with self.tab.expect_response(lambda answer: answer.url.endswith("/dagRuns") and answer.ok) as answered:
            form.get_by_role("button", name="Trigger", exact=True).click()
        # The UI goes to the new run by itself; whoever leaves before that is called back.
        self.tab.wait_for_url(lambda address: "/runs/" in address)
        return str(answered.value.json()["dag_run_id"])

    def open_dag_tab(self) -> FrameLocator:
        """The tab of the DAG."""
        self.tab.goto(f"{self.url}/dags/{DAG}/plugin/mnist")
        return self.tab.frame_locator("iframe")

    def open_run_tab(self, run_id: str) -> FrameLocator:
        """The tab of a run."""
        self.tab.goto(f"{self.url}/dags/{DAG}/runs/{quote(run_id)}/plugin/mnist_run")
        return self.tab.frame_locator("iframe")


def address(url: str, run_id: str = "", path: str = "", dag_id: str = DAG) -> str:
    """The page by itself, as it stands in the frame."""
    query = {"dag_id": dag_id} | ({"run_id": run_id} if run_id else {})
    return f"{url}/mnist/{path}?{urlencode(query)}"


def barriers(page: Page) -> list[str]:
    """What axe finds that keeps people out: the rule and the elements that break it."""
    found = Axe().run(page).response["violations"]
    return [
        f"{rule['id']}: {[node['target'] for node in rule['nodes']]} {rule['nodes'][0]['failureSummary']}"
        for rule in found
        if rule["impact"] in SERIOUS
    ]
