"""Every kind of object that `layout.py` can name: where one lies, another one of its kind, an older one, who reads it.

The bucket is that of `tests.deployment`, with what it lacks added (`furnish`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, get_args

import numpy as np

from mnist_tasks import attempts, checkpoints, progress
from mnist_tasks.attempts import Attempt
from mnist_tasks.cli.verify import verify
from mnist_tasks.config import Frozen, TrainingJob
from mnist_tasks.cost import Prices
from mnist_tasks.dataset import load, write_npz
from mnist_tasks.definitions.mnist import REBUILT_FILE
from mnist_tasks.encryption import Encryption
from mnist_tasks.history import Epoch, History
from mnist_tasks.page import data as page
from mnist_tasks.plan import find_plan, read_plan
from mnist_tasks.promotion import answers, decisions
from mnist_tasks.promotion.answers import Answer
from mnist_tasks.promotion.chain import Chain
from mnist_tasks.promotion.in_service import read_in_service
from mnist_tasks.promotion.inputs import read_inputs
from mnist_tasks.report.data import collect
from mnist_tasks.report.publish import compose_mail
from mnist_tasks.runs import newest_plans
from mnist_tasks.storage import Storage, to_json
from mnist_tasks.training.resume import Resume
from mnist_tasks.training.state import State
from mnist_tasks.validation import Accepted
from mnist_tasks.validation.step import find_accepted
from tests.candidates import PARAMETERS, random_weights, to_h5
from tests.candidates import history as a_history
from tests.container import job_for
from tests.deployment import FIRST_FINAL, LAYOUT, NOW, SLUGS
from tests.small_dataset import small_dataset
from tests.told import told_events

# What says that a mail has been sent.
MailRecord = Literal["mail.json", "mail-approval.json"]
PRICES = Prices(0.04048, 0.004445, 0.3)


@dataclass(frozen=True)
class World:
    """A bucket in which there is one of everything."""

    chain: Chain
    encryption: Encryption

    @property
    def storage(self) -> Storage:
        return self.chain.storage

    @property
    def job(self) -> TrainingJob:
        """Of a run that is in the middle of its training."""
        return read_plan(self.storage, LAYOUT, SLUGS["open"]).jobs[0]

    @property
    def candidate(self) -> str:
        """One that was committed, and about which nobody has decided yet."""
        return read_plan(self.storage, LAYOUT, SLUGS["open"]).jobs[1].candidate

    @property
    def other_final(self) -> str:
        return str(self.chain.read(4).decision.final)

    @property
    def rejected(self) -> str:
        return str(self.chain.read(3).decision.candidate)

    def body(self, key: str) -> bytes:
        return self.storage.get(key).body


def furnish(world: World) -> None:
    """What the nights have left out: a committed candidate, a resume state, attempts, a mail, a validation."""
    storage, slug = world.storage, SLUGS["open"]
    first, second = read_plan(storage, LAYOUT, slug).jobs
    for job, accuracy in ((first, 0.95), (second, 0.96)):
        weights = to_h5(random_weights(job.seed))
        more = {"weights": weights, "history": a_history(accuracy), "parameters": PARAMETERS, "now": NOW}
        checkpoints.commit(storage, world.encryption, LAYOUT, job, **more)
    resume_of(world).save(state(2))
    for generation in (1, 2):
        attempts.write(storage, LAYOUT, slug, attempt(generation))
    for mail in get_args(MailRecord):
        storage.put(LAYOUT.run(slug, mail), to_json({"message_id": "<a@b>"}))
    answers.keep(storage, LAYOUT, slug, Answer(reply="approved", by="alice", manifest_sha256="ab" * 32))
    storage.put(LAYOUT.run(slug, "validation.json"), world.body(LAYOUT.run(SLUGS["first"], "validation.json")))


def attempt(generation: int, minutes: int = 2) -> Attempt:
    stopped = NOW + timedelta(minutes=minutes)
    size = {"capacity": "FARGATE", "vcpus": 1, "memory_gb": 2}
    return Attempt(job="promote", generation=generation, **size, started=NOW, stopped=stopped, exit_code=0)


def state(epochs: int) -> State:
    found = tuple(
        Epoch(epoch=n, seconds=1, loss=0.3, accuracy=0.9, validation_loss=0.2, validation_accuracy=0.94)
        for n in range(1, epochs + 1)
    )
    arrays = (np.full((2, 2), epochs, np.float32),)
    return State(History(epochs=found, seconds=1, peak_memory_mb=1), arrays, arrays, arrays, arrays)


def resume_of(world: World, job: TrainingJob | None = None) -> Resume:
    return Resume(world.storage, world.encryption, LAYOUT, job or world.job)


def encrypted_state(world: World, epochs: int, job: TrainingJob | None = None) -> bytes:
    """What training would put there, for this job or another one."""
    resume = resume_of(world, job)
    body = state(epochs).to_bytes(resume.job)
    return world.encryption.encrypt(body, resume._binding)


def written(value: Frozen) -> bytes:
    return to_json(value.model_dump(mode="json"))


def read_final_whole(world: World) -> Any:
    verified = verify(world.chain, FIRST_FINAL)
    if error := verified.checks[-1].error:
        raise error
    return verified


def read_rejected(world: World) -> Any:
    """What the signed rejection is about."""
    decision = world.chain.read(3).decision
    manifest = checkpoints.read_known(world.storage, LAYOUT, decision.candidate or "", decision.manifest_sha256)
    return checkpoints.load_history(world.storage, manifest)


def read_candidate(world: World) -> Any:
    manifest = checkpoints.read(world.storage, LAYOUT, world.candidate)
    history = checkpoints.load_history(world.storage, manifest)
    return manifest, history, checkpoints.load_weights(world.storage, world.encryption, manifest)


def read_service(world: World) -> Any:
    service = read_in_service(world.chain)
    return service and service.champion


def read_resume(world: World) -> Any:
    """How many epochs training goes on after; None: it starts anew, which it says."""
    with told_events() as events:
        found = resume_of(world).load()
    assert bool(events) == (found is None and world.storage.exists(LAYOUT.resume(world.job.run, world.job.candidate)))
    return found and len(found.history.epochs)


def place(world: World) -> page.Place:
    return page.Place(world.chain, PRICES)


def of_kept(world: World) -> Any:
    return collect(world.chain, SLUGS["kept"])


def mail_of_kept(world: World) -> Any:
    return compose_mail(world.chain, SLUGS["kept"])


def other_progress(world: World) -> bytes:
    job = replace_job(world, seed=7)
    return written(progress.Progress(job=job, updated=NOW))


def replace_job(world: World, **changes: Any) -> TrainingJob:
    return world.job.model_copy(update=changes)


def other_report(world: World) -> bytes:
    """Another run's, which had other pictures."""
    content = world.storage.get(LAYOUT.run(SLUGS["kept"], "report.json")).json()
    for stored in (*content["plots"].values(), content["digits"]):
        stored |= {"key": stored["key"].replace(SLUGS["kept"], SLUGS["first"]), "sha256": "0" * 64}
    return to_json(content)


def older_champion(world: World) -> bytes:
    champion = world.chain.read(1).decision.champion
    assert champion
    return written(champion)


@dataclass(frozen=True)
class Kind:
    """One kind of object. `rule` is what `Layout`, or `RunObject`, calls it.

    `other`: another valid one, of another run where there is one. `older`: an earlier version; None of what has one
    version only. `change`: for JSON that is not signed, a value that is exchanged for another valid one.
    """

    rule: str
    key: Callable[[World], str]
    read: Callable[[World], Any]
    other: Callable[[World], bytes]
    older: Callable[[World], bytes] | None = None
    change: tuple[str, Any] | None = None
    signed: bool = False

    @property
    def is_json(self) -> bool:
        return self.signed or self.change is not None


def at(rule: Callable[[World], str]) -> Callable[[World], bytes]:
    """The content of another object."""
    return lambda world: world.body(rule(world))


def run_object(name: Any, night: str) -> Callable[[World], str]:
    return lambda _: LAYOUT.run(SLUGS[night], name)


def record(number: int) -> Callable[[World], str]:
    return lambda _: LAYOUT.decision(number)


def final(rule: Callable[[str], str], read: Callable[[World], Any] = read_final_whole, **more: Any) -> Kind:
    return Kind(rule.__name__, lambda _: rule(FIRST_FINAL), read, at(lambda w: rule(w.other_final)), **more)


def rejected(rule: Callable[[str], str], **more: Any) -> Kind:
    return Kind(rule.__name__, lambda w: rule(w.rejected), read_rejected, at(lambda w: rule(w.other_final)), **more)


def candidate(rule: Callable[[str], str], **more: Any) -> Kind:
    other = at(lambda w: rule(w.job.candidate))
    return Kind(rule.__name__, lambda w: rule(w.candidate), read_candidate, other, **more)


def record_kind(number: int, other: int, read: Callable[[World], Any]) -> Kind:
    return Kind("decision", record(number), read, at(record(other)), signed=True)


def verify_chain(world: World) -> Any:
    return world.chain.verify()


def picture(name: str, read: Callable[[World], Any]) -> Kind:
    return Kind("plot", lambda _: LAYOUT.plot(SLUGS["kept"], name), read, lambda _: b"\x89PNG")


def mail_record(name: MailRecord) -> Kind:
    where = run_object(name, "open")
    other = to_json({"message_id": "<c@d>"})
    return Kind(name, where, lambda w: w.storage.exists(where(w)), lambda _: other, change=("message_id", "<c@d>"))


def another_accepted(world: World, sha256: str) -> Accepted:
    found = find_accepted(world.storage, LAYOUT)
    assert found
    return found.model_copy(update={"dataset_sha256": sha256})


def other_validation(world: World) -> bytes:
    """Of another night, and of the same data set."""
    content = world.storage.get(LAYOUT.run(SLUGS["first"], "validation.json")).json()
    return to_json(content | {"created": "2026-11-01T00:00:00Z"})


KINDS: dict[str, Kind] = {
    "data set": Kind(
        "dataset",
        lambda _: LAYOUT.dataset(REBUILT_FILE.sha256),
        lambda w: load(w.storage, LAYOUT, REBUILT_FILE.sha256).x_test.sum(),
        lambda _: write_npz(small_dataset()),
    ),
    "accepted.json": Kind(
        "accepted_dataset",
        lambda _: LAYOUT.accepted_dataset,
        lambda w: find_accepted(w.storage, LAYOUT),
        lambda w: written(another_accepted(w, "9" * 64)),
        older=lambda w: written(another_accepted(w, "8" * 64)),
        change=("run", "another-run"),
    ),
    "candidate's weights": candidate(LAYOUT.weights),
    "candidate's metrics": candidate(LAYOUT.metrics, change=("seconds", 99)),
    "candidate's manifest": candidate(LAYOUT.manifest, change=("validation_accuracy", 0.9999)),
    "rejected candidate's metrics": rejected(LAYOUT.metrics, change=("seconds", 99)),
    "rejected candidate's manifest": rejected(LAYOUT.manifest, change=("validation_accuracy", 0.9999)),
    "final weights": final(LAYOUT.weights),
    "final metrics": final(LAYOUT.metrics, change=("seconds", 99)),
    "final manifest": final(LAYOUT.manifest, change=("validation_accuracy", 0.9999)),
    "final decision": final(LAYOUT.final_decision, signed=True),
    "first record": record_kind(1, 2, verify_chain),
    "record in the middle": record_kind(3, 2, verify_chain),
    "newest record": record_kind(5, 4, verify_chain),
    "champion's record": record_kind(5, 1, read_service),
    "champion.json": Kind(
        "champion",
        lambda _: LAYOUT.champion,
        read_service,
        lambda w: written(w.chain.read(5).decision.champion.model_copy(update={"run": "a-run"})),  # type: ignore[union-attr]
        older=older_champion,
        change=("accuracy", 0.9999),
    ),
    "head.json": Kind(
        "decisions_head",
        lambda _: LAYOUT.decisions_head,
        read_service,
        at(lambda _: LAYOUT.champion),
        older=lambda w: written(w.chain.read(1).head),
        change=("sha256", "0" * 64),
    ),
    "plan.json of a run that was decided": Kind(
        "plan.json",
        run_object("plan.json", "kept"),
        of_kept,
        at(run_object("plan.json", "first")),
        change=("seed", 7),
    ),
    "plan.json before the decision": Kind(
        "plan.json",
        run_object("plan.json", "open"),
        lambda w: find_plan(w.storage, LAYOUT, SLUGS["open"]),
        at(run_object("plan.json", "first")),
        change=("seed", 7),
    ),
    "validation.json of a run that was decided": Kind(
        "validation.json",
        run_object("validation.json", "kept"),
        of_kept,
        other_validation,
        older=other_validation,
        change=("created", "2026-01-01T00:00:00Z"),
    ),
    "validation.json before the decision": Kind(
        "validation.json",
        run_object("validation.json", "open"),
        lambda w: read_inputs(w.chain, SLUGS["open"]),
        other_validation,
        older=other_validation,
        change=("created", "2026-01-01T00:00:00Z"),
    ),
    "decision_base.json": Kind(
        "decision_base.json",
        run_object("decision_base.json", "kept"),
        lambda w: decisions.find_of_run(w.chain, SLUGS["kept"]),
        at(run_object("decision_base.json", "better")),
        change=("sha256", "0" * 64),
    ),
    "report.json": Kind(
        "report.json",
        run_object("report.json", "kept"),
        mail_of_kept,
        other_report,
        older=other_report,
        change=("headline", "Released."),
    ),
    "report.html": Kind(
        "report.html",
        run_object("report.html", "kept"),
        lambda w: page.read_report(place(w), SLUGS["kept"]),
        lambda _: b"<!doctype html>",
        older=lambda _: b"<!doctype html><p>earlier",
    ),
    "pictures of the mail": picture("loss", mail_of_kept),
    "picture of the page": picture("digits", lambda w: page.read_digits(place(w), SLUGS["kept"])),
    "answer.json": Kind(
        "answer.json",
        run_object("answer.json", "open"),
        lambda w: answers.find(w.storage, LAYOUT, SLUGS["open"]),
        lambda _: written(Answer(reply="rejected", by="bob", manifest_sha256="ab" * 32)),
        change=("by", "bob"),
    ),
    "mail.json": mail_record("mail.json"),
    "mail-approval.json": mail_record("mail-approval.json"),
    "claim of a name": Kind(
        "claim",
        lambda w: LAYOUT.claim(read_plan(w.storage, LAYOUT, SLUGS["first"]).jobs[0].candidate),
        lambda w: tuple(plan.run for plan in newest_plans(w.storage, LAYOUT, now=NOW + timedelta(days=9))),
        lambda _: to_json({"run": SLUGS["open"]}),
        change=("run", "no-such-run"),
    ),
    "resume state": Kind(
        "resume",
        lambda w: LAYOUT.resume(w.job.run, w.job.candidate),
        read_resume,
        lambda w: encrypted_state(w, 2, job_for(w.storage.bucket)),
        older=lambda w: encrypted_state(w, 1),
    ),
    "progress": Kind(
        "progress",
        lambda w: LAYOUT.progress(w.job.run, w.job.candidate),
        lambda w: progress.find(w.storage, LAYOUT, w.job.run, w.job.candidate),
        other_progress,
        older=lambda w: written(progress.Progress(job=w.job, updated=NOW)),
        change=("updated", "2026-01-01T00:00:00Z"),
    ),
    "attempts": Kind(
        "attempt",
        lambda _: LAYOUT.attempt(SLUGS["open"], "promote", 1),
        lambda w: attempts.read_all(w.storage, LAYOUT, SLUGS["open"]),
        lambda _: written(attempt(3, minutes=9)),
        older=lambda _: written(attempt(1, minutes=1)),
        change=("vcpus", 16),
    ),
}
