"""`make pictures`: what people see, of real runs, as PNG in docs/pictures.

Starts an Airflow and a cloud of its own, runs the pipeline a few times (released, kept, not promoted, rolled back, with
short and very long ids), and photographs the page, the report and the mail: light and dark, wide and narrow.
"""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import boto3

import localcloud
from mnist_tasks.config import Settings
from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.layout import Layout, run_slug
from mnist_tasks.storage import Storage
from tools import services
from tools.laptop import ROOT, Laptop
from tools.up import USER, password_file

if TYPE_CHECKING:
    from PIL.Image import Image
    from playwright.sync_api import Browser, BrowserContext, Page

FOLDER = ROOT / "docs" / "pictures"
CHROMIUM = "/usr/bin/chromium"
DAG, ROLLBACK = "mnist_training", "mnist_rollback"
LONG = "manual__a-second-opinion-with-three-candidates-and-an-id-that-somebody-wrote-a-whole-sentence-into-" * 2
DEADLINE_SECONDS = 600.0
WIDE, NARROW = 1100, 390
_COLOURS = 200  # a screenshot of text and flat surfaces does not show the difference to 16 million
_TALLEST = 1400  # pixels: enough to see how the rest goes on
_WHOLE_RUN = 2200  # down to its mistakes


def main() -> int:
    """Make all pictures; returns the exit status."""
    from playwright.sync_api import sync_playwright

    FOLDER.mkdir(parents=True, exist_ok=True)
    with _home() as home, sync_playwright() as playwright, _airflow(home) as (laptop, url):
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        Studio(laptop, url, browser).work()
        browser.close()
    return 0


@contextmanager
def _home() -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix="mnist-pictures-"))
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _airflow(home: Path) -> Iterator[tuple[Laptop, str]]:
    laptop = Laptop(home / ".airflow" / "up", localcloud.up(home / ".localcloud"))
    try:
        running = services.start(laptop)
        try:
            yield laptop, running.url
        finally:
            running.stop()
    finally:
        localcloud.down(home / ".localcloud")


@dataclass
class Studio:
    """Runs the pipeline and photographs it."""

    laptop: Laptop
    url: str
    browser: Browser

    def work(self) -> None:
        """The runs in their order, and what is to be seen of each."""
        self.login = self._log_in()
        self._patch(DAG, {"is_paused": False})
        first = self._trigger(DAG, {"epochs": 30})
        self._in_airflow("airflow-training", first, until=r"epoch ([6-9]|[12]\d) of 30", theme="light")
        self._await(DAG, first)
        second = self._trigger(DAG, {"epochs": 20, "candidates": 3, "learning_rates": [0.0005, 0.001, 0.002]}, LONG)
        self._in_airflow("airflow-training-dark", second, until=r"epoch ([4-9]|1\d) of 20", theme="dark")
        self._await(DAG, second)
        self._await(DAG, self._trigger(DAG, {"epochs": 1, "candidates": 1}))
        self._await(ROLLBACK, self._roll_back())
        for theme in ("light", "dark"):
            for width, word in ((WIDE, "wide"), (NARROW, "narrow")):
                style = f"{word}-{theme}"
                self._page(f"overview-{style}", self._address(), theme, width)
                run = second if width == NARROW else first
                self._page(f"run-{style}", self._address(run), theme, width, tallest=_WHOLE_RUN)
                self._html(f"report-{style}", self._report(first), theme, width)
                if theme == "light":  # the mail brings its own colours, since many clients invert them at will
                    self._html(f"mail-{word}", self._mail(first), theme, width)

    def _log_in(self) -> Any:
        page = self.browser.new_page()
        page.set_default_timeout(DEADLINE_SECONDS * 1000)
        page.goto(self.url)
        page.fill("input[name=username]", USER)
        page.fill("input[name=password]", json.loads(password_file(self.laptop.home).read_text())[USER])
        page.click("button[type=submit]")
        page.wait_for_url(lambda address: "login" not in address)
        self.api = page.context.request
        return page.context.storage_state()

    def _patch(self, dag_id: str, body: dict[str, Any]) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not self.api.patch(f"{self.url}/api/v2/dags/{dag_id}", data=body).ok:  # until it is parsed
            _check(deadline, f"the DAG {dag_id}")

    def _trigger(self, dag_id: str, conf: dict[str, Any], run_id: str = "") -> str:
        body = {"logical_date": None, "conf": conf} | ({"dag_run_id": run_id} if run_id else {})
        return str(self.api.post(f"{self.url}/api/v2/dags/{dag_id}/dagRuns", data=body).json()["dag_run_id"])

    def _await(self, dag_id: str, run_id: str) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        path = f"{self.url}/api/v2/dags/{dag_id}/dagRuns/{quote(run_id)}"
        while self.api.get(path).json()["state"] not in {"success", "failed"}:
            _check(deadline, f"the end of {run_id}")

    def _roll_back(self) -> str:
        champion = self.storage.get(self.layout.champion).json()["name"]
        prefixes = self.storage.folders(f"{self.layout.checkpoints}/mnist_model_", most=100)
        finals = [prefix.rpartition("/")[2] for prefix in prefixes if prefix.endswith("_final")]
        other = next(name for name in finals if name != champion)
        reason = "Complaints from the field: sevens are read as ones since the last release."
        return self._trigger(ROLLBACK, {"to": other, "reason": reason})

    @property
    def storage(self) -> Storage:
        """The bucket."""
        cloud = self.laptop.cloud
        settings = Settings.from_environment(cloud.environment)
        return Storage(boto3.client("s3", **cloud.client_arguments), settings.bucket)

    @property
    def layout(self) -> Layout:
        """Its keys."""
        return Layout(MNIST)

    def _address(self, run_id: str = "") -> str:
        query = {"dag_id": DAG} | ({"run_id": run_id} if run_id else {})
        return f"{self.url}/mnist/?{urlencode(query)}"

    def _report(self, run_id: str) -> str:
        return self.storage.get(self.layout.run(run_slug(DAG, run_id), "report.html")).body.decode()

    def _mail(self, run_id: str) -> str:
        """The HTML part, with the images that it names by `cid:`."""
        for path in self.laptop.cloud.maildir.glob("new/*"):
            mail = message_from_bytes(path.read_bytes(), policy=policy.default)
            if run_slug(DAG, run_id) in str(mail["Message-ID"]):
                return _with_images(mail)
        raise SystemExit(f"error: there is no mail about {run_id}")

    def _in_airflow(self, name: str, run_id: str, *, until: str, theme: str) -> None:
        """The tab of a run while it trains, in Airflow's UI."""
        with self._tab(theme, 1280, height=1000) as page:
            page.goto(f"{self.url}/dags/{DAG}/runs/{quote(run_id)}/plugin/mnist_run")
            frame = page.frame_locator("iframe")
            frame.get_by_text(re.compile(until)).first.wait_for()
            _save(name, page.screenshot())

    def _page(self, name: str, address: str, theme: str, width: int, tallest: int = _TALLEST) -> None:
        with self._tab(theme, width) as page:
            page.goto(address)
            page.wait_for_load_state("networkidle")
            _save(name, page.screenshot(full_page=True), tallest)

    def _html(self, name: str, html: str, theme: str, width: int) -> None:
        with self._tab(theme, width) as page:
            page.set_content(html)
            _save(name, page.screenshot(full_page=True))

    @contextmanager
    def _tab(self, theme: Any, width: int, height: int = 800) -> Iterator[Page]:
        context: BrowserContext = self.browser.new_context(
            storage_state=self.login, color_scheme=theme, viewport={"width": width, "height": height}
        )
        context.set_default_timeout(DEADLINE_SECONDS * 1000)
        try:
            yield context.new_page()
        finally:
            context.close()


def _with_images(mail: Any) -> str:
    html = next(part for part in mail.walk() if part.get_content_type() == "text/html").get_content()
    for part in mail.walk():
        if isinstance(part, EmailMessage) and part["Content-ID"]:
            data = base64.b64encode(part.get_payload(decode=True)).decode()  # type: ignore[arg-type]
            html = html.replace(f"cid:{part['Content-ID'].strip('<>')}", f"data:image/png;base64,{data}")
    return str(html)


def _check(deadline: float, what: str) -> None:
    if time.monotonic() > deadline:
        raise SystemExit(f"error: not within {DEADLINE_SECONDS:.0f} s: {what}")
    time.sleep(1)


def _save(name: str, png: bytes, tallest: int = _TALLEST) -> None:
    """As small as it can be without looking like it."""
    from PIL import Image

    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture = picture.crop((0, 0, picture.width, min(picture.height, tallest)))
    path = FOLDER / f"{name}.png"
    picture.quantize(palette=_palette(picture), dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}  {path.stat().st_size / 1000:.0f} kB", flush=True)


def _palette(picture: Image) -> Image:
    """The most frequent colours as they are: Pillow's own choice averages small areas, and a green dot turns grey."""
    from PIL import Image

    counted: Any = picture.getcolors(picture.width * picture.height)
    colours = [colour for _, colour in sorted(counted, reverse=True)[:_COLOURS]]
    palette = Image.new("P", (1, 1))
    palette.putpalette([value for colour in (colours * 256)[:256] for value in colour])
    return palette


if __name__ == "__main__":
    try:
        sys.exit(main())
    except localcloud.LocalCloudError as error:
        sys.exit(f"error: {error}")
