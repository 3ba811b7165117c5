"""Every S3 key rule, in one place.

```
datasets/mnist/<sha256>/mnist.npz                    content-addressed; never overwritten
datasets/mnist/accepted.json                         statistics of the last data set that passed validation
checkpoints/mnist_model_YYYYMMDD_HHMMSS/             one candidate: weights (encrypted), metrics.json, manifest.json
                                                     (the commit)
checkpoints/mnist_model_YYYYMMDD_HHMMSS_final/       a promoted copy, and decision.json, which promoted it
checkpoints/champion.json                            which final is in service
decisions/00000001.json ...  decisions/head.json     the chain of decisions and the pointer to its newest record
runs/names/mnist_model_...                           whose candidate that is, or is going to be: the claim of a name
runs/<run slug>/resume/mnist_model_...               where training goes on if it is killed (encrypted); gone after
                                                     the commit
runs/<run slug>/progress/mnist_model_....json        figures so far, for whoever looks on
runs/<run slug>/attempts/<job>/1.json                each ECS task of a candidate or the promoter: what it took
runs/<run slug>/plots/accuracy.png                   the report's pictures
runs/<run slug>/plan.json                            and the others of `RunObject`
```

>>> candidate_name(datetime(2026, 11, 24, 2, 0, 5, tzinfo=UTC))
'mnist_model_20261124_020005'
>>> Layout().weights("mnist_model_20261124_020005")
'checkpoints/mnist_model_20261124_020005/weights'
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from mnist_tasks.errors import ConfigurationError

_CANDIDATE = re.compile(r"mnist_model_\d{8}_\d{6}")
_FINAL_SUFFIX = "_final"
_SHA256 = re.compile(r"[0-9a-f]{64}")
# The objects of a run that there is one of.
RunObject = Literal[
    "plan.json",
    "validation.json",
    "answer.json",
    "decision_base.json",
    "report.html",
    "report.json",
    "mail-approval.json",
    "mail.json",
]


def candidate_name(moment: datetime) -> str:
    """The name of a candidate claimed at `moment` (any time zone; written in UTC)."""
    return f"mnist_model_{moment.astimezone(UTC):%Y%m%d_%H%M%S}"


def final_name(candidate: str) -> str:
    """The name of the promoted copy of `candidate`."""
    return _checked_candidate(candidate) + _FINAL_SUFFIX


def is_final(name: str) -> bool:
    """Whether `name` is that of a promoted copy."""
    return name.endswith(_FINAL_SUFFIX) and _CANDIDATE.fullmatch(name.removesuffix(_FINAL_SUFFIX)) is not None


def is_name(name: str) -> bool:
    """Whether `name` is that of a candidate or of a promoted copy."""
    return _CANDIDATE.fullmatch(name.removesuffix(_FINAL_SUFFIX)) is not None


def checked_name(name: str) -> str:
    """`name` itself if it is that of a candidate or a final, so that nothing else ever becomes part of a key.

    Raises:
        ConfigurationError: it is neither.
    """
    _checked_candidate(name.removesuffix(_FINAL_SUFFIX))
    return name


def _checked_candidate(name: str) -> str:
    if not _CANDIDATE.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} is not the name of a checkpoint; expected mnist_model_YYYYMMDD_HHMMSS",
            mend="take a name from the report, or from the listing of the checkpoints in the bucket",
        )
    return name


def run_slug(dag_id: str, run_id: str) -> str:
    """A short key part for a run: readable, free of odd characters, and different for different runs.

    A run id may contain anything that a person typed; the hash keeps two ids apart that look the same once cleaned.

    >>> run_slug("mnist_training", "scheduled__2026-11-24T02:00:00+00:00")
    'scheduled-2026-11-24t02-00-00-00-00-2bb5fcb4'
    """
    digest = hashlib.sha256(f"{dag_id}\n{run_id}".encode()).hexdigest()[:8]
    return f"{slug_beginning(run_id)[:48]}-{digest}".lstrip("-")


def slug_beginning(run_id: str) -> str:
    """What the slug of a run begins with whose id begins with `run_id` (up to 48 characters of it)."""
    return re.sub(r"[^a-z0-9]+", "-", run_id.lower()).strip("-")


@dataclass(frozen=True)
class Layout:
    """Keys below one bucket. `checkpoints` is the prefix that the deployment sets."""

    checkpoints: str = "checkpoints"

    def dataset(self, sha256: str) -> str:
        """The data set file with this SHA-256.

        Raises:
            ConfigurationError: it is none.
        """
        if not _SHA256.fullmatch(sha256):
            raise ConfigurationError(
                f"{sha256!r:.80} is not the SHA-256 of a data set; expected 64 hexadecimal digits",
                mend="clear the step `download`: what it hands on was changed",
            )
        return f"datasets/mnist/{sha256}/mnist.npz"

    @property
    def accepted_dataset(self) -> str:
        """Statistics of the last data set that passed validation."""
        return "datasets/mnist/accepted.json"

    def weights(self, name: str) -> str:
        """The weights of a candidate or a final."""
        return f"{self.checkpoints}/{checked_name(name)}/weights"

    def metrics(self, name: str) -> str:
        """The training history of a candidate or a final."""
        return f"{self.checkpoints}/{checked_name(name)}/metrics.json"

    def manifest(self, name: str) -> str:
        """The manifest of a candidate or a final: written last, it is the commit."""
        return f"{self.checkpoints}/{checked_name(name)}/manifest.json"

    def final_decision(self, name: str) -> str:
        """A copy of the signed decision that promoted a final, so that the final can be verified by itself."""
        return f"{self.checkpoints}/{checked_name(name)}/decision.json"

    @property
    def champion(self) -> str:
        """The pointer to the final that is in service."""
        return f"{self.checkpoints}/champion.json"

    def decision(self, sequence: int) -> str:
        """The record number `sequence` (from 1) in the chain of decisions."""
        return f"decisions/{sequence:08d}.json"

    @property
    def decisions_head(self) -> str:
        """A hint at the newest decision, so that finding it does not take a listing."""
        return "decisions/head.json"

    def run(self, slug: str, name: RunObject) -> str:
        """An object that belongs to one run."""
        return f"runs/{slug}/{name}"

    def plot(self, slug: str, name: str) -> str:
        """One of the pictures of a run's report."""
        return f"runs/{slug}/plots/{name}.png"

    def runs(self, beginning: str = "") -> str:
        """What the keys of all runs begin with whose slugs begin with `beginning`."""
        return f"runs/{beginning}"

    def claim(self, candidate: str) -> str:
        """Which run has claimed a candidate's name; these keys sort by time."""
        return f"runs/names/{_checked_candidate(candidate)}"

    @property
    def claims(self) -> str:
        """What the keys of all claims begin with."""
        return "runs/names/mnist_model_"

    def resume(self, slug: str, candidate: str) -> str:
        """What an interrupted training of `candidate` goes on from."""
        return f"runs/{slug}/resume/{_checked_candidate(candidate)}"

    def progress(self, slug: str, candidate: str) -> str:
        """The figures of `candidate` so far; overwritten while it is trained."""
        return f"runs/{slug}/progress/{_checked_candidate(candidate)}.json"

    def attempt(self, slug: str, job: str, generation: int) -> str:
        """The record of the ECS task number `generation` (from 1) for the job of that name."""
        return f"{self.attempts(slug)}{job}/{generation}.json"

    def attempts(self, slug: str) -> str:
        """What the keys of all ECS tasks of a run begin with."""
        return f"runs/{slug}/attempts/"
