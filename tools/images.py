"""`make images`: the four images, through the package index that pip is set up for on this machine.

What pip knows reaches the builds as secrets, not as arguments: an index's address may hold a password. Settings that
name this machine's own files mean nothing in there and stay outside; the certificates, which are a file, go along.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tools.environment import ROOT, uv_settings

TARGETS = {
    "mnist-trainer:local": ("trainer.Dockerfile", "trainer"),
    "mnist-promoter:local": ("trainer.Dockerfile", "promoter"),
    "mnist-airflow:local": ("airflow.Dockerfile", "airflow"),
    "mnist-localcloud:local": ("localcloud.Dockerfile", "localcloud"),
}


def main(wanted: Sequence[str]) -> int:
    """Build what is named, by default all; 1 when a build fails."""
    with index_secrets() as secrets:
        return int(any(build(image, secrets).returncode for image in wanted or TARGETS))


def build(image: str, options: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    """One `docker build`; `options` are its own."""
    file, target = TARGETS[image]
    print(f"building {image}", flush=True)
    command = ["docker", "build", "--quiet", "--file", str(ROOT / "docker" / file), "--target", target, "--tag", image]
    if base := os.environ.get("MNIST_BASE_IMAGE"):
        command += ["--build-arg", f"BASE={base}"]
    return subprocess.run([*command, *options, str(ROOT)], check=False)


def index_file(settings: Mapping[str, str]) -> str:
    """The lines of the secret `index`: the same index for uv and for the pip that installs it."""
    names = {
        "UV_DEFAULT_INDEX": "PIP_INDEX_URL",
        "UV_INDEX": "PIP_EXTRA_INDEX_URL",
        "UV_INSECURE_HOST": "PIP_TRUSTED_HOST",
    }
    lines = []
    for name in [*names, "ALL_PROXY"]:
        value = " ".join(word for word in settings.get(name, "").split() if not word.startswith(("/", "file:")))
        if value:
            lines += [f"export {each}={shlex.quote(value)}" for each in (name, names.get(name)) if each]
    return "\n".join([*lines, "export UV_INDEX_STRATEGY=unsafe-best-match", ""])


@contextmanager
def index_secrets() -> Iterator[list[str]]:
    """The options by which a build reaches the package index."""
    with tempfile.TemporaryDirectory() as folder:
        yield _secrets(Path(folder), {**os.environ, **uv_settings(sys.executable)})


def _secrets(folder: Path, settings: Mapping[str, str]) -> list[str]:
    index = folder / "index"
    index.write_text(index_file(settings))
    options = ["--secret", f"id=index,src={index}"]
    certificates = settings.get("SSL_CERT_FILE", "")
    if certificates and Path(certificates).is_file():
        options += ["--secret", f"id=ca,src={certificates}"]
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
