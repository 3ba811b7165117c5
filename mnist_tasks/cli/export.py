"""`mnist export`: a verified final's weights as a plain Keras file, for those whose keys may decrypt them."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from mnist_tasks import checkpoints
from mnist_tasks.checkpoints import Manifest
from mnist_tasks.cli.place import Place
from mnist_tasks.cli.terminal import styled
from mnist_tasks.errors import ConfigurationError
from mnist_tasks.layout import is_final
from mnist_tasks.promotion.finals import read_final


@dataclass(frozen=True)
class Exported:
    """What was written where."""

    final: Manifest
    path: Path

    def to_dict(self) -> dict[str, Any]:
        """For machines."""
        return {"final": self.final.name, "path": str(self.path), "sha256": self.final.weights.plaintext_sha256}


def export(place: Place, name: str, path: Path, *, force: bool) -> Exported:
    """Verify a final, decrypt its weights, write them whole or not at all.

    Raises:
        ConfigurationError: the name is no final's; the file is there already, or cannot be written; or the keys may not
            be used.
        NotFoundError: there is no such final.
        IntegrityError: it was changed, or no trusted key has signed its promotion.
    """
    if not is_final(name):
        raise ConfigurationError(
            f"{name!r} is no final", mend=f"name one: {place.layout.classifier.name}_model_..._final"
        )
    # Before anything is decrypted; `_write` looks again.
    if path.exists() and not force:
        raise _there(path)
    final = read_final(place.chain, name)
    weights = checkpoints.load_weights(place.storage, place.encryption, final)
    _write(path.absolute(), weights, force=force)
    return Exported(final, path.absolute())


def _write(path: Path, body: bytes, *, force: bool) -> None:
    """Readable by its owner alone: it is what the encryption keeps from others."""
    partial = None
    try:
        descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as file:
            file.write(body)
        if force:
            Path(partial).replace(path)
        else:
            os.link(partial, path)  # unlike a rename, it never takes the place of another file
    except FileExistsError:
        raise _there(path) from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}", mend="choose another --to") from error
    finally:
        if partial:
            Path(partial).unlink(missing_ok=True)


def _there(path: Path) -> ConfigurationError:
    return ConfigurationError(f"{path} is there already", mend="choose another --to, or add --force")


def view(exported: Exported) -> RenderableType:
    """For people."""
    sha256 = exported.final.weights.plaintext_sha256
    return styled(f"{exported.path}\n{exported.final.name}, verified; SHA-256 {sha256}; not encrypted any more", "")
