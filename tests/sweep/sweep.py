"""The sweep itself: build the state before each step, find the calls, strike each of them, compare."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import localcloud
from localcloud.images import PROMOTER_IMAGE, TRAINER_IMAGE, Image
from mnist_tasks.layout import run_slug
from tests.container import ROOT
from tests.sweep import container, pipeline, scenes, tries
from tests.sweep.faults import Call
from tests.sweep.pipeline import Ending, Run
from tests.sweep.points import CONTAINER, WORKER, Point, points
from tests.sweep.scenes import Scene
from tests.sweep.traces import GOOD, Names, Trace, Verdict, compare, trace
from tests.sweep.world import Account, Snapshot, settled

# More than a step has tries: each of them may start the task of another generation, and no two points may share one,
# or ECS would answer with the task of the point before.
_GENERATIONS = 10


@dataclass(frozen=True)
class Result:
    """What came of a point."""

    point: Point
    verdict: Verdict
    tries: int
    seconds: float


@dataclass(frozen=True)
class Undisturbed:
    """A scene as it goes when nothing happens."""

    trace: Trace
    calls: Mapping[str, Sequence[Call]]


@dataclass
class Stage:
    """One account, and what is known of the scenes so far; `kept` gets the logs of the tries that came out wrong."""

    account: Account
    folder: Path
    kept: Path
    snapshots: dict[str | None, Snapshot] = field(default_factory=lambda: {None: {}})
    endings: dict[str, Ending] = field(default_factory=dict)
    undisturbed: dict[str, Undisturbed] = field(default_factory=dict)
    runs: int = 0

    @property
    def containers(self) -> Path:
        """The folder that the containers' images name."""
        return self.folder / "containers"

    def build(self, names: set[str]) -> None:
        """Run the scenes that are asked for, and all before them, undisturbed."""
        for scene in scenes.needed(names):
            self.perform(scene)

    def perform(self, scene: Scene) -> None:
        """Run a scene undisturbed and remember all of it."""
        with self._temporary_folder() as folder:
            played = self._play(scene, None, folder)
        self.endings[scene.name] = played.ended.ending
        self.snapshots[scene.name] = played.after
        self.undisturbed[scene.name] = Undisturbed(played.trace, played.calls)
        ended = played.ended
        assert (ended.tries, ended.ending.state) == (1, "failed" if scene.fails else "success"), ended.ending

    def strike(self, point: Point) -> Result:
        """Run the point's scene with its fault, to the end, and compare."""
        started = time.monotonic()
        scene = scenes.BY_NAME[point.scene]
        with self._temporary_folder() as folder:
            played = self._play(scene, point, folder)
            verdict = self._verdict(point, played)
            if verdict.word not in GOOD:
                self._keep(point, played, folder)
        return Result(point, verdict, played.ended.tries, round(time.monotonic() - started, 1))

    def _keep(self, point: Point, played: _Played, folder: Path) -> None:
        kept = self.kept / re.sub(r"[^A-Za-z0-9_.-]+", "-", point.name)
        shutil.copytree(folder, kept, dirs_exist_ok=True)
        (kept / "tasks.json").write_text(json.dumps(played.tasks, indent=1, default=str))

    def _verdict(self, point: Point, played: _Played) -> Verdict:
        if not played.struck:
            return Verdict("not_reached", (f"the try ended without {point.call}",))
        struck_containers = 1 if point.process == CONTAINER else 0
        return compare(
            self.undisturbed[point.scene].trace,
            played.trace,
            struck_containers=struck_containers,
            may_repeat_a_mail=point.may_repeat_a_mail,
        )

    def _play(self, scene: Scene, point: Point | None, folder: Path) -> _Played:
        self.runs += 1
        self.account.restore(self.snapshots[scene.after])
        run, endings = scene.run, self.endings
        if scene.own_run:
            # Always as long: what is encrypted for a run carries its name, and its size is in the manifest.
            run = replace(run, run_id=f"{run.run_id} {os.getpid():08} {self.runs:05}")
            endings = endings | self._plan(scene, run)
        slug = run_slug(run.dag_id, run.run_id)
        container.leave(self.containers, point.fault if point and point.process == CONTAINER else None)
        if scene.on_ecs:
            tries.pretend_refused(folder, generation=_GENERATIONS * self.runs)
        known = {task["taskArn"] for task in self.account.tasks(slug)} if scene.on_ecs else set()
        fault = point.fault if point and point.process == WORKER else None
        ended = tries.run(scene.step(endings, run), scene.moment, folder, fault, containers=self.containers)
        tasks = self._tasks(scene, slug, known)
        names = Names.of(ended.moments, **({"run_id": run.run_id, "slug": slug} if scene.own_run else {}))
        after = self.account.snapshot()
        found = trace(after, self.account.mails(), tasks, ended.ending, names)
        journals = container.journals(self.containers)
        calls = {WORKER: ended.calls, CONTAINER: tuple(journals[0].calls()) if journals else ()}
        struck = ended.struck or any(journal.struck() for journal in journals)
        return _Played(after, found, tasks, calls, ended, struck)

    def _plan(self, scene: Scene, run: Run) -> dict[str, Ending]:
        assert scene.candidate is not None
        plan = scenes.BY_NAME[scene.candidate[0]]
        with self._temporary_folder() as folder:
            return {plan.name: tries.run(plan.step(self.endings, run), plan.moment, folder).ending}

    def _tasks(self, scene: Scene, slug: str, known: set[str]) -> list[dict[str, Any]]:
        """Those of this scene; what has not ended by itself after a while counts as left running, and is stopped."""
        if not scene.on_ecs:
            return []
        tasks = [task for task in settled(self.account, slug) if task["taskArn"] not in known]
        self.account.stop(task for task in tasks if task["lastStatus"] != "STOPPED")
        return tasks

    @contextmanager
    def _temporary_folder(self) -> Iterator[Path]:
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder)


@dataclass(frozen=True)
class _Played:
    after: Snapshot
    trace: Trace
    tasks: Sequence[Mapping[str, Any]]
    calls: Mapping[str, Sequence[Call]]
    ended: tries.Ended
    struck: bool


def all_points(stage: Stage, names: set[str]) -> list[Point]:
    """Every point of these scenes, which have been performed."""
    return [
        point
        for scene in scenes.SCENES
        if scene.name in names
        for process, calls in stage.undisturbed[scene.name].calls.items()
        if process == WORKER or scene.on_ecs
        for point in points(scene.name, process, calls)
    ]


@contextmanager
def stages(folder: Path, kept: Path, dataset: Path, count: int) -> Iterator[list[Stage]]:
    """Accounts of the sweep's own, up for as long as this lasts; this process works with the first one."""
    homes = [folder / f"account-{number}" for number in range(count)]
    socket = folder / "warm"
    with subprocess.Popen([sys.executable, "-m", "tests.sweep.warm", str(socket)], cwd=ROOT, stdin=subprocess.PIPE):
        try:
            made = [Stage(Account(_up(home, socket)), home, kept) for home in homes]
            enter(made[0], dataset)
            yield made
        finally:
            for home in homes:
                localcloud.down(home / "cloud")


def enter(stage: Stage, dataset: Path) -> None:
    """Make this process the stage's Airflow, before it forks: every try then has all imports behind it."""
    pipeline.enter(pipeline.environment(stage.account.cloud, stage.folder / "airflow", dataset))


def _up(home: Path, warm: Path) -> localcloud.Cloud:
    images = localcloud.default_images()
    environment = {**images[TRAINER_IMAGE].environment, "SWEEP_FOLDER": str(home / "containers")}
    entrypoints = {
        TRAINER_IMAGE: ("python", "-m", "tests.sweep.container", "training"),
        PROMOTER_IMAGE: ("python", "-I", "-S", str(ROOT / "tests" / "sweep" / "warm.py"), str(warm), "promotion"),
    }
    images |= {name: Image(entrypoint=words, environment=environment) for name, words in entrypoints.items()}
    return localcloud.up(home / "cloud", images)


def strike_all(made: Sequence[Stage], chosen: Sequence[Point], dataset: Path) -> Iterator[Result]:
    """Strike the points, with a process for each account; results come as they are ready. The first one is built.

    Each account builds its own scenes: what another one's keys have signed means nothing in it.
    """
    if len(made) == 1:
        yield from map(made[0].strike, chosen)
        return
    context = get_context("fork")
    free = context.SimpleQueue()
    for stage in made:
        free.put(stage.folder)
    by_folder = {stage.folder: stage for stage in made}
    names = {point.scene for point in chosen}
    with context.Pool(len(made), _become_worker, (by_folder, free, dataset, names)) as pool:
        yield from pool.imap_unordered(_strike, chosen)


_own: list[Stage] = []


def _become_worker(by_folder: Mapping[Path, Stage], free: Any, dataset: Path, names: set[str]) -> None:
    stage = by_folder[free.get()]
    enter(stage, dataset)
    if not stage.undisturbed:
        stage.build(names)
    _own.append(stage)


def _strike(point: Point) -> Result:
    return _own[0].strike(point)
