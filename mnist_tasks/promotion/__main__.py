"""The promoter's container: `python -I -m mnist_tasks.promotion promote|rollback` decides for one run.

The argument says what to do, environment variables for which run (`mnist_tasks.config.PromotionJob`); all else is read
from S3 and computed again. Whoever may call RunTask can send arguments and variables, but he has the promoter's rights
only as far as this program uses them for him. So:

- `-I` is part of the image's entry point: Python takes no code and no option from the environment or the folder.
- Arguments and `MNIST_...`, `AWS_...` variables are allow-listed (`mnist_tasks.promotion.surroundings`); others are
  dropped before anything reads them.
- AWS is asked at its own address. Only this machine's own may stand in for it (the one-machine cloud).
- A classifier is a name that this image knows (`mnist_tasks.definitions`). Its thresholds are the image's, and it
  decides about its own prefixes alone.
- The keys whose decisions are believed come from KMS, and IAM says which of them he may ask for. Where the task
  definition configures attestation, so does the key that signs, for an attested place alone
  (`mnist_tasks.promotion.attested`).

Exit codes (`mnist_tasks.ecs` says what each of them means to a retry):
    0: the run's decision is in the chain, and the champion's pointer shows it. A rejection is a decision, too.
    1: a defect, or the time limit was reached; its traceback is in the log.
    2: what was asked for was refused: an argument, a variable, a final that is in service already, access to S3 or KMS,
       the attestation of this place.
    3: what S3 holds was refused: it is missing, or not what its hash, its name or the chain of decisions says.
    4: S3 or KMS could not be used: it did not answer, was overloaded, or other runs decided first again and again.
    143: SIGTERM: a person, or Fargate.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mnist_tasks import events
from mnist_tasks.config import PromoterSettings, PromotionJob
from mnist_tasks.container import limit_time, open_storage, run
from mnist_tasks.errors import GateFailed
from mnist_tasks.promotion.surroundings import admitted

if TYPE_CHECKING:
    from mnist_tasks.layout import Layout
    from mnist_tasks.promotion.authority import Authority
    from mnist_tasks.promotion.chain import Chain
    from mnist_tasks.promotion.decisions import Decision


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Do what arguments and environment say, and return the exit code."""
    about = {"run": environment.get("MNIST_RUN", ""), "action": " ".join(arguments)}
    about["classifier"] = environment.get("MNIST_CLASSIFIER", "mnist")
    return run(lambda: _work(arguments, environment), **about)


def _work(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    kept = admitted(environment)
    os.environ.clear()
    os.environ.update(kept)
    settings = PromoterSettings.from_environment(kept)
    limit_time(settings.time_limit_seconds)
    job = PromotionJob.from_container(arguments, kept)
    layout = _layout_of(job)
    # Imported here: a job that is refused needs no NumPy.
    from mnist_tasks.promotion.authority import open_authority
    from mnist_tasks.promotion.decisions import read_of_run
    from mnist_tasks.promotion.telling import tell

    # Before anything is read: a place that is refused its key ends here.
    authority = open_authority(settings, os.environ)
    if authority.attestation:
        events.tell("attested", f"attested: {authority.attestation.label}")
    chain = _open_chain(job, layout, settings, authority)
    try:
        decision = _decide(chain, job, settings, authority)
    except GateFailed:
        decision = read_of_run(chain, job.run)
    tell(decision)


def _decide(chain: Chain, job: PromotionJob, settings: PromoterSettings, authority: Authority) -> Decision:
    from mnist_tasks.encryption import Encryption
    from mnist_tasks.promotion.answers import Answer
    from mnist_tasks.promotion.promote import promote
    from mnist_tasks.promotion.records import Evidence
    from mnist_tasks.promotion.release import rollback

    now = datetime.now(UTC)
    encryption = Encryption(authority.kms, settings.checkpoint_key, settings.final_key)
    evidence = Evidence(attestation=authority.attestation)
    if job.to is not None and job.reason is not None:
        return rollback(chain, encryption, to=job.to, reason=job.reason, slug=job.run, now=now, evidence=evidence)
    return promote(chain, encryption, job.run, now=now, answer=Answer.of(job), evidence=evidence)


def _layout_of(job: PromotionJob) -> Layout:
    """The keys of the job's classifier; a name that is not listed is refused before anything is asked for."""
    from mnist_tasks.definitions import named
    from mnist_tasks.layout import Layout

    return Layout(named(job.classifier), job.checkpoints_prefix)


def _open_chain(job: PromotionJob, layout: Layout, settings: PromoterSettings, authority: Authority) -> Chain:
    from mnist_tasks.promotion.chain import Chain
    from mnist_tasks.storage import Lock

    lock = Lock(settings.lock_mode, settings.lock_days) if settings.lock_mode else None
    storage = open_storage(job.bucket, lock=lock)
    return Chain(storage, layout, authority.keys, authority.signer)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
