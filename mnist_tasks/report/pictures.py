"""From plots and arrays to what HTML and mail can carry: SVG whose colours follow the page, and PNG."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mnist_tasks.report.plots import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def to_svg(figure: Figure, name: str) -> str:
    """The plot as an `<svg>` element for the page: same figure, same text; no size, no colour, no id of its own.

    Args:
        figure: The plot, coloured with `COLOURS` only.
        name: Unique on the page; ids begin with it, because all plots of a page share one set of ids.
    """
    import matplotlib as mpl

    buffer = io.StringIO()
    # Without the salt and the date, the same data would give other bytes at every try.
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    svg = text[text.index("<svg") :]
    svg = re.sub(r'(<svg)[^>]*?(viewBox="[^"]*")[^>]*>', r"\1 \2>", svg, count=1)
    # matplotlib's own style rule would apply to the whole page; its metadata and fonts are not the page's.
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"'DejaVu Sans'[^;\"]*", "sans-serif", svg)
    svg = re.sub(r'( id="|url\(#|xlink:href="#)', rf"\g<1>{name}-", svg).replace("xlink:href", "href")
    for variable, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{variable})")
    return svg


def digits_png(images: npt.NDArray[np.uint8]) -> bytes:
    """Images (n, height, width) below each other as one grey PNG, pixel for pixel, dark ink on white as in plots."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(255 - images.reshape(-1, images.shape[2])).save(buffer, format="png", optimize=True)
    return buffer.getvalue()


def to_png(figure: Figure) -> bytes:
    """The plot as PNG on white: two pixels a point for sharp letters, 64 colours for a quarter of the bytes."""
    from PIL import Image

    full, small = io.BytesIO(), io.BytesIO()
    figure.savefig(full, format="png", dpi=144, facecolor="white")
    Image.open(full).convert("RGB").quantize(64).save(small, format="png", optimize=True)
    return small.getvalue()
