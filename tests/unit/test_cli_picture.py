"""Pictures become what the classifier's data set has, and what is no picture is refused."""

import io
import struct
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from examples.contracts.classifier import CONTRACTS
from mnist_tasks.cli import predict as prediction
from mnist_tasks.cli.picture import as_mnist, as_page, read_picture
from mnist_tasks.dataset import Dataset
from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.errors import DataError, NotFoundError
from mnist_tasks.inference import predict
from mnist_tasks.layout import Layout
from tests.candidates import train


def bar(height=200, width=120, *, ink=0, paper=255, box=(60, 140, 50, 60)):
    """A vertical bar: rows 60 to 140, columns 50 to 60."""
    picture = np.full((height, width), paper, np.uint8)
    top, bottom, left, right = box
    picture[top:bottom, left:right] = ink
    return picture


def centre_of_mass(image):
    total = image.sum(dtype=float)
    rows, columns = np.indices(image.shape)
    return (rows * image).sum() / total, (columns * image).sum() / total


@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (255, 0), (60, 200), (180, 20)])
def test_dark_on_bright_and_bright_on_dark_give_the_same_bright_digit_on_black(ink, paper):
    image = as_mnist(bar(ink=ink, paper=paper))

    assert np.array_equal(image, as_mnist(bar()))
    assert (image.dtype, image.shape) == (np.uint8, (28, 28))
    assert (image.max(), image[0, 0]) == (255, 0)


def test_the_longer_side_has_20_pixels_and_proportions_stay():
    rows, columns = np.nonzero(as_mnist(bar(box=(20, 180, 30, 70))))

    assert np.ptp(rows) + 1 == 20
    assert np.ptp(columns) + 1 == 5


@pytest.mark.parametrize("box", [(0, 80, 0, 10), (110, 190, 100, 110), (3, 9, 2, 110)])
def test_the_centre_of_mass_is_in_the_middle_wherever_the_digit_was(box):
    heavy_side = bar(box=box)
    heavy_side[box[0] : box[0] + 2, box[2] : box[2] + 2] = 128

    assert centre_of_mass(as_mnist(heavy_side)) == pytest.approx((14, 14), abs=0.5)


def test_an_image_of_mnists_own_size_is_left_as_it_is():
    image = np.random.default_rng(0).integers(0, 90, (28, 28)).astype(np.uint8)

    assert np.array_equal(as_mnist(image), image)
    assert np.array_equal(as_mnist(255 - image), image)


@pytest.mark.parametrize("picture", [np.full((50, 40), 255, np.uint8), np.full((50, 40), 7, np.uint8), bar(ink=230)])
def test_a_picture_without_a_digit_is_refused(picture):
    with pytest.raises(DataError, match="nothing to see"):
        as_mnist(picture)


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (3, 3)])
def test_no_shape_is_too_odd_to_be_placed(shape):
    picture = np.zeros(shape, np.uint8)
    picture[-1, -1] = 255

    assert as_mnist(picture).shape == (28, 28)


def ring(side, line):
    """A circle of that diameter, drawn with a line so wide."""
    rows, columns = np.indices((side + 20, side + 20)) - (side + 19) / 2
    return np.where(abs(np.hypot(rows, columns) - side / 2) < line / 2, 0, 255).astype(np.uint8)


def specks():
    picture = np.zeros((3000, 3000), np.uint8)
    picture[0, 0] = picture[-1, -1] = 255
    return picture


@pytest.mark.parametrize("picture", [ring(2400, 4), specks()])
def test_lines_of_which_nothing_would_be_left_are_refused(picture):
    with pytest.raises(DataError, match="lines are too thin"):
        as_mnist(picture)


def test_a_thicker_line_of_the_same_size_is_read():
    assert as_mnist(ring(2400, 60)).max() > 100


PAGE = (64, 48)


@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (255, 0), (60, 200), (180, 20)])
def test_a_page_is_scaled_whole_with_its_proportions_onto_black(ink, paper):
    page = as_page(bar(400, 400, ink=ink, paper=paper, box=(0, 200, 100, 300)), PAGE)

    rows, columns = np.nonzero(page)
    assert (page.dtype, page.shape) == (np.uint8, PAGE)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (8, 31, 12, 35)  # of 48 x 48 pixels in the middle
    assert set(page[rows, columns]) == {255}


def test_a_page_of_the_data_sets_own_size_is_only_inverted():
    image = np.random.default_rng(0).integers(0, 90, PAGE).astype(np.uint8)

    assert np.array_equal(as_page(image, PAGE), image)
    assert np.array_equal(as_page(255 - image, PAGE), image)


@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1), (3, 3)])
def test_no_shape_is_too_odd_for_a_page(shape):
    picture = np.zeros(shape, np.uint8)
    picture[-1:, -1:] = 255

    assert as_page(picture, PAGE).shape == PAGE


def test_what_mnist_has_done_to_its_digits_is_done_for_mnist_alone(tmp_path, monkeypatch):
    Image.fromarray(bar()).save(tmp_path / "sheet.png")
    monkeypatch.setattr(prediction, "champion", lambda _: None)
    monkeypatch.setattr(prediction, "_ask", lambda _place, _service, _source, picture: picture)

    def seen_by(classifier):
        return prediction.read(SimpleNamespace(layout=Layout(classifier)), str(tmp_path / "sheet.png"), None)

    assert np.array_equal(seen_by(MNIST), as_mnist(bar()))
    assert np.array_equal(seen_by(CONTRACTS), as_page(bar(), CONTRACTS.image_shape))


def test_a_page_without_ink_is_refused():
    with pytest.raises(DataError, match="nothing to see"):
        as_page(np.full((100, 80), 240, np.uint8), PAGE)


def on_paper(image, random):
    """A test image five times as large, in blue ink on grey paper with noise, at some place of a larger sheet."""
    side = 28 * 5
    digit = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC), float)
    sheet = np.zeros((side + random.integers(0, 200), side + random.integers(0, 200)))
    top, left = random.integers(0, sheet.shape[0] - side + 1), random.integers(0, sheet.shape[1] - side + 1)
    sheet[top : top + side, left : left + side] = digit
    return (230 - 0.75 * sheet + random.normal(0, 5, sheet.shape)).clip(0, 255).astype(np.uint8)


def test_a_model_reads_digits_on_paper_as_it_reads_the_originals(mnist: Dataset):
    random = np.random.default_rng(0)
    weights, originals = train(mnist, seed=1, steps=300), mnist.x_test[:300]

    again = np.stack([as_mnist(on_paper(image, random)) for image in originals])

    agree = predict(weights, again).argmax(axis=1) == predict(weights, originals).argmax(axis=1)
    assert agree.mean() > 0.95


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_colours_become_grey_and_what_is_transparent_is_paper(tmp_path, suffix):
    path = tmp_path / f"digit.{suffix}"
    mode, paper = ("RGBA", (0, 0, 0, 0)) if suffix == "png" else ("RGB", (255, 255, 255))
    image = Image.new(mode, (40, 30), paper)
    image.paste((0, 0, 200, 255)[: len(paper)], (10, 5, 14, 25))
    image.save(path)

    grey = read_picture(path)

    assert grey.shape == (30, 40)
    assert grey[0, 0] > 250
    assert grey[10, 12] < 60


def test_a_photograph_is_turned_as_its_camera_was_held(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by a quarter
    Image.fromarray(bar()).save(tmp_path / "photo.jpg", exif=exif)

    assert read_picture(tmp_path / "photo.jpg").shape == (120, 200)


def test_a_scan_with_16_bits_of_grey_is_the_same_picture_as_with_8(tmp_path):
    shades = np.linspace(0, 255, 30 * 40).astype(np.uint8).reshape(30, 40)
    Image.fromarray(shades).save(tmp_path / "8.png")
    Image.fromarray(shades * np.uint16(257)).save(tmp_path / "16.png")

    assert np.array_equal(read_picture(tmp_path / "16.png"), read_picture(tmp_path / "8.png"))


@pytest.mark.parametrize(
    "array", [bar(), np.asfortranarray(bar()), bar()[None], bar() / 255, (bar() / 255).astype(np.float32)]
)
def test_arrays_of_bytes_and_of_floats_up_to_1_are_the_same_picture(tmp_path, array):
    np.save(tmp_path / "digit.npy", array)

    assert np.array_equal(read_picture(tmp_path / "digit.npy"), bar())


BAD_ARRAYS = {
    "colours": np.zeros((4, 4, 3), np.uint8),
    "no pixel": np.zeros((0, 4), np.uint8),
    "integers": np.zeros((4, 4), np.int64),
    "too bright": np.full((4, 4), 1.5),
    "NaN": np.full((4, 4), np.nan),
    "words": np.full((4, 4), "one"),
}


@pytest.mark.parametrize("array", BAD_ARRAYS.values(), ids=BAD_ARRAYS.keys())
def test_an_array_that_is_no_picture_is_refused_by_name(tmp_path, array):
    np.save(tmp_path / "digit.npy", array)

    with pytest.raises(DataError, match=r"digit\.npy"):
        read_picture(tmp_path / "digit.npy")


def test_a_pickle_in_an_array_is_not_opened(tmp_path):
    np.save(tmp_path / "digit.npy", np.array([[object()]]), allow_pickle=True)

    with pytest.raises(DataError, match=r"digit\.npy cannot be read as a picture"):
        read_picture(tmp_path / "digit.npy")


def test_a_header_that_declares_more_than_there_is_costs_no_memory(tmp_path):
    path = tmp_path / "digit.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": (1 << 20, 1 << 20)}
        )

    with pytest.raises(DataError, match="cannot be read"):
        read_picture(path)


def archive():
    body = io.BytesIO()
    np.savez(body, bar())
    return body.getvalue()


def header(text):
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + bytes(100)


def declared(height, width):
    """A PNG of which there is no more than what it says of itself."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    head = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + head + struct.pack(">I", 9) + b"IDAT"


SHAPE = "{'descr': '|u1', 'fortran_order': False, 'shape': (%s, 2)}\n"
BAD_FILES = {
    "empty": ("digit.npy", b"", "cannot be read as a picture"),
    "renamed archive": ("digit.npy", archive(), "cannot be read as a picture"),
    "damaged archive": ("digit.npy", b"PK\x03\x04 and no more", "cannot be read as a picture"),
    "shape of no number": ("digit.npy", header(SHAPE % "True"), "cannot be read as a picture"),
    "shape beyond numbers": ("digit.npy", header(SHAPE % ("9" * 30)), "cannot be read as a picture"),
    "header that does not end": ("digit.npy", header("(((("), "cannot be read as a picture"),
    "400 megapixels": ("digit.png", declared(20_000, 20_000), "has 20,000 x 20,000 pixels"),
}


@pytest.mark.parametrize(("name", "body", "problem"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_damaged_or_enormous_file_is_refused_by_name(tmp_path, name, body, problem):
    (tmp_path / name).write_bytes(body)

    with pytest.raises(DataError, match=f"{name} {problem}"):
        read_picture(tmp_path / name)


def test_a_picture_with_too_many_pixels_is_refused_before_it_is_unpacked(tmp_path):
    Image.new("1", (8000, 8000)).save(tmp_path / "large.png")

    with pytest.raises(DataError, match="8,000 x 8,000 pixels"):
        read_picture(tmp_path / "large.png")


@pytest.mark.parametrize("name", ["digit.png", "digit.npy", "digit.gif"])
def test_what_is_no_picture_is_refused_and_what_is_not_there_is_missed(tmp_path, name):
    with pytest.raises(NotFoundError, match=name):
        read_picture(tmp_path / name)
    (tmp_path / name).write_bytes(b"GIF89a, or not")

    with pytest.raises(DataError, match=f"{name} cannot be read as a picture"):
        read_picture(tmp_path / name)
