"""The pages that the contracts example draws."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import ImageFont

from examples.contracts import pages
from examples.contracts.classifier import CONTRACTS, PAGES
from examples.contracts.pages import KINDS, SIZE, TEST, TRAINING, data_set, page
from mnist_tasks.dataset import read_npz
from mnist_tasks.definitions import named
from mnist_tasks.storage import sha256_of

SMALL = CONTRACTS.model_copy(update={"training_images": 40, "test_images": 20})


def test_the_definition_says_what_is_drawn():
    assert named("contracts") is CONTRACTS
    assert CONTRACTS.classes == tuple(KINDS)
    assert CONTRACTS.image_shape == SIZE
    assert (CONTRACTS.training_images, CONTRACTS.test_images) == (TRAINING, TEST)
    assert CONTRACTS.files == (PAGES,)
    assert any("drawn by a program" in limit for limit in CONTRACTS.limits_of_use)


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_follows_from_its_kind_and_seed_alone(kind):
    assert np.array_equal(page(kind, 3), page(kind, 3))
    assert not np.array_equal(page(kind, 3), page(kind, 4))


@pytest.mark.parametrize("kind", KINDS)
def test_pages_are_bright_ink_on_black_and_no_two_are_equal(kind):
    drawn = [page(kind, seed) for seed in range(40)]

    assert {image.shape for image in drawn} == {SIZE}
    assert all(image.max() > 40 and image.mean() < 128 for image in drawn)
    assert len({image.tobytes() for image in drawn}) == len(drawn)


def test_the_file_is_the_same_at_every_drawing_and_its_kinds_are_balanced():
    body = data_set(40, 20)
    drawn = read_npz(body, SMALL.shapes)

    assert data_set(40, 20) == body
    assert np.bincount(np.concatenate([drawn.y_train, drawn.y_test])).tolist() == [15] * 4


def test_the_file_is_the_same_on_every_host_whatever_libraries_it_has():
    """Where libfribidi is, Pillow would lay text out with Raqm, which gives other pages."""
    assert pages._font("DejaVuSans", 6).layout_engine == ImageFont.Layout.BASIC
    assert sha256_of(data_set(40, 20)) == "fbd3391a52d16672fd0a9f04a3417bbbbe672474319487568d989414ae1299c8"
