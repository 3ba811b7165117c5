"""Secrets in what git would keep (part of `make lint`): detect-secrets over all files, held against what was reviewed.

    python -m tools.secret_scan [--review]

`.secrets.baseline` has the hash of each finding that somebody has looked at and found to be none. Anything else fails,
and so does a review that nothing needs any more. `--review` asks about each new finding and writes the file.
detect-secrets' own hook is not used: it fails, and rewrites the file, whenever a line has moved.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.environment import ROOT

BASELINE = ".secrets.baseline"
_REVIEW = ".venv/bin/python -m tools.secret_scan --review"


@dataclass(frozen=True, order=True)
class Finding:
    """Something that looks like a secret. The line moves, and is no part of what was reviewed."""

    file: str
    kind: str
    sha1: str


def main() -> int:
    """Returns 0 if nothing was found that nobody has reviewed."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.secret_scan", description="Looks for secrets in the repository."
    )
    parser.add_argument("--review", action="store_true", help="ask about new findings, and remember the answers")
    review = parser.parse_args().review
    if review:
        _review(ROOT)
    problems = check(ROOT)
    print("\n".join(problems) or "no secret that was not reviewed")
    return 1 if problems else 0


def check(root: Path) -> list[str]:
    """A sentence for each finding of the repository at `root` that was not reviewed, and each review without one."""
    known = json.loads((root / BASELINE).read_text())
    reviewed = {finding for finding, entry in _findings(known) if entry.get("is_secret") is False}
    found = {finding: entry["line_number"] for finding, entry in _findings(scan(root, known))}
    return [
        *(
            f"{finding.file}:{line}: {finding.kind}. If it is a secret, take it out, and change it, for git remembers. "
            f"If it is none: {_REVIEW}"
            for finding, line in sorted(found.items())
            if finding not in reviewed
        ),
        *(
            f"{finding.file}: a reviewed {finding.kind} is gone: {_REVIEW}"
            for finding in sorted(reviewed - found.keys())
        ),
    ]


def scan(root: Path, known: Any) -> Any:
    """What detect-secrets finds in the files that git keeps or would add, with the baseline's plugins and filters."""
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    excluded = [pattern for entry in known["filters_used"] for pattern in entry.get("pattern", ())]
    options = [f"--exclude-files={pattern}" for pattern in excluded]
    command = [str(Path(sys.executable).with_name("detect-secrets")), "scan", "--no-verify", *options]
    present = [name for name in files if name and name != BASELINE and (root / name).is_file()]
    result = subprocess.run([*command, *present], cwd=root, capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


def _findings(baseline: Any) -> Iterable[tuple[Finding, Any]]:
    for file, entries in baseline["results"].items():
        for entry in entries:
            yield Finding(file, entry["type"], entry["hashed_secret"]), entry


def _review(root: Path) -> None:
    path = root / BASELINE
    known = json.loads(path.read_text())
    reviewed = {finding for finding, entry in _findings(known) if entry.get("is_secret") is False}
    found = scan(root, known)
    for finding, entry in _findings(found):
        line = (root / finding.file).read_text().splitlines()[entry["line_number"] - 1].strip()
        if finding not in reviewed:
            print(f"{finding.file}:{entry['line_number']}: {finding.kind}\n    {line:.160}")
        entry["is_secret"] = finding not in reviewed and input("No secret? [y/N] ").strip().lower() != "y"
    path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    sys.exit(main())
