"""`make sweep`: strike every call of every step, print each verdict, write build/sweep.json.

The logs of the tries that came out wrong are kept in build/sweep/.

    python -m tests.sweep [--step promote] [--fault killed] [--call s3.PutObject] [--resume]

Exit status 0: every point ended the same, but for mails that were sent again under the same Message-ID.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mnist_tasks.dataset import package, write_npz
from mnist_tasks.definitions.mnist import REBUILT_FILE
from mnist_tasks.storage import sha256_of
from tests.container import ROOT
from tests.sweep import scenes, sweep
from tests.sweep.points import SAMPLED, Point, sample
from tests.sweep.sweep import Result
from tests.sweep.traces import GOOD, NORMALISED

OUTPUT = ROOT / "build" / "sweep.json"
WORDS = (*GOOD, "doubled", "lost", "not_reached")


def main() -> int:
    """Sweep what the command line chooses."""
    options = _parser().parse_args()
    names = {scene.name for scene in scenes.SCENES if scene.swept and options.step in scene.name}
    if options.sample:
        names &= set(SAMPLED)
    if not names:
        sys.exit(f"error: no step's name has {options.step!r}; there are {', '.join(scenes.BY_NAME)}")
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))  # so that what was started is stopped
    known = _known(options.output) if options.resume else {}
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="sweep-") as folder,
        sweep.stages(Path(folder), options.output.with_suffix(""), dataset_file(), options.workers) as made,
    ):
        made[0].build(names)
        found = sweep.all_points(made[0], names)
        # How often a step polls differs: what came out wrong is struck again although this run may poll less often.
        wrong = (Point.named(name) for name, entry in known.items() if not _is_good(entry))
        found += [point for point in wrong if point.scene in names and point not in found]
        found = [point for point in found if options.fault in point.kind]
        found = [point for point in found if options.call in str(point.call)]
        if options.sample:
            found = sample(found)
        details, todo = dict(known), [point for point in found if not _is_good(known.get(point.name))]
        print(f"{len(todo)} points in {len(names)} steps; built in {time.monotonic() - started:.0f} s", flush=True)
        for number, result in enumerate(sweep.strike_all(made, todo, dataset_file()), start=1):
            details[result.point.name] = _detail(result)
            _print(result, number, len(todo))
            _write(options.output, details)
    return _summary(options.output, details, time.monotonic() - started)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make sweep", description="Strike every call of every step.")
    parser.add_argument("--step", default="", help="only steps whose name has this in it")
    parser.add_argument("--fault", default="", help="only faults whose name has this in it: killed, throttled, ...")
    parser.add_argument(
        "--call", default="", help="only calls whose name has this in it: s3.PutObject, manifest.json, smtp, ..."
    )
    parser.add_argument("--workers", type=int, default=2, help="accounts and processes side by side (%(default)s)")
    parser.add_argument("--resume", action="store_true", help="go on where the last sweep of this code was stopped")
    parser.add_argument("--sample", action="store_true", help="only a few points, which stand for all")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the file that is written (%(default)s)")
    return parser


def dataset_file() -> Path:
    """The real data set as a file, downloaded once for the checkout."""
    path = ROOT / ".cache" / "mnist.npz"
    if not path.exists() or sha256_of(path.read_bytes()) != REBUILT_FILE.sha256:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(write_npz(package.fetch_dataset()))
    return path


def _known(output: Path) -> dict[str, Any]:
    """What the sweeps before have found, whatever part of it all they were."""
    if not output.exists():
        return {}
    return {entry["point"]: entry for entry in json.loads(output.read_text())["details"]}


def _is_good(entry: Mapping[str, Any] | None) -> bool:
    return entry is not None and entry["verdict"] in GOOD


def _detail(result: Result) -> dict[str, Any]:
    point: Point = result.point
    return {
        "point": point.name,
        "verdict": result.verdict.word,
        "differences": list(result.verdict.differences),
        "tries": result.tries,
        "seconds": result.seconds,
    }


def _print(result: Result, number: int, total: int) -> None:
    about = result.point.call.about
    print(
        f"{number:4}/{total}  {result.verdict.word:<8}  {result.point.name}  {about}  ({result.tries} tries)",
        flush=True,
    )
    for difference in result.verdict.differences:
        print(f"           {difference}")


def counts(details: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How many points ended how."""
    words = Counter(entry["verdict"] for entry in details)
    return {"points": words.total(), **{word: words[word] for word in WORDS}}


def _write(output: Path, details: Mapping[str, Any]) -> None:
    output.parent.mkdir(exist_ok=True)
    report = {**counts(details.values()), "normalised": NORMALISED, "details": list(details.values())}
    partial = output.with_suffix(".partial")
    partial.write_text(json.dumps(report, indent=1) + "\n")
    partial.replace(output)


def _summary(output: Path, details: Mapping[str, Any], seconds: float) -> int:
    found = counts(details.values())
    print(f"\n{found} in {seconds:.0f} s; {output}")
    return 0 if found["points"] and sum(found[word] for word in GOOD) == found["points"] else 1


if __name__ == "__main__":
    sys.exit(main())
