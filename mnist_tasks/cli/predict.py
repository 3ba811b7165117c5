"""`mnist predict`: one image, read by the model in service, every step to its weights verified."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mnist_tasks import checkpoints, dataset
from mnist_tasks.checkpoints import Manifest
from mnist_tasks.classifier import Classifier
from mnist_tasks.cli.picture import Grey, as_mnist, as_page, read_picture
from mnist_tasks.cli.place import Place
from mnist_tasks.cli.service import champion
from mnist_tasks.cli.terminal import percent, styled
from mnist_tasks.errors import ConfigurationError
from mnist_tasks.inference import predict, read_weights
from mnist_tasks.promotion.in_service import InService


@dataclass(frozen=True, eq=False)
class Reading:
    """What the champion says about an image. `label` is what it is, where that is known; `classes` are their names."""

    service: InService
    source: str
    image: Grey
    probabilities: tuple[float, ...]
    classes: tuple[str, ...]
    label: int | None = None

    @property
    def answer(self) -> int:
        """The most likely one, the first of equals."""
        return self.probabilities.index(max(self.probabilities))

    def to_dict(self) -> dict[str, Any]:
        """For machines; `image` as it was given to the model."""
        return {
            "source": self.source,
            "digit": self.answer,
            "class": self.classes[self.answer],
            "label": self.label,
            "probabilities": list(self.probabilities),
            "image": self.image.tolist(),
            "champion": self.service.champion.name,
            "decision": self.service.decision.sequence,
            "weights_sha256": self.service.final.weights.plaintext_sha256,
        }


def read(place: Place, image: str | None, index: int | None) -> Reading:
    """Let the champion read a file, or an image of the test set.

    Raises:
        ConfigurationError: neither or both are named, or there is no image of that number.
        NotFoundError: no file, or no champion.
        DataError: the file is no picture that the classifier can read.
        IntegrityError: champion, decision, manifest and weights do not agree.
    """
    if (image is None) == (index is None):
        raise ConfigurationError("predict reads one image", mend="name a file, or an image of the test set by number")
    if image is not None and image.isdecimal() and not Path(image).exists():
        return read(place, None, int(image))
    if image is not None:
        # The picture first: where it is no good, there is no need to ask S3.
        picture = _fitted(place.layout.classifier, read_picture(Path(image)))
        return _ask(place, champion(place), image, picture)
    service = champion(place)
    picture, label = _test_image(place, service.final, index or 0)
    return _ask(place, service, f"test image {index}", picture, label)


def _fitted(classifier: Classifier, grey: Grey) -> Grey:
    """The picture as the model gets it: what MNIST has done to its digits would distort anything else."""
    if classifier.name == "mnist":
        return as_mnist(grey)
    return as_page(grey, classifier.image_shape)


def _ask(place: Place, service: InService, source: str, picture: Grey, label: int | None = None) -> Reading:
    stored = checkpoints.load_weights(place.storage, place.encryption, service.final)
    weights = read_weights(stored, place.layout.classifier)
    (probabilities,) = predict(weights, picture[None]).tolist()
    return Reading(service, source, picture, tuple(probabilities), place.layout.classifier.classes, label)


def _test_image(place: Place, final: Manifest, index: int) -> tuple[Grey, int]:
    data = dataset.load(place.storage, place.layout, final.job.dataset_sha256)
    if not 0 <= index < len(data.x_test):
        raise ConfigurationError(
            f"there is no test image {index}", mend=f"take a number from 0 to {len(data.x_test) - 1:,}"
        )
    return data.x_test[index], int(data.y_test[index])


def view(reading: Reading) -> RenderableType:
    """The image as the model sees it, and its probabilities as bars."""
    names = reading.classes
    sure = f"{reading.source}: {names[reading.answer]}, with a probability of {percent(max(reading.probabilities))}"
    label = reading.label
    known = "" if label is None else " (right)" if label == reading.answer else f" (wrong: it is a {names[label]})"
    service = reading.service
    return Group(
        styled(sure + known, "bold"),
        "",
        _side_by_side(_Shades(reading.image), _bars(reading), width=reading.image.shape[1]),
        styled(f"\nread by {service.champion.name}, put into service by decision {service.decision.sequence}", "dim"),
        styled(f"weights verified: SHA-256 {service.final.weights.plaintext_sha256}", "dim"),
    )


def _side_by_side(left: RenderableType, right: RenderableType, *, width: int) -> Table:
    grid = Table.grid(padding=(0, 3, 0, 0))
    grid.add_column(width=width)
    grid.add_column()
    grid.add_row(left, right)
    return grid


def _bars(reading: Reading) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    for label, (name, probability) in enumerate(zip(reading.classes, reading.probabilities, strict=True)):
        style = "bold green" if label == reading.answer else ""
        bar = ProgressBar(total=1.0, completed=probability, width=30, complete_style=style or "cyan")
        table.add_row(Text(name, style), bar, Text(f"{probability:7.2%}", style))
    return table


@dataclass(frozen=True, eq=False)
class _Shades:
    """An image as characters, one for two pixels above each other: a character is about twice as high as wide."""

    image: Grey

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        shades = " .:*#" if options.ascii_only else " ░▒▓█"
        height, width = self.image.shape
        rows = self.image[: height // 2 * 2].reshape(-1, 2, width).mean(axis=1)
        lines = ("".join(shades[min(4, int(value * 5 / 256))] for value in row) for row in rows)
        yield Text("\n".join(lines), no_wrap=True)
