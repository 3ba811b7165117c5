"""Pictures of digits become what MNIST has, and what is no picture of one is refused."""

import numpy as np
import pytest
from PIL import Image

from mnist_tasks.cli.picture import as_mnist, read_picture
from mnist_tasks.dataset import Dataset
from mnist_tasks.errors import DataError, NotFoundError
from mnist_tasks.inference import predict
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
    with pytest.raises(DataError, match="no digit to see"):
        as_mnist(picture)


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (3, 3)])
def test_no_shape_is_too_odd_to_be_placed(shape):
    picture = np.zeros(shape, np.uint8)
    picture[-1, -1] = 255

    assert as_mnist(picture).shape == (28, 28)


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


@pytest.mark.parametrize("array", [bar(), bar()[None], bar() / 255, (bar() / 255).astype(np.float32)])
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
