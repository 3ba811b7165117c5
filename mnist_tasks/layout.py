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

These are MNIST's. Any other classifier has a folder of its own name in each of the four: `datasets/contracts/`,
`checkpoints/contracts/contracts_model_...`, `decisions/contracts/`, `runs/contracts/`. A layout makes no key of another
classifier: it refuses the names of its checkpoints.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from mnist_tasks.classifier import Classifier
from mnist_tasks.errors import ConfigurationError

_CANDIDATE = re.compile(r"([a-z][a-z0-9_]{0,30})_model_[0-9]{8}_[0-9]{6}")
_FINAL_SUFFIX = "_final"
# The specification fixes its keys: they have no folder of the classifier.
_FIRST = "mnist"
# Everything below runs/ expires then (`infra/mnist.yaml`); decisions and finals stay.
RUNS_KEPT = timedelta(days=90)
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


def candidate_name(moment: datetime, classifier: str = _FIRST) -> str:
    """The name of a candidate claimed at `moment` (any time zone; written in UTC).

    >>> candidate_name(datetime(2026, 11, 24, 2, 0, 5, tzinfo=UTC))
    'mnist_model_20261124_020005'
    """
    return f"{classifier}_model_{moment.astimezone(UTC):%Y%m%d_%H%M%S}"


def classifier_of(name: str) -> str:
    """The name of the classifier that a candidate or a final belongs to.

    >>> classifier_of("mnist_model_20261124_020005_final")
    'mnist'
    """
    return checked_name(name).rpartition("_model_")[0]


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
            f"{name!r} is not the name of a checkpoint; expected mnist_model_YYYYMMDD_HHMMSS (or another classifier's)",
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


def is_slug(name: str) -> bool:
    """Whether a folder below `runs/` may be that of a run, and not that of claims or of another classifier."""
    return re.fullmatch(r"([a-z0-9-]+-)?[0-9a-f]{8}", name) is not None


@dataclass(frozen=True)
class Layout:
    """Keys of one classifier below one bucket. `checkpoints` is the prefix that the deployment sets."""

    classifier: Classifier
    checkpoints: str = "checkpoints"

    def _folder(self, area: str) -> str:
        name = self.classifier.name
        return area if name == _FIRST else f"{area}/{name}"

    def _checkpoint(self, name: str, part: str) -> str:
        if classifier_of(name) != self.classifier.name:
            raise ConfigurationError(
                f"{name} is a checkpoint of the classifier {classifier_of(name)}, not of {self.classifier.name}",
                mend="take a name from a report of this classifier, or name the other one (MNIST_CLASSIFIER)",
            )
        return f"{self._folder(self.checkpoints)}/{name}/{part}"

    def candidate_name(self, moment: datetime) -> str:
        """The name of a candidate of this classifier, claimed at `moment`."""
        return candidate_name(moment, self.classifier.name)

    @property
    def datasets(self) -> str:
        """What the keys of all its data sets begin with."""
        return f"datasets/{self.classifier.name}"

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
        return f"{self.datasets}/{sha256}/{self.classifier.name}.npz"

    @property
    def accepted_dataset(self) -> str:
        """Statistics of the last data set that passed validation."""
        return f"{self.datasets}/accepted.json"

    def weights(self, name: str) -> str:
        """The weights of a candidate or a final."""
        return self._checkpoint(name, "weights")

    def metrics(self, name: str) -> str:
        """The training history of a candidate or a final."""
        return self._checkpoint(name, "metrics.json")

    def manifest(self, name: str) -> str:
        """The manifest of a candidate or a final: written last, it is the commit."""
        return self._checkpoint(name, "manifest.json")

    def final_decision(self, name: str) -> str:
        """A copy of the signed decision that promoted a final, so that the final can be verified by itself."""
        return self._checkpoint(name, "decision.json")

    @property
    def champion(self) -> str:
        """The pointer to the final that is in service."""
        return f"{self._folder(self.checkpoints)}/champion.json"

    def decision(self, sequence: int) -> str:
        """The record number `sequence` (from 1) in the chain of decisions."""
        return f"{self._folder('decisions')}/{sequence:08d}.json"

    @property
    def decisions_head(self) -> str:
        """A hint at the newest decision, so that finding it does not take a listing."""
        return f"{self._folder('decisions')}/head.json"

    def run(self, slug: str, name: RunObject) -> str:
        """An object that belongs to one run."""
        return f"{self._folder('runs')}/{slug}/{name}"

    def plot(self, slug: str, name: str) -> str:
        """One of the pictures of a run's report."""
        return f"{self._folder('runs')}/{slug}/plots/{name}.png"

    def runs(self, beginning: str = "") -> str:
        """What the keys of all runs begin with whose slugs begin with `beginning`."""
        return f"{self._folder('runs')}/{beginning}"

    def claim(self, candidate: str) -> str:
        """Which run has claimed a candidate's name; these keys sort by time."""
        return f"{self._folder('runs')}/names/{_checked_candidate(candidate)}"

    @property
    def claims(self) -> str:
        """What the keys of all claims begin with."""
        return f"{self._folder('runs')}/names/{self.classifier.name}_model_"

    def resume(self, slug: str, candidate: str) -> str:
        """What an interrupted training of `candidate` goes on from."""
        return f"{self._folder('runs')}/{slug}/resume/{_checked_candidate(candidate)}"

    def progress(self, slug: str, candidate: str) -> str:
        """The figures of `candidate` so far; overwritten while it is trained."""
        return f"{self._folder('runs')}/{slug}/progress/{_checked_candidate(candidate)}.json"

    def attempt(self, slug: str, job: str, generation: int) -> str:
        """The record of the ECS task number `generation` (from 1) for the job of that name."""
        return f"{self.attempts(slug)}{job}/{generation}.json"

    def attempts(self, slug: str) -> str:
        """What the keys of all ECS tasks of a run begin with."""
        return f"{self._folder('runs')}/{slug}/attempts/"
