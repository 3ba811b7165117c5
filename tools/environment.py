"""Make the project's environments: `.venv` (everything but the emulator) and `.venv-cloud` (the emulator).

Runs on any Python 3 with nothing installed. It installs from locks with hashes, through whatever index pip is set up
for, compiles bytecode (importing TensorFlow takes 2 s with it and 6-10 s without), and does nothing when the locks have
not changed.

    python3 tools/environment.py          what `make run` and `make up` need
    python3 tools/environment.py --dev    what `make test` and `make lint` need besides
"""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
CLOUD_VENV = ROOT / ".venv-cloud"
PYTHONS = ("3.11", "3.12")  # TensorFlow 2.18 has no wheel for anything newer

# pip's settings and what uv calls them. uv does not read pip's configuration, but it has to reach the same index.
UV_NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
    "no-index": "UV_NO_INDEX",
}


class SetupError(Exception):
    """What keeps the environment from being made, as one line for a person."""


def main() -> int:
    """Make what is missing or out of date."""
    try:
        locks = ["requirements.txt", *(["requirements/dev.txt"] if "--dev" in sys.argv[1:] else [])]
        python = _find_python()
        _environment(VENV, python, locks)
        _environment(CLOUD_VENV, python, ["requirements/cloud.txt"])
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def environment_of(lock: str) -> Path:
    """The Python of `.venv-<lock>`, an environment that holds `requirements/<lock>.txt` and nothing else.

    Raises:
        SetupError: it cannot be made.
    """
    venv = ROOT / f".venv-{lock}"
    _environment(venv, _find_python(), [f"requirements/{lock}.txt"])
    return venv / "bin" / "python"


def _find_python() -> str:
    """A Python that TensorFlow has wheels for, with venv and ensurepip; never one inside an environment."""
    asked = os.environ.get("PYTHON")
    candidates = [asked] if asked else [sys.executable, *(f"python{v}" for v in PYTHONS)]
    answers = {candidate: _version_and_base(candidate) for candidate in candidates}
    for version, base in answers.values():
        if version in PYTHONS:
            return base
    found = ", ".join(f"{candidate}: {version}" for candidate, (version, _) in answers.items())
    raise SetupError(
        f"Python {' or '.join(PYTHONS)} with the modules venv and ensurepip is needed (found {found}). Install it "
        "(Debian: apt-get install python3.11-venv) or name it: PYTHON=/path/to/python3.11 make ..."
    )


def _version_and_base(python: str) -> tuple[str, str]:
    code = (
        "import os, sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2], os.path.realpath(sys._base_executable))"
    )
    try:
        answer = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "not there", ""
    version, _, base = answer.stdout.strip().partition(" ")
    return (version, base) if answer.returncode == 0 else ("not usable", "")


def _environment(venv: Path, python: str, locks: list[str]) -> None:
    """Bring one virtual environment up to date with its locks."""
    stamps = {lock: venv / f".{Path(lock).stem}.stamp" for lock in locks}
    wanted = {lock: _fingerprint(ROOT / lock, python) for lock in locks}
    if all(stamp.is_file() and stamp.read_text() == wanted[lock] for lock, stamp in stamps.items()):
        return
    base = venv / f".{Path(locks[0]).stem}.stamp"
    if not (base.is_file() and base.read_text() == wanted[locks[0]]):
        print(f"making {venv.name} from {locks[0]} (once; a few minutes on a slow network)", flush=True)
        shutil.rmtree(venv, ignore_errors=True)
        _run([python, "-m", "venv", *(["--without-pip"] if venv == CLOUD_VENV else []), str(venv)])
    _uv_install(venv, locks)
    for lock, stamp in stamps.items():
        stamp.write_text(wanted[lock])


def _fingerprint(lock: Path, python: str) -> str:
    return hashlib.sha256(lock.read_bytes() + python.encode()).hexdigest()


def _uv_install(venv: Path, locks: list[str]) -> None:
    uv = VENV / "bin" / "uv"
    if not uv.exists():
        _run(
            [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", _lock("tools")]
        )
    requirements = [word for lock in locks for word in ("-r", str(ROOT / lock))]
    command = [str(uv), "pip", "install", "--quiet", "--require-hashes", "--python", str(venv / "bin" / "python")]
    _run([*command, *requirements], extra_environment=uv_settings())


def _lock(name: str) -> str:
    return str(ROOT / "requirements" / f"{name}.txt")


def uv_settings(python: str = str(VENV / "bin" / "python")) -> dict[str, str]:
    """The configuration of that interpreter's pip in uv's words; what the user set for uv itself stays."""
    answer = subprocess.run([python, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    # With every hash pinned, it does not matter which index a file comes from; pip looks into all of them, too.
    settings = {"UV_COMPILE_BYTECODE": "1", "UV_INDEX_STRATEGY": "unsafe-best-match"}
    for line in sorted(answer.stdout.splitlines(), key=_precedence):
        name, _, value = line.partition("=")
        option = name.rpartition(".")[2]
        if option in UV_NAMES:
            settings[UV_NAMES[option]] = " ".join(str(ast.literal_eval(value)).split())
    return {name: value for name, value in settings.items() if name not in os.environ or name == "UV_COMPILE_BYTECODE"}


def _precedence(line: str) -> int:
    """The order of pip itself: the machine's file, the user's, the environment's file, variables; the last one wins."""
    return ["global", "user", "site", ":env:"].index(line.partition(".")[0])


def _run(command: list[str], extra_environment: dict[str, str] | None = None) -> None:
    environment = {**os.environ, **(extra_environment or {})}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # bytecode is the point
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        tail = "\n  ".join((result.stderr.strip() or result.stdout.strip()).splitlines()[-12:])
        raise SetupError(
            f"{Path(command[0]).name} {' '.join(command[1:4])} ... failed. If the package index cannot be reached, "
            f"name yours (pip config set global.index-url ...) and try again. It said:\n  {tail}"
        )


if __name__ == "__main__":
    sys.exit(main())
