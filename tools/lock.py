"""Recompile every lock file from requirements/*.in (`make lock`).

The whole laptop environment comes first; the smaller ones take their versions from it, so that a figure measured on a
laptop speaks of what the images hold.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = Path(sys.executable).with_name("uv")

LOCKS: dict[str, list[str]] = {
    "requirements.txt": ["requirements/airflow.in", "requirements/trainer.in"],
    "requirements/airflow.txt": ["requirements/airflow.in", "-c", "requirements.txt"],
    "requirements/airflow-image.txt": ["requirements/airflow-image.in", "-c", "requirements.txt"],
    "requirements/trainer.txt": ["requirements/trainer.in", "-c", "requirements.txt"],
    "requirements/promoter.txt": ["requirements/promoter.in", "-c", "requirements.txt"],
    "requirements/dev.txt": ["requirements/dev.in", "-c", "requirements.txt"],
    "requirements/cloud.txt": ["requirements/cloud.in"],
    "requirements/tools.txt": ["requirements/tools.in"],
    "requirements/checkov.txt": ["requirements/checkov.in"],
    "requirements/bench-torch.txt": ["requirements/bench-torch.in"],
    "requirements/bench-jax.txt": ["requirements/bench-jax.in"],
}


def main() -> None:
    """Compile each lock for Python 3.11 and up, every platform, with hashes."""
    for output, inputs in LOCKS.items():
        print(output)
        command = [str(UV), "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"]
        command += ["--no-emit-index-url", "--no-emit-find-links", "--custom-compile-command", "make lock"]
        subprocess.run([*command, *sys.argv[1:], *inputs, "--output-file", output], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
