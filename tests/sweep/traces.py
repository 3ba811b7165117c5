"""What a step leaves behind, in a form in which two runs of it can be compared, and what a difference means.

Compared is everything that a reader could notice: every object with its content, content type and tags; every mail; the
ECS tasks of the run; what the step returned, the asset events that it announced, or the error that it failed with. Left
out are the few things that cannot be the same twice, each by its exact place (`NORMALISED` lists them for the report).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes, policy
from typing import Any

from tests.sweep.pipeline import Ending
from tests.sweep.world import Snapshot

NORMALISED = (
    "the moment of a try, where it stands in an object or mail: each try has one of its own, to the second exact",
    "a SHA-256 that is that of another object in the bucket: it is read as that object's name, and compared there",
    (
        "a ciphertext, of which there are never two the same: what it holds and what it is bound to, which opening it "
        "with the production code tells"
    ),
    "the id and the slug of a training's run: each point has a run of its own",
    (
        "of a candidate's manifest, metrics.json and progress: `seconds`, `peak_memory_mb`, `peak_mb` (measured), "
        "`created`, `updated` (the container's clock), `resumed_after` (it says that training was interrupted), and "
        "the size of metrics.json, which holds them"
    ),
    "the signature of a decision: ECDSA draws a number at random for each; what is signed is compared",
    "where a try of `download` found the data set: at its source, or in S3, where an earlier try had put it",
    "whether this try is the one that sent the mail, which is what the steps that mail return",
    "what is kept of each ECS task (runs/<run>/attempts): numbered and timed by try; the tasks themselves are counted",
    "the boundaries between the parts of a mail, which the standard library draws at random",
)
GOOD = ("same", "repeated_mail_same_message_id")
_MEASURED = {"seconds", "peak_memory_mb", "peak_mb", "created", "updated", "resumed_after"}
_OF_TRAINING = re.compile(r"(checkpoints/mnist_model_\d{8}_\d{6}/(manifest|metrics)\.json|runs/[^/]+/progress/.*)")
_SIGNED = re.compile(r"decisions/\d+\.json|checkpoints/mnist_model_\d{8}_\d{6}_final/decision\.json")
_SOURCE = re.compile(r"(?<='source': )'[^']*'")
_HASH = re.compile(r"\b[0-9a-f]{64}\b")


@dataclass(frozen=True)
class Mail:
    """A mail as its reader takes it: two with the same `identity` (Message-ID) are one to mail programs."""

    identity: str
    content: str


@dataclass(frozen=True)
class Trace:
    """All of it. `tasks` has the exit code of each ECS task, or its status if it had not ended."""

    objects: Mapping[str, str]
    mails: tuple[Mail, ...]
    tasks: tuple[str, ...]
    ending: str


@dataclass(frozen=True)
class Verdict:
    """`same`, or how it differs: `lost` goes before `doubled`, and that before `repeated_mail_same_message_id`."""

    word: str
    differences: tuple[str, ...] = ()


@dataclass(frozen=True)
class Names:
    """What is this try's or this run's own, by its text, with what it is to be read as."""

    texts: Mapping[str, str]

    @classmethod
    def of(cls, moments: Iterable[datetime], *, run_id: str = "", slug: str = "") -> Names:
        texts = {slug: "<run slug>", run_id: "<run id>"} if slug else {}
        for moment in moments:
            texts |= dict.fromkeys((moment.isoformat(), moment.isoformat().replace("+00:00", "Z")), "<now>")
        return cls(texts)

    def read(self, text: str) -> str:
        for own, neutral in self.texts.items():
            text = text.replace(own, neutral)
        return text


def trace(
    snapshot: Snapshot, mails: Iterable[bytes], tasks: Iterable[Mapping[str, Any]], ending: Ending, names: Names
) -> Trace:
    """What there is to compare."""
    by_hash = {stored.sha256: key for key, stored in snapshot.items()}
    objects = {}
    for key, stored in snapshot.items():
        content = names.read(stored.opened) or _content(key, stored.body, by_hash, names)
        objects[names.read(key)] = f"{content} {stored.content_type} {dict(stored.tags)}"
    return Trace(
        objects,
        tuple(sorted((_mail(mail, names) for mail in mails), key=lambda mail: (mail.identity, mail.content))),
        tuple(sorted(map(_task, tasks))),
        _ending(ending, by_hash, names),
    )


def _content(key: str, body: bytes, by_hash: Mapping[str, str], names: Names) -> str:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return hashlib.sha256(body).hexdigest()
    if _OF_TRAINING.fullmatch(key):
        text = json.dumps(_without_measurements(json.loads(text)), sort_keys=True)
    if _SIGNED.fullmatch(key):
        text = base64.b64decode(json.loads(text)["payload"]).decode()
    return _read(text, by_hash, names)


def _read(text: str, by_hash: Mapping[str, str], names: Names) -> str:
    text = _HASH.sub(lambda found: f"<SHA-256 of {by_hash[found[0]]}>" if found[0] in by_hash else found[0], text)
    return names.read(text)


def _without_measurements(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_measurements(item) for item in value]
    if not isinstance(value, dict):
        return value
    left_out = _MEASURED | ({"size"} if str(value.get("key", "")).endswith("/metrics.json") else set())
    return {name: _without_measurements(item) for name, item in value.items() if name not in left_out}


def _mail(raw: bytes, names: Names) -> Mail:
    message: Any = message_from_bytes(raw, policy=policy.default)
    parts = [
        (part.get_content_type(), part.get("Content-ID"), hashlib.sha256(part.get_payload(decode=True)).hexdigest())
        for part in message.walk()
        if not part.is_multipart()
    ]
    date = names.read(message["Date"].datetime.isoformat())
    headers = [f"{name}: {message[name]}" for name in ("From", "To", "Subject")]
    return Mail(str(message["Message-ID"]), f"{headers} {date} {parts}")


def _task(task: Mapping[str, Any]) -> str:
    if task["lastStatus"] != "STOPPED":
        return str(task["lastStatus"])
    return f"exit code {task['containers'][0].get('exitCode')}"


def _ending(ending: Ending, by_hash: Mapping[str, str], names: Names) -> str:
    value = "<whether this try sent it>" if isinstance(ending.value, bool) else repr(ending.value)
    events = [_SOURCE.sub("<source>", event) for event in ending.events]
    return _read(f"{ending.state} {value} {events} {ending.error}", by_hash, names)


def compare(reference: Trace, found: Trace, *, struck_containers: int = 0, may_repeat_a_mail: bool = False) -> Verdict:
    """How `found` differs from the undisturbed run, when so many containers were struck on purpose.

    Where nobody could hear that a mail was taken, it may come once more.
    """
    missing, more, changed = _objects(reference, found)
    no_mail, other_mail, repeated = _mails(reference, found)
    if not may_repeat_a_mail:
        other_mail, repeated = [*other_mail, *repeated], []
    no_task, more_tasks = _tasks(reference, found, struck_containers)
    ended = [] if found.ending == reference.ending else [f"ended with {found.ending}, expected {reference.ending}"]
    by_word = {
        "lost": [*ended, *missing, *changed, *no_mail, *no_task],
        "doubled": [*more, *other_mail, *more_tasks],
        "repeated_mail_same_message_id": repeated,
    }
    word = next((word for word, differences in by_word.items() if differences), "same")
    return Verdict(word, tuple(difference[:500] for differences in by_word.values() for difference in differences))


def _objects(reference: Trace, found: Trace) -> tuple[list[str], list[str], list[str]]:
    expected, came = (
        {key: text for key, text in trace.objects.items() if "/attempts/" not in key} for trace in (reference, found)
    )
    missing = [f"{key} is missing" for key in sorted(expected.keys() - came.keys())]
    more = [f"{key} is there as well" for key in sorted(came.keys() - expected.keys())]
    changed = [
        f"{key} differs: {_first_difference(expected[key], came[key])}"
        for key in sorted(expected.keys() & came.keys())
        if expected[key] != came[key]
    ]
    return missing, more, changed


def _first_difference(expected: str, found: str) -> str:
    place = next((n for n, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b), 0)
    start = max(0, place - 40)
    return f"{found[start : place + 60]!r}, expected {expected[start : place + 60]!r}"


def _mails(reference: Trace, found: Trace) -> tuple[list[str], list[str], list[str]]:
    expected, came = Counter(reference.mails), Counter(found.mails)
    missing = [f"no mail {mail.identity} as expected" for mail in expected - came]
    more = {mail: f"mail {mail.identity} came {came[mail]} times" for mail in came - expected}
    repeated = [said for mail, said in more.items() if came[mail] == 2 * expected[mail]]
    return missing, [said for mail, said in more.items() if came[mail] != 2 * expected[mail]], repeated


def _tasks(reference: Trace, found: Trace, struck_containers: int) -> tuple[list[str], list[str]]:
    expected, came = Counter(reference.tasks), Counter(found.tasks)
    # A container that was struck may have failed, in which case another one came instead, or have been done already.
    failed = [task for task in found.tasks if re.fullmatch(r"exit code [1-9]\d*", task)][:struck_containers]
    came -= Counter(failed)
    missing = [] if failed and not came else [f"no ECS task with {task}" for task in expected - came]
    return missing, [f"an ECS task more, with {task}" for task in (came - expected).elements()]
