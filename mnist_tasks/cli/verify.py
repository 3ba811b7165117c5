"""`mnist verify`: a final, the champion or the whole chain, checked with nothing but the objects and a public key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from rich.console import Group, RenderableType

from mnist_tasks.checkpoints import Manifest
from mnist_tasks.cli.group import status_of
from mnist_tasks.cli.terminal import styled
from mnist_tasks.errors import ConfigurationError, IntegrityError, MnistError, NotFoundError
from mnist_tasks.layout import is_final
from mnist_tasks.promotion.chain import Chain
from mnist_tasks.promotion.finals import read_promotion, read_vouched
from mnist_tasks.promotion.in_service import read_in_service
from mnist_tasks.promotion.inputs import check_inputs
from mnist_tasks.promotion.records import Decision

CHAMPION, CHAIN = "champion", "chain"


@dataclass(frozen=True)
class Check:
    """One step of the way; `error` says why it failed."""

    what: str
    said: str
    error: MnistError | None = None

    def to_dict(self) -> dict[str, Any]:
        """For machines."""
        return {"check": self.what, "ok": self.error is None, "said": self.said}


@dataclass(frozen=True)
class Verified:
    """What was checked, in its order; a check that failed is the last one, because the others rest on it."""

    subject: str
    checks: tuple[Check, ...]

    @property
    def status(self) -> int:
        """The exit status: 0, or that of the error."""
        error = self.checks[-1].error
        return status_of(error) if error else 0

    def to_dict(self) -> dict[str, Any]:
        """For machines."""
        return {"subject": self.subject, "ok": self.status == 0, "checks": [check.to_dict() for check in self.checks]}


def verify(chain: Chain, subject: str) -> Verified:
    """Check a final by its name, `champion` or `chain`.

    Raises:
        ConfigurationError: `subject` is none of them, or the objects cannot be asked for.
    """
    if subject == CHAIN:
        steps = _chain(chain)
    elif subject == CHAMPION:
        steps = _champion(chain)
    elif is_final(subject):
        steps = _final(chain, subject)
    else:
        raise ConfigurationError(
            f"{subject!r} cannot be verified", mend="name a final (mnist_model_..._final), champion or chain"
        )
    return Verified(subject, tuple(_taken(steps)))


Step = tuple[str, Callable[[], str]]


def _taken(steps: Iterator[Step]) -> Iterator[Check]:
    for what, step in steps:
        try:
            yield Check(what, step())
        except (IntegrityError, NotFoundError) as error:
            yield Check(what, error.problem, error)
            return


def _chain(chain: Chain) -> Iterator[Step]:
    yield "every record is signed and follows the one before", lambda: f"{chain.verify()} records"


def _champion(chain: Chain) -> Iterator[Step]:
    found: list[tuple[Manifest, Decision]] = []

    def read() -> str:
        service = read_in_service(chain)
        if service is None:
            raise NotFoundError("nothing is in service", mend="nothing was released yet")
        found.append((service.final, service.decision))
        by = f"{service.champion.name}, put into service by decision {service.decision.sequence}"
        return by + _place(service.decision)

    yield "pointer, signed decision and manifest agree", read
    yield from _objects(chain, *found[0])


def _final(chain: Chain, name: str) -> Iterator[Step]:
    found: list[tuple[Manifest, Decision]] = []

    def read() -> str:
        decision = read_promotion(chain, name)
        found.append((read_vouched(chain, decision), decision))
        return f"promoted by decision {decision.sequence} of run {decision.run}" + _place(decision)

    yield "signed decision and manifest agree", read
    yield from _objects(chain, *found[0])


def _place(decision: Decision) -> str:
    return f" ({attested})" if (attested := decision.evidence.attested) else ""


def _objects(chain: Chain, manifest: Manifest, decision: Decision) -> Iterator[Step]:
    for stored in (manifest.weights, manifest.metrics):
        name = stored.key.rpartition("/")[2]
        yield f"{name} as it was signed", partial(_sha256, chain, stored.key, stored.sha256)
    yield "plan and validation report as they were signed", partial(_inputs, chain, decision)


def _inputs(chain: Chain, decision: Decision) -> str:
    if decision.plan_sha256 is None:
        return "none: a rollback rests on none"
    try:
        check_inputs(chain, decision)
    except NotFoundError:
        return "gone: they expire with the run's other records"
    return f"SHA-256 {decision.plan_sha256} and {decision.validation_sha256}"


def _sha256(chain: Chain, key: str, sha256: str) -> str:
    chain.storage.get_verified(key, sha256)
    return f"SHA-256 {sha256}"


def view(verified: Verified) -> RenderableType:
    """A line for each check."""
    lines = []
    for check in verified.checks:
        mark, style = ("failed", "bold red") if check.error else ("ok", "green")
        lines.append(styled(f"{mark:6}  {check.what}: {check.said}", style))
    if error := verified.checks[-1].error:
        lines.append(styled(f"        To mend it: {error.mend}", ""))
    return Group(*lines)
