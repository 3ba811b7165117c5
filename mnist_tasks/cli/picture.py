"""From a picture to an image as a classifier's data set has them.

MNIST's digits are bright on black, fitted into a box of 20 x 20 pixels with their proportions kept, and placed in
28 x 28 pixels so that their centre of mass is in the middle (Y. LeCun, C. Cortes, C. Burges, "The MNIST database of
handwritten digits"). In the data, that middle is row and column 14, counted from 0. So does `as_mnist`:

1. Colours become grey; what is transparent becomes white; a photograph is turned as its EXIF data say.
2. Is the border bright, the digit is dark ink on paper: the picture is inverted.
3. A picture of 28 x 28 pixels is taken for one of MNIST's kind already, and is left as it is from here on.
4. The border's shade becomes 0 and the brightest ink 255; what is fainter than a fifth of that is paper.
5. The digit is cut out, scaled so that its longer side has 20 pixels, and placed by its centre of mass.

That would distort anything else: pictures for other classifiers are taken whole, by `as_page`.
"""

from __future__ import annotations

from pathlib import Path
from tokenize import TokenError
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
_MEND = "give one digit or page, dark on bright paper or bright on black, as PNG, JPEG or NPY"
# What Pillow and NumPy raise on damaged files.
_DAMAGED = (OSError, ValueError, SyntaxError, TypeError, OverflowError, TokenError)

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
    except _DAMAGED as error:
        raise DataError(f"{path} cannot be read as a picture: {error}", mend=_MEND) from error


def _read_image(path: Path) -> Grey:
    from PIL import Image, ImageOps

    Image.MAX_IMAGE_PIXELS = None  # ours is checked before anything is unpacked
    with Image.open(path, formats=("PNG", "JPEG")) as image:
        _check_size(path, image.height, image.width)
        turned = ImageOps.exif_transpose(image)
    if turned.mode.startswith("I;16"):  # 16 bits of grey, which Pillow's own conversion cuts off at 255
        return np.asarray(np.asarray(turned) >> 8, np.uint8)
    upright = turned.convert("RGBA")
    paper = Image.new("RGBA", upright.size, "white")
    return np.asarray(Image.alpha_composite(paper, upright).convert("L"))


def _read_npy(path: Path) -> Grey:
    # Mapped and not read: a header can declare any size. Not `np.load`, which opens archives and pickles as well.
    array: npt.NDArray[Any] = np.lib.format.open_memmap(path, mode="r")  # type: ignore[no-untyped-call]
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
    if grey.shape == (SIDE, SIDE):
        return _bright(grey)
    ink = _ink(grey)
    ink[ink < 255 * _FAINT] = 0
    digit = _fitted(ink)
    if digit.max() < _LEAST_CONTRAST:
        raise DataError(
            f"the lines are too thin: at {BOX} x {BOX} pixels, {digit.max():.0f} of 255 is left of them",
            mend="use a thicker pen, or cut the digit out",
        )
    return _placed(digit)


def as_page(grey: Grey, shape: tuple[int, int]) -> Grey:
    """A whole picture as the images of a classifier of that `shape` (height, width), uint8; `grey` is of any size.

    Ink is bright on black, as in every data set: a bright border means that the picture has to be inverted. One of that
    shape is otherwise left as it is. Another one is scaled, with its proportions kept, and stands in the middle; the
    border's shade becomes 0 and the brightest ink 255.

    Raises:
        DataError: there is nothing to see.
    """
    from PIL import Image

    if grey.shape == shape:
        return _bright(grey)
    ink = Image.fromarray(np.rint(_ink(grey)).astype(np.uint8))
    scale = min(shape[0] / ink.height, shape[1] / ink.width)
    height, width = (max(1, round(side * scale)) for side in grey.shape)
    page = np.zeros(shape, np.uint8)
    top, left = (shape[0] - height) // 2, (shape[1] - width) // 2
    page[top : top + height, left : left + width] = np.asarray(ink.resize((width, height), Image.Resampling.BOX))
    return page


def _paper(grey: Grey) -> float:
    """The border's shade: bright where ink is dark."""
    return float(np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])))


def _bright(grey: Grey) -> Grey:
    """The same picture with bright ink."""
    return np.asarray(255 - grey, np.uint8) if _paper(grey) > 127 else grey


def _ink(grey: Grey) -> npt.NDArray[np.float64]:
    """How much ink there is: 0 on paper, 255 where it is strongest."""
    paper = _paper(grey)
    ink = np.clip((paper - grey) if paper > 127 else (grey - paper), 0, None).astype(np.float64)
    if ink.max() < _LEAST_CONTRAST:
        raise DataError(
            f"there is nothing to see: shades differ by {ink.max():.0f} of 255 from the border's {paper:.0f}",
            mend=_MEND,
        )
    ink *= 255 / ink.max()
    return ink


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
