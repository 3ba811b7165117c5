"""From a picture of one digit to an image as MNIST has them.

MNIST's digits are bright on black, fitted into a box of 20 x 20 pixels with their proportions kept, and placed in
28 x 28 pixels so that their centre of mass is in the middle (Y. LeCun, C. Cortes, C. Burges, "The MNIST database of
handwritten digits"). In the data, that middle is row and column 14, counted from 0. So does `as_mnist`:

1. Colours become grey; what is transparent becomes white; a photograph is turned as its EXIF data say.
2. Is the border bright, the digit is dark ink on paper: the picture is inverted.
3. A picture of 28 x 28 pixels is taken for one of MNIST's kind already, and is left as it is from here on.
4. The border's shade becomes 0 and the brightest ink 255; what is fainter than a fifth of that is paper.
5. The digit is cut out, scaled so that its longer side has 20 pixels, and placed by its centre of mass.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mnist_tasks.errors import DataError, NotFoundError

SIDE, BOX, MIDDLE = 28, 20, 14
# Of test images enlarged five times, on grey paper with noise, a model reads 98% as it reads the originals; at 0.1 the
# noise would leave 69%, at 0.3 thin strokes suffer.
_FAINT = 0.2
# Paper under uneven light differs by less, pencil on paper by more.
_LEAST_CONTRAST = 40
# A photograph of 50 megapixels; more is a mistake or an attack.
_MOST_PIXELS = 50_000_000
_MEND = "give one digit, dark on bright paper or bright on black, as PNG, JPEG or NPY"

Grey = npt.NDArray[np.uint8]


def read_picture(path: Path) -> Grey:
    """The picture in a PNG, JPEG or NPY file as shades of grey, uint8 (height, width).

    Raises:
        NotFoundError: there is no such file.
        DataError: it is no such picture, or too large.
    """
    try:
        return _read_npy(path) if path.suffix.lower() == ".npy" else _read_image(path)
    except FileNotFoundError:
        raise NotFoundError(
            f"there is no file {path}", mend="check the path; a number alone names an image of the test set"
        ) from None
    except (OSError, ValueError, SyntaxError) as error:  # what Pillow and NumPy raise on damaged files
        raise DataError(f"{path} cannot be read as a picture: {error}", mend=_MEND) from error


def _read_image(path: Path) -> Grey:
    from PIL import Image, ImageOps

    with Image.open(path, formats=("PNG", "JPEG")) as image:
        _check_size(path, image.height, image.width)
        upright = ImageOps.exif_transpose(image).convert("RGBA")
    paper = Image.new("RGBA", upright.size, "white")
    return np.asarray(Image.alpha_composite(paper, upright).convert("L"))


def _read_npy(path: Path) -> Grey:
    # Mapped and not read: a header can declare any size.
    array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 2 or 0 in array.shape:
        raise DataError(f"{path} holds an array {array.shape}, expected (height, width)", mend="save one image alone")
    _check_size(path, *array.shape)
    if array.dtype == np.uint8:
        return np.array(array)
    if not np.issubdtype(array.dtype, np.floating) or not ((array >= 0) & (array <= 1)).all():
        raise DataError(
            f"{path} holds {array.dtype} values, expected uint8, or floats from 0 to 1", mend="convert them first"
        )
    return np.asarray(np.rint(np.asarray(array, np.float64) * 255), np.uint8)


def _check_size(path: Path, height: int, width: int) -> None:
    if height * width > _MOST_PIXELS:
        raise DataError(
            f"{path} has {height:,} x {width:,} pixels, expected at most {_MOST_PIXELS:,}", mend="cut the digit out"
        )


def as_mnist(grey: Grey) -> Grey:
    """One digit as MNIST has it, uint8 (28, 28); `grey` is uint8 (height, width) of any size.

    Raises:
        DataError: there is nothing to see.
    """
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    paper = float(np.median(border))
    inverted = paper > 127
    if grey.shape == (SIDE, SIDE):
        return np.asarray(255 - grey, np.uint8) if inverted else grey
    ink = np.clip((paper - grey) if inverted else (grey - paper), 0, None).astype(np.float64)
    if ink.max() < _LEAST_CONTRAST:
        raise DataError(
            f"there is no digit to see: shades differ by {ink.max():.0f} of 255 from the border's {paper:.0f}",
            mend=_MEND,
        )
    ink *= 255 / ink.max()
    ink[ink < 255 * _FAINT] = 0
    return _placed(_fitted(ink))


def _fitted(ink: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Cut out and scaled so that the longer side has 20 pixels."""
    from PIL import Image

    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = BOX / max(cut.shape)
    height, width = (max(1, round(side * scale)) for side in cut.shape)
    image = Image.fromarray(np.rint(cut).astype(np.uint8))
    resized = image.resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(resized, np.float64)


def _placed(digit: npt.NDArray[np.float64]) -> Grey:
    """In the middle by its centre of mass, as far as the frame lets it."""
    total = digit.sum()
    image = np.zeros((SIDE, SIDE), np.uint8)
    begin = []
    for axis in (0, 1):
        length = digit.shape[axis]
        centre = float((digit.sum(axis=1 - axis) * np.arange(length)).sum() / total)
        begin.append(min(max(round(MIDDLE - centre), 0), SIDE - length))
    top, left = begin
    image[top : top + digit.shape[0], left : left + digit.shape[1]] = np.rint(digit).astype(np.uint8)
    return image
