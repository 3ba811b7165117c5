"""Pages of contract documents, drawn: every page is synthetic, and no person, firm or address on it exists.

Each kind of document is a template of blocks: a title, paragraphs, a table, lines to sign on. What varies from page to
page is what varies between offices and scanners: words and their number, typeface and size, margins, where the title
stands and whether there is one, letterheads, stamps, skew, contrast, noise. One seed gives the same bytes with the same
Pillow, whose version `requirements.txt` fixes.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from mnist_tasks.dataset import Dataset, write_npz

SIZE = (64, 48)  # height and width of a page in the data set
TRAINING, TEST = 5000, 1500
_SEED = 20261124
_SCALE = 2  # pages are drawn larger and then made smaller, as a scanner does
_WIDTH, _HEIGHT = SIZE[1] * _SCALE, SIZE[0] * _SCALE
_FACES = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral", "STIXGeneralBol")
_STAMPS = ("COPY", "DRAFT", "RECEIVED", "SIGNED", "ARCHIVE")
_TEXT = (
    "party shall agreement notice term terms written consent any such other obligations hereof law court delivery date "
    "payment days within receipt goods services premises tenant landlord recipient disclosed information value order "
    "liability section schedule annex effective provided however therefore subject to the of and or in by with for"
)
_WORDS = _TEXT.split()

Template = Callable[["_Page"], None]


@cache
def _font(face: str, size: int) -> ImageFont.FreeTypeFont:
    """One of matplotlib's typefaces: they come with a locked dependency, and are the same on every machine.

    So has the layout to be: Pillow's other engine sets letters elsewhere, and is the default where libfribidi is.
    """
    from matplotlib import get_data_path

    file = Path(get_data_path()) / "fonts" / "ttf" / f"{face}.ttf"
    return ImageFont.truetype(str(file), size, layout_engine=ImageFont.Layout.BASIC)


class _Page:
    """A sheet that is written on from top to bottom; ink is bright, as in MNIST."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.face = chance.choice(_FACES)
        self.size = chance.choice((5, 6, 7))
        self.left, self.right = chance.randint(5, 12), _WIDTH - chance.randint(5, 12)
        self.y = chance.randint(4, 14)
        self.image = Image.new("L", (_WIDTH, _HEIGHT))
        self.draw = ImageDraw.Draw(self.image)

    def words(self, most: int) -> str:
        return " ".join(self.chance.choices(_WORDS, k=self.chance.randint(max(1, most // 2), most)))

    def write(self, text: str, *, x: int | None = None, larger: int = 0, anchor: str = "la") -> None:
        font = _font(self.face, self.size + larger)
        self.draw.text((self.left if x is None else x, self.y), text, 255, font, anchor)
        self.y += self.size + larger + 1

    def gap(self) -> None:
        self.y += self.chance.randint(2, 6)

    def title(self, *texts: str, centred: float) -> None:
        """One of the texts, in the middle with that probability, else at the left; some offices write none."""
        if self.chance.random() < 0.12:
            return
        middle = self.chance.random() < centred
        x = (self.left + self.right) // 2 if middle else self.left
        self.write(self.chance.choice(texts), x=x, larger=self.chance.randint(1, 4), anchor="ma" if middle else "la")
        self.gap()

    def paragraph(self, lines: int, *, number: int = 0) -> None:
        """Lines of about the same length; `number` stands before the first one."""
        indent = self.left + (8 if number else 0)
        if number:
            self.draw.text((self.left, self.y), f"{number}.", 255, _font(self.face, self.size))
        for line in range(lines):
            self.write(self.words(9 if line < lines - 1 else 5)[: (self.right - indent) // 3], x=indent)

    def table(self, rows: int, columns: tuple[float, ...], *, frame: bool) -> None:
        """Rows of a description and numbers; `columns` are the places of the numbers, as shares of the width."""
        top, pitch = self.y, self.size + 3
        for _ in range(rows):
            self.draw.text((self.left + 1, self.y), self.words(2)[:11], 255, _font(self.face, self.size))
            for place in columns:
                x = self.left + int(place * (self.right - self.left))
                amount = f"{self.chance.randint(1, 9999)}"
                self.draw.text((x, self.y), amount, 255, _font(self.face, self.size), "ra")
            self.y += pitch
        if frame:
            for row in range(rows + 1):
                y = top - 1 + row * pitch
                self.draw.line((self.left, y, self.right, y), 150)
        self.gap()

    def signatures(self, number: int) -> None:
        """Lines to sign on at the foot of the page, signed as often as not."""
        y = _HEIGHT - self.chance.randint(8, 16)
        width = (self.right - self.left) // 2 - 4
        for place in range(number):
            x = self.left + place * (width + 8)
            self.draw.line((x, y, x + width, y), 220)
            if self.chance.random() < 0.5:
                points = [(x + 3 * step, y - self.chance.randint(0, 8)) for step in range(width // 4)]
                self.draw.line(points, 255)

    def columns(self, left: str, right: str) -> None:
        """Two addresses beside each other."""
        middle, top = (self.left + self.right) // 2, self.y
        for x, head in ((self.left, left), (middle, right)):
            self.y = top
            for line in (head, self.words(2), self.words(2)):
                self.write(line[:13], x=x)
        self.gap()


def _agreement(page: _Page) -> None:
    page.title("NON-DISCLOSURE", "CONFIDENTIALITY", "NDA", centred=0.8)
    page.paragraph(page.chance.randint(2, 3))
    page.gap()
    for number in range(1, page.chance.randint(4, 6)):
        page.paragraph(page.chance.randint(2, 3), number=number)
    page.signatures(2)


def _invoice(page: _Page) -> None:
    page.write(page.words(2), larger=page.chance.randint(0, 2))
    page.title("INVOICE", "BILL", "TAX INVOICE", centred=0.2)
    page.paragraph(page.chance.randint(2, 3))
    page.gap()
    page.table(page.chance.randint(3, 6), (0.98,), frame=page.chance.random() < 0.5)
    for label in ("Net", "Tax", "TOTAL")[page.chance.randint(0, 2) :]:
        page.write(f"{label}  {page.chance.randint(100, 99999)}", x=page.right, anchor="ra")
    page.gap()
    page.paragraph(1)


def _lease(page: _Page) -> None:
    page.title("LEASE", "LEASE AGREEMENT", "TENANCY", centred=0.6)
    for label in ("Landlord:", "Tenant:", "Premises:", "Rent:")[: page.chance.randint(3, 4)]:
        page.write(f"{label} {page.words(3)}")
    page.gap()
    for _ in range(page.chance.randint(3, 4)):
        page.write(page.words(2).upper(), larger=1)
        page.paragraph(page.chance.randint(2, 3))
    page.signatures(page.chance.randint(1, 2))


def _order(page: _Page) -> None:
    page.title("PURCHASE ORDER", "ORDER", "P.O.", centred=0.3)
    page.write(f"No. {page.chance.randint(1000, 99999)}")
    page.columns("Ship to", "Bill to")
    page.table(page.chance.randint(4, 7), (0.6, 0.8, 0.98), frame=page.chance.random() < 0.7)
    page.paragraph(page.chance.randint(1, 2))
    page.signatures(1)


KINDS: dict[str, Template] = {"NDA": _agreement, "invoice": _invoice, "lease": _lease, "order": _order}


def page(kind: str, seed: int) -> npt.NDArray[np.uint8]:
    """One page of that kind, (height, width), ink bright on black."""
    chance = random.Random(f"{_SEED} {kind} {seed}")  # noqa: S311 - nothing is to be kept secret
    drawn = _Page(chance)
    KINDS[kind](drawn)
    image = _stamped(drawn.image, chance) if chance.random() < 0.25 else drawn.image
    return _scanned(image, chance)


def _stamped(image: Image.Image, chance: random.Random) -> Image.Image:
    stamp = Image.new("L", image.size)
    place = (chance.randint(10, _WIDTH - 50), chance.randint(20, _HEIGHT - 30))
    draw, font = ImageDraw.Draw(stamp), _font("DejaVuSans-Bold", chance.randint(9, 13))
    text = chance.choice(_STAMPS)
    draw.text(place, text, 200, font)
    draw.rectangle(draw.textbbox((place[0] - 2, place[1] - 2), text, font), outline=180)
    turned = stamp.rotate(chance.uniform(-25, 25), Image.Resampling.BILINEAR)
    return Image.fromarray(np.maximum(np.asarray(image), np.asarray(turned)))


def _scanned(image: Image.Image, chance: random.Random) -> npt.NDArray[np.uint8]:
    """Skewed, made smaller, faded, with the noise of paper and scanner."""
    shift = (chance.randint(-3, 3), chance.randint(-3, 3))
    turned = image.rotate(chance.gauss(0, 1.5), Image.Resampling.BILINEAR, translate=shift)
    small = np.asarray(turned.resize((SIZE[1], SIZE[0]), Image.Resampling.BOX), np.int32)
    noise = np.frombuffer(chance.randbytes(small.size), np.uint8).reshape(small.shape).astype(np.int32)
    contrast, grain = chance.randint(90, 150), chance.randint(4, 24)
    pixels: npt.NDArray[np.uint8] = (small * contrast // 100 + noise * grain // 256).clip(0, 255).astype(np.uint8)
    return pixels


def data_set(training: int = TRAINING, test: int = TEST) -> bytes:
    """The npz file: as many pages of each kind, in an order of chance."""
    kinds = list(KINDS)
    labels = (np.arange(training + test) % len(kinds)).astype(np.uint8)
    np.random.RandomState(_SEED).shuffle(labels)
    images = np.stack([page(kinds[label], seed) for seed, label in enumerate(labels)])
    return write_npz(Dataset(images[:training], labels[:training], images[training:], labels[training:]))
