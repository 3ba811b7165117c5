"""`mnist report RUN`: the HTML report as a file."""

from __future__ import annotations

import webbrowser
from pathlib import Path

from mnist_tasks.cli.place import Place
from mnist_tasks.errors import ConfigurationError, NotFoundError


def save(place: Place, slug: str, path: Path | None) -> Path:
    """Write the report of a run to `path`, or to `mnist-report-<run>.html` here; returns where it is.

    Raises:
        NotFoundError: the run has no report.
        ConfigurationError: the file cannot be written.
    """
    stored = place.storage.find(place.layout.run(slug, "report.html"))
    if stored is None:
        raise NotFoundError(
            f"run {slug} has no report", mend=f"the step `report` writes it: mnist show {slug} says how far the run is"
        )
    target = (path or Path(f"mnist-report-{slug}.html")).absolute()
    try:
        target.write_bytes(stored.body)
    except OSError as error:
        raise ConfigurationError(
            f"{target} cannot be written: {error.strerror}", mend="choose another --output"
        ) from error
    return target


def open_in_browser(path: Path) -> bool:
    """Whether a browser took it."""
    try:
        return webbrowser.open(path.as_uri())
    except webbrowser.Error:
        return False
