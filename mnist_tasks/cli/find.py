"""Which run or checkpoint a person means: whole names, the beginning of one, `latest`."""

from __future__ import annotations

from datetime import UTC, datetime
from difflib import get_close_matches

from mnist_tasks import checkpoints
from mnist_tasks.checkpoints import Manifest
from mnist_tasks.cli.place import Place
from mnist_tasks.errors import ConfigurationError, MnistError, NotFoundError
from mnist_tasks.layout import is_final, is_name, is_slug, run_slug, slug_beginning
from mnist_tasks.plan import pick_best
from mnist_tasks.promotion import decisions
from mnist_tasks.promotion.finals import read_final
from mnist_tasks.runs import newest_plans

LATEST = "latest"
FIRST_RUN = "trigger mnist_training (or another classifier's) in the Airflow UI (on a laptop: make run, or make up)"
# What is shown of many, and how many are looked through for names that look alike: one request to S3.
_SHOWN, _LISTED = 5, 1000


def find_run(place: Place, text: str) -> str:
    """The slug of the run that `text` names: its slug or id, the only beginning of either, or `latest`.

    Raises:
        NotFoundError: there is none; the error lists names that look like it.
        ConfigurationError: several begin like that.
    """
    if text == LATEST:
        return _latest(place)
    classifier = place.layout.classifier
    for slug in (text, *(run_slug(dag, text) for dag in (classifier.training_dag, classifier.rollback_dag))):
        if _is_run(place, slug):
            return slug
    beginning = slug_beginning(text)
    matches = _beginning_with(place, beginning, most=_SHOWN + 1) if beginning else []
    if len(matches) == 1:
        return matches[0]
    if matches:
        more = " ..." if len(matches) > _SHOWN else ""
        raise ConfigurationError(
            f"{text!r} is the beginning of several runs: {', '.join(matches[:_SHOWN])}{more}", mend="write more of it"
        )
    raise _unknown(place, text)


def _latest(place: Place) -> str:
    plan = next(newest_plans(place.storage, place.layout, now=datetime.now(UTC)), None)
    if plan is None:
        raise NotFoundError(f"no run in {place.name}", mend=FIRST_RUN)
    return plan.run


def _is_run(place: Place, slug: str) -> bool:
    if slug_beginning(slug) == "" or "/" in slug:
        return False
    return any(place.storage.exists(place.layout.run(slug, name)) for name in ("plan.json", "decision_base.json"))


def _beginning_with(place: Place, beginning: str, *, most: int) -> list[str]:
    folders = place.storage.folders(place.layout.runs(beginning), most=most)
    slugs = [folder.rpartition("/")[2] for folder in folders]
    return [slug for slug in slugs if is_slug(slug)]


def _unknown(place: Place, text: str) -> MnistError:
    known = _beginning_with(place, "", most=_LISTED)
    wanted = slug_beginning(text)
    alike = [s for s in known if wanted in s][:_SHOWN] or get_close_matches(wanted, known, n=_SHOWN, cutoff=0.5)
    if not known:
        return NotFoundError(f"no run in {place.name}", mend=FIRST_RUN)
    mend = f"did you mean {' or '.join(alike)}?" if alike else "mnist runs lists the newest ones"
    return NotFoundError(f"there is no run {text!r} in {place.name}", mend=mend)


def find_checkpoint(place: Place, text: str) -> Manifest:
    """The candidate or final of that name, or what a run came to: its final, else its best candidate.

    Raises:
        NotFoundError: there is none.
        ConfigurationError: several runs begin like that.
        IntegrityError: what is stored there is not what it has to be.
    """
    storage, layout = place.storage, place.layout
    if is_name(text):
        return read_final(place.chain, text) if is_final(text) else checkpoints.read(storage, layout, text)
    slug = find_run(place, text)
    decision = decisions.find_of_run(place.chain, slug)
    if decision and (name := decision.final or decision.candidate):
        return checkpoints.read_known(storage, layout, name, decision.manifest_sha256)
    return pick_best(storage, layout, slug)
