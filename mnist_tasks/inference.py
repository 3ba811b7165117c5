"""The model as a NumPy forward pass, so that a candidate's figures are recomputed where no TensorFlow is.

Weights are read from a Keras `.weights.h5` file without Keras: four arrays of fixed place, shape and type. Nothing in
the file is executed, and nothing outside it is read.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mnist_tasks.classifier import Classifier
from mnist_tasks.errors import DataError, IntegrityError

# Where Keras 3 puts the variables of the first and the second Dense layer of a Sequential model.
_PLACES = {
    "hidden_kernel": "layers/dense/vars/0",
    "hidden_bias": "layers/dense/vars/1",
    "output_kernel": "layers/dense_1/vars/0",
    "output_bias": "layers/dense_1/vars/1",
}
# Of MNIST's images 3 MB of pixels as float32 at a time, whatever their number.
_BATCH = 1000
_MEND = "keep weights that Keras' `save_weights` wrote for the model in mnist_tasks.training.model"


@dataclass(frozen=True, eq=False)
class Weights:
    """The four trained arrays, float32; MNIST's are kernels (784, 128) and (128, 10), biases (128,) and (10,)."""

    hidden_kernel: npt.NDArray[np.float32]
    hidden_bias: npt.NDArray[np.float32]
    output_kernel: npt.NDArray[np.float32]
    output_bias: npt.NDArray[np.float32]

    @property
    def parameters(self) -> int:
        """How many trained values there are; 101,770 for MNIST."""
        return self.hidden_kernel.size + self.hidden_bias.size + self.output_kernel.size + self.output_bias.size


def read_weights(data: bytes, classifier: Classifier) -> Weights:
    """Read a Keras `.weights.h5` file of the classifier's model.

    Raises:
        IntegrityError: it is no HDF5 file, an array is missing, of another shape or type, or not finite, or the file
            wants to have something read from elsewhere.
    """
    import h5py

    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            shapes = classifier.weight_shapes
            arrays = {name: _read_array(file, path, shapes[name]) for name, path in _PLACES.items()}
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:  # what h5py raises on damaged files
        raise IntegrityError(
            f"the weights are no readable HDF5 file ({len(data):,} bytes): {error}", mend=_MEND
        ) from error
    return Weights(**arrays)


def _read_array(file: Any, path: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    dataset = _own_dataset(file, path)
    if dataset.shape != shape or dataset.dtype != np.dtype("<f4"):
        raise IntegrityError(
            f"{path} in the weights is {dataset.dtype}{dataset.shape}, expected float32{shape}", mend=_MEND
        )
    array: npt.NDArray[np.float32] = dataset[()]
    if not np.isfinite(array).all():
        raise IntegrityError(f"{path} in the weights holds NaN or infinity", mend="train this candidate again")
    return array


def _own_dataset(file: Any, path: str) -> Any:
    """The dataset at `path`, if its bytes lie in this file, plainly and at full size.

    HDF5 can link to other files, keep a dataset's bytes in them, or compress a gigabyte of zeros into nothing.
    """
    import h5py

    place = file
    for part in path.split("/"):
        if not isinstance(place, h5py.Group) or part not in place:
            raise IntegrityError(f"the weights have no array {path}", mend=_MEND)
        if not isinstance(place.get(part, getlink=True), h5py.HardLink):
            raise IntegrityError(f"{path} in the weights is a link to elsewhere", mend=_MEND)
        place = place[part]
    if not isinstance(place, h5py.Dataset):
        raise IntegrityError(f"{path} in the weights is no array", mend=_MEND)
    stored_as = place.id.get_create_plist()
    if stored_as.get_layout() != h5py.h5d.CONTIGUOUS or stored_as.get_external_count():
        raise IntegrityError(f"{path} in the weights is compressed, or kept outside of the file", mend=_MEND)
    return place


def predict(weights: Weights, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Probabilities of the classes for each image.

    Args:
        weights: Of a classifier's model.
        images: (n, height, width), uint8.

    Returns:
        (n, classes), float32; each row sums to 1.

    Raises:
        DataError: `images` has another shape or type.
        IntegrityError: the weights are so large that the arithmetic overflows.
    """
    pixels, classes = len(weights.hidden_kernel), len(weights.output_bias)
    if images.ndim != 3 or images.shape[1] * images.shape[2] != pixels or images.dtype != np.uint8:
        raise DataError(
            f"images are {images.dtype}{images.shape}, expected uint8 (n, height, width) of {pixels} pixels",
            mend="pass the data set's own arrays",
        )
    probabilities = np.empty((len(images), classes), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(images), _BATCH):
            probabilities[start : start + _BATCH] = _forward(weights, images[start : start + _BATCH])
    if not np.isfinite(probabilities).all():
        raise IntegrityError("the weights overflow: probabilities are not finite", mend="train this candidate again")
    return probabilities


def _forward(weights: Weights, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    pixels = images.reshape(len(images), -1) / np.float32(255)
    hidden = np.maximum(pixels @ weights.hidden_kernel + weights.hidden_bias, 0)
    logits = hidden @ weights.output_kernel + weights.output_bias
    # Shifted by the largest one, which changes nothing and keeps exp from overflowing.
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)
