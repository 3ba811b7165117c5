"""The plots: drawn for every shape of run, themed by the page, small in the mail, the same at every try."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.metrics import Mistake
from mnist_tasks.report import ReportData, draw, plots
from mnist_tasks.report.pictures import to_png, to_svg
from tests.decided_run import FIRST, KEPT, REJECTED, RELEASED, decided_run, images

SHAPES = {
    "released": RELEASED,
    "one candidate": FIRST,
    "rejected": REJECTED,
    "one epoch": decided_run(epochs=1),
    "one epoch of one candidate": decided_run(epochs=1, candidates=1),
    "many": decided_run(epochs=100, candidates=16),
    "no mistakes": decided_run(wrong=[]),
    "one mistake": decided_run(wrong=[7]),
}


def drawn(data: ReportData) -> dict[str, str]:
    return {name: to_svg(figure, name) for name, figure in draw(data, images()).items()}


@pytest.mark.parametrize("data", SHAPES.values(), ids=SHAPES)
def test_every_shape_of_run_gives_well_formed_plots_without_a_colour_of_their_own(data: ReportData) -> None:
    for name, svg in drawn(data).items():
        ElementTree.fromstring(svg)
        without_pictures = re.sub(r'href="data:[^"]*"', "", svg)
        assert not re.search(r"(fill|stroke): (#|rgb|black)", without_pictures), name
        assert "<style" not in svg
        assert "nan" not in without_pictures.lower()


def test_each_colour_of_the_mail_is_one_variable_of_the_page() -> None:
    assert len(set(plots.COLOURS.values())) == len(plots.COLOURS)
    assert "var(--accent)" in drawn(KEPT)["accuracy"]
    assert "var(--heat)" in drawn(KEPT)["confusion"]


def test_the_plots_of_a_page_share_no_id_and_refer_to_their_own() -> None:
    everything = "".join(drawn(KEPT).values())
    ids = re.findall(r' id="([^"]+)"', everything)

    assert [name for name, count in Counter(ids).items() if count > 1] == []
    assert set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', everything)) <= {
        pair for name in ids for pair in ((name, ""), ("", name))
    }


def test_words_and_numbers_stay_text() -> None:
    svg = drawn(KEPT)

    for word in ("validation", "training", "others", "epoch"):
        assert f">{word}<" in svg["accuracy"]
    assert ">98.41%<" in svg["accuracy"]
    assert ">floor 93%<" in re.sub(r"> +floor", ">floor", svg["recall"])
    assert "0 read as 1<" in svg["mistakes"]


def test_a_single_candidate_has_no_others() -> None:
    assert "others" not in drawn(FIRST)["accuracy"]


def test_a_digit_below_the_floor_is_drawn_in_the_colour_of_trouble() -> None:
    low = decided_run(wrong=range(0, 600, 10))

    assert drawn(low)["recall"].count("var(--bad)") > drawn(KEPT)["recall"].count("var(--bad)")


def test_the_same_run_gives_the_same_bytes_at_every_try() -> None:
    assert drawn(KEPT) == drawn(KEPT)
    first, second = (draw(KEPT, images())["loss"] for _ in range(2))
    assert to_png(first) == to_png(second)


def test_pictures_for_the_mail_are_sharp_and_small() -> None:
    sizes = []
    for figure in draw(KEPT, images()).values():
        png = to_png(figure)
        picture = Image.open(io.BytesIO(png))
        assert (picture.format, picture.width) == ("PNG", 720)
        assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
        sizes.append(len(png))
    assert sum(sizes) < 120_000


def test_no_softmax_is_called_wholly_sure() -> None:
    mistake = Mistake(index=0, label=4, predicted=9, confidence=1.0)

    svg = to_svg(plots.worst_mistakes([mistake], MNIST.classes, np.zeros((1, 28, 28), np.uint8)), "mistakes")

    assert "99.9% sure" in svg


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=5), st.floats(0.01, 10))
def test_labels_are_moved_apart_in_their_order_around_the_same_middle(places: list[float], gap: float) -> None:
    moved = plots._apart(sorted(places), gap)

    assert all(high - low >= gap * 0.999 for low, high in pairwise(moved))
    assert sum(moved) == pytest.approx(sum(places), abs=1e-6)


def test_importing_the_report_costs_neither_matplotlib_nor_jinja2() -> None:
    code = "import sys, mnist_tasks.report; print({'matplotlib', 'jinja2', 'PIL', 'h5py'} & set(sys.modules))"

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "set()"
