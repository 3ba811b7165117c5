"""`make permissions`: does the template grant what the pipeline needs, and nothing else?

Exit status 0: nothing is missing, nothing unused, and AWS's models find no fault with a request. What was found is
written to build/permissions.json.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import localcloud
from localcloud.home import Home
from localcloud.surroundings import Surroundings
from tools.iam.template import Template
from tools.laptop import ROOT, Laptop
from tools.permissions import calls
from tools.permissions.faults import faults
from tools.permissions.needs import needs
from tools.permissions.reviewed import REVIEWED
from tools.permissions.scenes import Stage, play
from tools.permissions.verdict import Verdict, judge

BUILD = ROOT / "build"


def main() -> int:
    """Play the scenes, read what they asked of AWS, say whether the template fits."""
    template = Template.read()
    with tempfile.TemporaryDirectory(prefix="mnist-permissions-") as folder:
        recorded = _record(Path(folder), template)
    refused = sorted({fault for call in recorded for fault in faults(call)})
    verdict = judge(template, (need for call in recorded for need in needs(call, template)), REVIEWED)
    _write(recorded, refused, verdict)
    _print(recorded, refused, verdict)
    return 0 if verdict.fits and not refused else 1


def _record(home: Path, template: Template) -> list[calls.Call]:
    cloud_home = Home(home / "cloud")
    try:
        cloud = localcloud.up(cloud_home.root, surroundings=Surroundings(recording=True))
        laptop = Laptop(home / "airflow", cloud)
        laptop.migrate()
        play(Stage(laptop, BUILD / "permissions"))
    finally:
        localcloud.down(cloud_home.root)
    return calls.read(cloud_home.calls, template, cloud.environment)


def _write(recorded: Iterable[calls.Call], refused: list[str], verdict: Verdict) -> None:
    counts = Counter(f"{call.role.split('-')[1]} {call}" for call in recorded)
    content = {**verdict.to_dict(), "refused": refused, "calls": dict(sorted(counts.items()))}
    (BUILD / "permissions.json").write_text(json.dumps(content, indent=1) + "\n")


def _print(recorded: list[calls.Call], refused: list[str], verdict: Verdict) -> None:
    _table("missing", (f"{need}: {answer.value}" for need, answer in verdict.missing))
    _table("unused", map(str, verdict.unused))
    _table("implied", (f"{grant}\n      {reason}" for grant, reason in verdict.implied))
    _table("reviewed without a grant, or needed anyway", (f"{r.role} {r.action} {r.resource}" for r in verdict.idle))
    _table("refused by AWS's models", refused)
    print(f"\n{len(recorded)} calls: {verdict.summary()}, {len(refused)} refused by AWS's models")


def _table(title: str, lines: Iterable[str]) -> None:
    if rows := list(lines):
        print(f"\n{title}\n" + "\n".join(f"  {row}" for row in rows))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except localcloud.LocalCloudError as error:
        sys.exit(f"error: {error}")
