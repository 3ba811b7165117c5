"""What came of asking a person to approve a candidate, kept with the run, and what follows from it.

The name is what Airflow states: its workers start the promoter, and whoever has their role could state another one. So
it stands in the record as a statement, and opens nothing: the gates hold whatever it says.
"""

from __future__ import annotations

from mnist_tasks.config import Frozen, Person, PromotionJob, Reply, Sha256
from mnist_tasks.errors import ConfigurationError
from mnist_tasks.layout import Layout
from mnist_tasks.plan import Plan
from mnist_tasks.storage import Storage, parse, to_json


class Answer(Frozen):
    """`by` is None where nobody answered in time; `manifest_sha256` is of the candidate that the question was about."""

    reply: Reply
    by: Person | None = None
    manifest_sha256: Sha256

    @classmethod
    def of(cls, job: PromotionJob) -> Answer | None:
        """What the promoter was told; None if nothing."""
        if job.answer is None or job.answered_manifest is None:
            return None
        return cls(reply=job.answer, by=job.answered_by, manifest_sha256=job.answered_manifest)

    def told(self) -> dict[str, str | None]:
        """What the promoter is told: the part of its job that `of` reads."""
        return {"answer": self.reply, "answered_by": self.by, "answered_manifest": self.manifest_sha256}

    @property
    def approved_by(self) -> str | None:
        """Who takes the responsibility."""
        return self.by if self.reply == "approved" else None

    def refusal(self, plan: Plan) -> str | None:
        """Why nothing is promoted, in a few words; None if the answer was yes."""
        if self.reply == "approved":
            return None
        return f"rejected by {self.by}" if self.by else f"nobody answered in {hours(plan.config.approval_hours or 0)}"


def keep(storage: Storage, layout: Layout, slug: str, answer: Answer) -> None:
    """Write the run's answer down; the first one stays, so that a run that is cleared asks nobody again.

    Raises:
        TemporaryError: S3 does not take it now.
    """
    storage.put_if_absent(layout.run(slug, "answer.json"), to_json(answer.model_dump(mode="json")))


def find(storage: Storage, layout: Layout, slug: str) -> Answer | None:
    """The answer of a run; None before there is one.

    Raises:
        IntegrityError: what is stored there is none.
    """
    stored = storage.find(layout.run(slug, "answer.json"))
    return parse(Answer, storage, stored) if stored else None


def check(answer: Answer | None, plan: Plan) -> None:
    """Hold an answer against what the plan asks for.

    Raises:
        ConfigurationError: the run waits for an approval and there is no answer, or there is one that nobody asked for.
    """
    asked = plan.config.approval_hours is not None
    if asked and answer is None:
        raise ConfigurationError(
            f"run {plan.run} promotes only what a person has approved, and no answer came",
            mend="clear the step `approve` and answer it in Airflow; to mark it as done is no answer",
        )
    if answer is not None and not asked:
        raise ConfigurationError(
            f"an answer came ({answer.reply}), but the plan of run {plan.run} asks nobody",
            mend="find out who started this task: the step `promote` sends an answer only where the run has asked",
        )


def check_is_about(answer: Answer | None, manifest_sha256: str, plan: Plan) -> None:
    """Nobody is to stand for a candidate that he was not asked about.

    Raises:
        ConfigurationError: the best candidate is another one by now, or was trained again.
    """
    if answer is not None and answer.manifest_sha256 != manifest_sha256:
        by = f" by {answer.by}" if answer.by else ""
        raise ConfigurationError(
            f"the answer of run {plan.run} ({answer.reply}{by}) was given to another candidate than is the best now",
            mend="trigger a new run: each asks once",
        )


def hours(number: float) -> str:
    """`1 hour`, `12 hours`, `0.5 hours`."""
    return f"{number:g} hour{'' if number == 1 else 's'}"
