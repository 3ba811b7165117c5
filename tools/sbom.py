"""The software bill of materials of each lock file (`make sbom`): CycloneDX, into build/sbom.

What an image or a laptop holds is its lock: every package with its version, and the hashes that installing enforces.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.txt", *(f"requirements/{name}.txt" for name in ("airflow", "trainer", "cloud", "dev")))


def write(lock: Path, output: Path) -> None:
    """Write the bill of one lock; the same lock gives the same bytes."""
    output.parent.mkdir(parents=True, exist_ok=True)
    tool = Path(sys.executable).with_name("cyclonedx-py")
    command = [str(tool), "requirements", "--output-reproducible", "--pyproject", str(ROOT / "pyproject.toml")]
    subprocess.run([*command, "--output-file", str(output), str(lock)], check=True)


def main() -> None:
    """Write them all."""
    for lock in LOCKS:
        output = ROOT / "build" / "sbom" / f"{Path(lock).stem}.json"
        write(ROOT / lock, output)
        print(output.relative_to(ROOT))


if __name__ == "__main__":
    main()
