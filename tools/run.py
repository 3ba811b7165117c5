"""`make run`: the whole pipeline once, on this machine, with a summary that tells the truth.

    python -m tools.run [--classifier contracts] [--conf '{"candidates": 4}'] [--attested]

Exit status 0: the run succeeded. Its outcome is written to build/run.json, its log to build/run.log, its report to
build/report.html.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from email.parser import BytesHeaderParser
from pathlib import Path

import boto3

import localcloud
from mnist_tasks.classifier import Classifier
from mnist_tasks.cli.verify import CHAMPION, verify
from mnist_tasks.config import Settings
from mnist_tasks.definitions import NAMES, named
from mnist_tasks.layout import Layout, run_slug
from mnist_tasks.promotion.chain import Chain
from mnist_tasks.promotion.release import read_champion
from mnist_tasks.signing import TrustedKeys
from mnist_tasks.storage import Storage
from tools import attested
from tools.laptop import ROOT, Laptop


def main() -> int:
    """Start what is not running, run the DAG, say what came out, stop what was started."""
    options = _parser().parse_args()
    dag = f"{options.classifier}_training"
    started = time.monotonic()
    cloud_home, build = options.home / ".localcloud", options.home / "build"
    promoter: Callable[[localcloud.Cloud], AbstractContextManager[localcloud.Cloud]] = nullcontext
    if options.attested:
        # A home of its own: its decisions are signed by a key that nothing else believes.
        cloud_home, promoter = cloud_home / "attested", attested.attested_promoter
        attested.begin_anew(cloud_home)
    was_running = localcloud.status(cloud_home).running
    try:
        with promoter(localcloud.up(cloud_home)) as cloud:
            laptop = Laptop(options.home / ".airflow" / "run", cloud, _examples(options.classifier))
            laptop.migrate()
            print(f"ready after {time.monotonic() - started:.1f} s; running {dag}", flush=True)
            status = run_dag(laptop, dag, options.conf, build)
            _print_summary(laptop, named(options.classifier), build)
    finally:
        if not was_running:
            localcloud.down(cloud_home)
    print(f"\n{'done' if status == 0 else 'FAILED'} in {time.monotonic() - started:.1f} s", end="")
    print("; still running: the one-machine cloud (make down stops it)" if was_running else "")
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make run", description="Run the pipeline once on this machine.")
    parser.add_argument("--classifier", default="mnist", choices=NAMES, help="which one to train")
    parser.add_argument("--conf", default="{}", help="the run's parameters as JSON")
    parser.add_argument(
        "--attested", action="store_true", help="the promoter attests itself; in software, not in a TEE"
    )
    parser.add_argument("--home", type=Path, default=ROOT, help="where its state and results go (the checkout)")
    return parser


def _examples(classifier: str) -> tuple[str, ...]:
    """Those whose DAGs the run needs besides `dags/`."""
    return (classifier,) if (ROOT / "examples" / classifier / "dags").is_dir() else ()


def run_dag(laptop: Laptop, dag_id: str, conf: str, build: Path, **environment: str) -> int:
    """`airflow dags test` in a process of its own: its log goes to a file, its progress to the terminal.

    Returns its exit status. `build` then holds run.log and run.json (see `tools.dag_test`).
    """
    build.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tools.dag_test", str(build / "run.json"), dag_id, "--conf", conf]
    with (
        (build / "run.log").open("w") as log,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=laptop.environment(NO_COLOR="1", **environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None  # noqa: S101 - for the type checker: it was asked for above
        for line in process.stdout:
            log.write(line)
            log.flush()
            if progress := _progress(line):
                print(progress, flush=True)
    return process.returncode


def _progress(line: str) -> str | None:
    """What of Airflow's log is worth a line on the terminal: steps as they start, epochs as they end."""
    if match := re.search(r"\[DAG TEST\] starting task_id=(\S+) map_index=(-?\d+)", line):
        task, index = match.groups()
        return f"  {task}" + (f" {index}" if index != "-1" else "")
    # The `message` of the container's JSON line; Airflow's own JSON log would put a backslash before the quote.
    if match := re.search(r"epoch +\d+/\d+ [^\"\\\[]*", line):
        return f"      {match.group().rstrip()}"
    return None


def _print_summary(laptop: Laptop, classifier: Classifier, build: Path) -> None:
    outcome = json.loads((build / "run.json").read_text())
    print(f"\nrun {outcome.get('run_id', '')}: {outcome['state']}")
    for step in outcome["steps"]:
        name = step["task"] + (f" {step['map_index']}" if step["map_index"] >= 0 else "")
        seconds = f"{step['seconds']:6.1f} s" if step["seconds"] is not None else ""
        print(f"  {name:<16} {step['state'] or 'not run':<16} {seconds}")
    if outcome["state"] != "success":
        print(f"\nlog: {build / 'run.log'}")
    _print_results(laptop, classifier, run_slug(classifier.training_dag, outcome.get("run_id", "")), build)


def _print_results(laptop: Laptop, classifier: Classifier, slug: str, build: Path) -> None:
    settings = Settings.from_environment(laptop.cloud.environment)
    storage = Storage(boto3.client("s3", **laptop.cloud.client_arguments), settings.bucket)
    layout = Layout(classifier, settings.checkpoints_prefix)
    print()
    if champion := read_champion(storage, layout):
        print(f"champion: {storage.uri(layout.manifest(champion.name)).removesuffix('/manifest.json')}")
        keys = TrustedKeys.from_file(settings.signing_keys, production=settings.attestation_production)
        for check in verify(Chain(storage, layout, keys), CHAMPION).checks:
            print(f"verified: {'ok' if check.error is None else 'FAILED'}: {check.what}: {check.said}")
    if summary := storage.find(layout.run(slug, "report.json")):
        content = summary.json()
        print(f"outcome: {content['headline']}")
        print(f"test accuracy: {content['test']['accuracy']:.4f}")
        print(f"attestation: {content['verification']['attestation'] or 'none'}")
    if report := storage.find(layout.run(slug, "report.html")):
        path = build / "report.html"
        path.write_bytes(report.body)
        print(f"report: {path}")
    if mail := _mail_of(laptop.cloud.maildir, slug):
        print(f"mail: {mail}")


def _mail_of(maildir: Path, slug: str) -> Path | None:
    """The newest mail about this run: its Message-ID carries the run's slug."""
    for path in sorted(maildir.glob("new/*"), key=lambda p: p.stat().st_mtime, reverse=True):
        if slug in str(BytesHeaderParser().parsebytes(path.read_bytes())["Message-ID"]):
            return path
    return None


if __name__ == "__main__":
    try:
        sys.exit(main())
    except localcloud.LocalCloudError as error:
        sys.exit(f"error: {error}")
