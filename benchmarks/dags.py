"""The whole DAG, from its trigger to the mail, against the tutorial that only trains, and against doing nothing.

Everything is warm, as on any night but the first: the one-machine cloud is up, Airflow's database is there, the data
set is in the bucket. A round runs each of these once, on all CPUs unless it says otherwise:

- `dag`: `airflow dags test mnist_training` with one candidate.
- `make_run`: the same as `make run` starts it (`tools.dag_test`).
- `noop`: `airflow dags test` of a DAG with as many tasks and the same operators, whose two containers are `true`.
- `tutorial`: TensorFlow's tutorial on one CPU and on all; each of its figures is that of the setting that needs less.

CPU seconds are those of Airflow's process and of the containers that train and promote; the emulator's stand for AWS
and are on no side. `dag_alone` and `noop_alone` leave out the containers, each from its first to its last instruction.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import boto3

import localcloud
from benchmarks.container import tutorial
from benchmarks.data import mnist_file
from benchmarks.measure import ROOT, Usage, run_to_end
from benchmarks.ratios import Rounds, median, ratio
from localcloud.images import PROMOTER_IMAGE, TRAINER_IMAGE, Image
from tools.laptop import Laptop

DAG, DAG_ALONE, MAKE_RUN, NOOP, NOOP_ALONE, TUTORIAL = "dag", "dag_alone", "make_run", "noop", "noop_alone", "tutorial"
LABELS: Mapping[str, str] = {
    DAG: "airflow dags test mnist_training",
    MAKE_RUN: "the same, started by make run",
    TUTORIAL: "TensorFlow's tutorial, on one CPU or on all, whichever is less",
    DAG_ALONE: "the DAG without its containers",
    NOOP_ALONE: "a DAG that does nothing, without its containers",
}
# A seed with which the one candidate passes the gates: a rejection would end the run before its report.
_CONF = '{"candidates": 1, "seed": 0}'
_NOOP_IMAGE = "noop:local"
_NOOP_DAGS = Path(__file__).with_name("noop")
_AIRFLOW = (sys.executable, "-m", "airflow", "dags", "test")


@dataclass(frozen=True)
class Bench:
    """A laptop of its own, with timed containers."""

    laptop: Laptop
    timed: Path
    logs: Path

    def round(self, *, tutorial_too: bool = True) -> dict[str, Usage]:
        """Each of them once."""
        usage = {}
        usage[DAG], usage[DAG_ALONE] = self._dag("dag", [*_AIRFLOW, "mnist_training", "--conf", _CONF])
        made = [sys.executable, "-m", "tools.dag_test", str(self.logs / "run.json"), "mnist_training"]
        usage[MAKE_RUN], _ = self._dag("make_run", [*made, "--conf", _CONF])
        # Airflow insists on a folder of plugins; in this one, there are none.
        environment = {"AIRFLOW__CORE__DAGS_FOLDER": str(_NOOP_DAGS), "AIRFLOW__CORE__PLUGINS_FOLDER": str(self.logs)}
        usage[NOOP], usage[NOOP_ALONE] = self._dag("noop", [*_AIRFLOW, "noop"], **environment)
        if tutorial_too:
            settings = [tutorial(mnist_file(), self.logs, one_cpu=one_cpu) for one_cpu in (True, False)]
            usage[TUTORIAL] = least(settings)
        return usage

    def _dag(self, name: str, command: Sequence[str], **environment: str) -> tuple[Usage, Usage]:
        """What a DAG took, and what it took but for its containers."""
        self.timed.write_text("")
        variables = self.laptop.environment(**environment)
        airflow = run_to_end(command, self.logs / f"{name}.log", one_cpu=False, **variables)
        containers = read_times(self.timed.read_text())
        whole = replace(airflow, cpu=airflow.cpu + containers.cpu)
        return whole, replace(airflow, wall=airflow.wall - containers.wall)


def measure(*, rounds: int, logs: Path) -> list[Mapping[str, Usage]]:
    """Usage of each, for each of the rounds, after one that does not count."""
    with _bench(logs) as bench:
        bench.round(tutorial_too=False)
        return [_round(bench, number, rounds) for number in range(1, rounds + 1)]


def _round(bench: Bench, number: int, rounds: int) -> Mapping[str, Usage]:
    usage = bench.round()
    figures = ", ".join(f"{name} {used.cpu:.1f} ({used.wall:.1f})" for name, used in usage.items())
    print(f"  DAGs, round {number}/{rounds}: {figures}", flush=True)
    return usage


@contextmanager
def _bench(logs: Path) -> Iterator[Bench]:
    with tempfile.TemporaryDirectory() as folder:
        home, timed = Path(folder), Path(folder) / "times"
        try:
            cloud = localcloud.up(home / "cloud", _images(timed))
            _register_noop(cloud)
            laptop = Laptop(home / "airflow", cloud)
            laptop.migrate()
            yield Bench(laptop, timed, logs)
        finally:
            localcloud.down(home / "cloud")


def _images(timed: Path) -> dict[str, Image]:
    """Trainer, promoter, and an image that does nothing, all timed."""
    images = localcloud.default_images()
    images[_NOOP_IMAGE] = Image(entrypoint=("true",), environment=images[TRAINER_IMAGE].environment)
    timing = ("sh", str(ROOT / "benchmarks" / "timed.sh"))
    for name in (TRAINER_IMAGE, PROMOTER_IMAGE, _NOOP_IMAGE):
        image = images[name]
        environment = {**image.environment, "TIMED": str(timed)}
        images[name] = replace(image, entrypoint=(*timing, *image.entrypoint), environment=environment)
    return images


def _register_noop(cloud: localcloud.Cloud) -> None:
    ecs = boto3.client("ecs", **cloud.client_arguments)
    definition = ecs.describe_task_definition(taskDefinition=cloud.environment["MNIST_TASK_DEFINITION"])
    container = definition["taskDefinition"]["containerDefinitions"][0]
    ecs.register_task_definition(
        family="noop",
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        containerDefinitions=[{**container, "image": _NOOP_IMAGE}],
    )


def table(rounds: Rounds) -> Iterator[str]:
    """Lines of Markdown: seconds of each, and the ratios that count."""
    yield "| | CPU s | wall s |"
    yield "|---|--:|--:|"
    for name, label in LABELS.items():
        yield f"| {label} | {median(rounds, name, 'cpu'):.1f} | {median(rounds, name, 'wall'):.1f} |"
    yield ""
    for ours, other in ((DAG, TUTORIAL), (MAKE_RUN, TUTORIAL), (DAG_ALONE, NOOP_ALONE)):
        wall, cpu = (ratio(rounds, ours, other, field) for field in ("wall", "cpu"))
        yield f"{LABELS[ours]} / {LABELS[other]}: {wall} in wall seconds, {cpu} in CPU seconds"


def least(settings: Sequence[Usage]) -> Usage:
    """The least CPU time and the least wall time of several ways to do the same."""
    return Usage(cpu=min(used.cpu for used in settings), wall=min(used.wall for used in settings))


def read_times(text: str) -> Usage:
    """The sum of what `timed.sh` wrote, a container after the other.

    Each has four lines: begin, end, minutes and seconds (user, system) of the shell, and of its children.
    """
    lines = text.splitlines()
    wall = sum(float(end) - float(begin) for begin, end in zip(lines[::4], lines[1::4], strict=True))
    minutes = (re.findall(r"(\d+)m([\d.]+)s", children) for children in lines[3::4])
    return Usage(cpu=sum(60 * int(whole) + float(rest) for both in minutes for whole, rest in both), wall=wall)
