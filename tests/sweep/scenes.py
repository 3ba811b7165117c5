"""The steps to be swept, each in the state that the steps before it leave: three nights and a rollback.

A scene starts where another one ends, so the account is built by running every step once, undisturbed. If each step
ends in the same state whatever happens to it, then so does the whole run: the argument is induction over the steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mnist_tasks.definitions.mnist import REBUILT_FILE
from mnist_tasks.layout import candidate_name, final_name
from tests.sweep.pipeline import Ending, Run, Step

START = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
TRAINING, ROLLBACK = "mnist_training", "mnist_rollback"
DATASET = (REBUILT_FILE.sha256,)

# Large batches: enough for the gates in three seconds of training. The second candidate learns too slowly to win.
GOOD = {"epochs": 10, "batch_size": 100, "learning_rates": [0.002, 0.00001]}
# What is swept at every call of the container has to be short, not good.
SHORT = {"epochs": 2, "batch_size": 1024, "validation_images": 30000, "candidates": 1, "seed": 1}
REASON = "the first one was better after all"


def _at(hour: float) -> datetime:
    return START + timedelta(hours=hour)


FIRST = Run(TRAINING, "first night", {**GOOD, "candidates": 2, "seed": 1}, _at(0))
# Of the very second of the first night: its names are taken.
SECOND = Run(TRAINING, "second night", {**GOOD, "candidates": 1, "seed": 2, "release_rule": "not_worse"}, _at(0))
HASTY = Run(TRAINING, "hasty night", SHORT, _at(0))
WEAK = Run(TRAINING, "weak night", {**SHORT, "epochs": 1}, _at(48))
ASKED = Run(TRAINING, "asked night", {**SHORT, "approval_hours": 1}, _at(0))
SMALL = Run(TRAINING, "small run", SHORT, _at(0))
BACK = Run(ROLLBACK, "by hand", {"to": final_name(candidate_name(START)), "reason": REASON}, _at(72))
NOWHERE = Run(ROLLBACK, "by mistake", {"to": "mnist_model_20200101_000000_final", "reason": REASON}, _at(73))


@dataclass(frozen=True)
class Scene:
    """A step of a run and what comes before it.

    `after` names the scene in whose end it starts; None is an empty bucket. `arguments` are what the step is called
    with; `candidate` is the plan, and the place in it, that `train` gets its request from; `failed` the scene whose
    failure a mail is about. A scene that `fails` does so undisturbed, too, and one that is not `swept` only builds what
    others need. `own_run` gives each point a run of its own, because what ECS knows of a run cannot be wiped out: its
    plan is made just before. Other scenes `on_ecs` start each time with the next generation of their task, which ECS
    does not know yet either.
    """

    name: str
    task_id: str
    run: Run
    after: str | None
    hour: float
    arguments: tuple[str, ...] = ()
    candidate: tuple[str, int] | None = None
    failed: str | None = None
    fails: bool = False
    swept: bool = True
    own_run: bool = False

    @property
    def on_ecs(self) -> bool:
        """Whether a container does it."""
        return self.task_id in {"train", "promote", "rollback"}

    @property
    def moment(self) -> datetime:
        """When its first try starts."""
        return _at(self.hour)

    @property
    def needs(self) -> set[str]:
        """The scenes without which there is none of this one."""
        return {name for name in (self.after, self.candidate and self.candidate[0], self.failed) if name}

    def step(self, endings: Mapping[str, Ending], run: Run | None = None) -> Step:
        """The step to run, given how earlier scenes ended."""
        mapped = endings[self.candidate[0]].value[self.candidate[1]] if self.candidate else None
        return Step(run or self.run, self.task_id, self.arguments, mapped, self._ended(endings))

    def _ended(self, endings: Mapping[str, Ending]) -> tuple[Mapping[str, object], ...]:
        """What Airflow tells of a step that failed for good."""
        if self.failed is None:
            return ()
        task_id, cause = BY_NAME[self.failed].task_id, endings[self.failed].cause
        return ({"task_id": task_id, "map_index": -1, "state": "failed", "duration": 1.5, "failure": cause},)


SCENES = (
    Scene("download", "download", FIRST, None, 0),
    Scene("download where it is there", "download", FIRST, "download", 24),
    Scene("validate", "validate", FIRST, "download", 0, DATASET),
    Scene("validate what is not there", "validate", HASTY, "download", 0, ("0" * 64,), fails=True, swept=False),
    Scene("email_failure", "email_failure", HASTY, "download", 0, failed="validate what is not there"),
    Scene("plan", "plan", FIRST, "validate", 0, DATASET),
    Scene("first candidate", "train", FIRST, "plan", 0, candidate=("plan", 0), swept=False),
    Scene("second candidate", "train", FIRST, "first candidate", 0, candidate=("plan", 1), swept=False),
    Scene("pick_best", "pick_best", FIRST, "second candidate", 1),
    Scene("promote", "promote", FIRST, "pick_best", 1),
    Scene("report", "report", FIRST, "promote", 1),
    Scene("email_report", "email_report", FIRST, "report", 1),
    Scene("second validation", "validate", SECOND, "promote", 24, DATASET, swept=False),
    Scene("plan where names are taken", "plan", SECOND, "second validation", 24, DATASET),
    Scene(
        "third candidate",
        "train",
        SECOND,
        "plan where names are taken",
        24,
        candidate=("plan where names are taken", 0),
        swept=False,
    ),
    Scene("promote over a champion", "promote", SECOND, "third candidate", 25),
    Scene("weak validation", "validate", WEAK, "promote", 48, DATASET, swept=False),
    Scene("weak plan", "plan", WEAK, "weak validation", 48, DATASET, swept=False),
    Scene("weak candidate", "train", WEAK, "weak plan", 48, candidate=("weak plan", 0), swept=False),
    Scene("promote that rejects", "promote", WEAK, "weak candidate", 49, fails=True),
    Scene("rollback", "rollback", BACK, "promote over a champion", 72),
    Scene("email_rollback", "email_rollback", BACK, "rollback", 72),
    Scene("rollback to nothing", "rollback", NOWHERE, "rollback", 73, fails=True, swept=False),
    Scene("email_failure of a rollback", "email_failure", NOWHERE, "rollback", 73, failed="rollback to nothing"),
    Scene("plan that asks", "plan", ASKED, "validate", 0, DATASET, swept=False),
    Scene("asked candidate", "train", ASKED, "plan that asks", 0, candidate=("plan that asks", 0), swept=False),
    Scene("approve", "approve", ASKED, "asked candidate", 1),
    Scene("small plan", "plan", SMALL, "validate", 0, DATASET, swept=False),
    Scene("train", "train", SMALL, "validate", 0, candidate=("small plan", 0), own_run=True),
)
BY_NAME = {scene.name: scene for scene in SCENES}


def needed(names: set[str]) -> list[Scene]:
    """These scenes and all that they need, in an order in which they can be run."""
    wanted = set(names)
    for scene in reversed(SCENES):
        if scene.name in wanted:
            wanted |= scene.needs
    return [scene for scene in SCENES if scene.name in wanted]
