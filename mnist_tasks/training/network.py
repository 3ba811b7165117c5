"""The model's arithmetic, one step of training at a time, in as few passes as TensorFlow has kernels for.

- *Fused kernels.* `ResourceApplyAdam` reads and writes each of an array's values once, where Keras's optimizer makes a
  dozen passes over them. The loss kernel gives the slope along with the loss; `ReluGrad` is one pass.
- *The bias is a row of the kernel*, and every image has one more pixel that is always 255. This saves, at every step,
  adding the bias, summing its gradient and one call of Adam: a tenth of an epoch.
- *Columns that never light up are left out* (67 of the 784 pixels are 0 in all training images). They add nothing to a
  sum and get no gradient: Adam moves their weights by exactly 0, so they keep the values that they started with.
- *Images stay bytes* (a quarter of the memory of floats) and become floats a batch at a time.
- *Dropout costs one multiplication*: see `Network.step`.

The same step in plain Keras stands in `tests/unit/test_training_network.py`, as the reference that this one is held to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mnist_tasks.training.examples import FULL_INK, Examples


def shared(array: NDArray[Any]) -> Any:
    """A tensor over the memory of an `aligned` array; `tf.constant` would copy it, for a moment even twice.

    The array must not change while the tensor is in use. It lives as long as the tensor does.
    """
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())


class Network:
    """The model's weights and Adam's moments, laid out for `step`.

    Args:
        model: The compiled Keras model that the weights are taken from.
        columns: Which of the 784 pixels are kept, ascending; all others have to be 0 in every image.
    """

    def __init__(self, model: Any, columns: NDArray[np.intp]) -> None:
        hidden_kernel, hidden_bias, output_kernel, output_bias = model.get_weights()
        self._columns = columns
        self._optimizer = model.optimizer.get_config()
        self.dropout: float = model.get_layer("dropout").rate
        self.units = len(hidden_bias)
        self.classes = len(output_bias)
        arrays = (np.vstack([hidden_kernel[columns], hidden_bias]), output_kernel, output_bias)
        self.weights = [tf.Variable(array) for array in arrays]
        self.first_moments = [tf.Variable(np.zeros_like(array)) for array in arrays]
        self.second_moments = [tf.Variable(np.zeros_like(array)) for array in arrays]

    def pixels(self, examples: Examples) -> Any:
        """The kept columns of the examples' images, and a last one of full ink that the bias is multiplied with."""
        return shared(examples.packed(self._columns).pixels)

    def logits(self, pixels: Any) -> Any:
        """What the trained network says, without dropout: (n, columns + 1) bytes give (n, 10) logits."""
        hidden, output, output_bias = self.weights
        active = tf.nn.relu(tf.matmul(tf.cast(pixels, tf.float32) * (1 / FULL_INK), hidden))
        return tf.nn.bias_add(tf.matmul(active, output), output_bias)

    def step(self, pixels: Any, labels: Any, kept: Any, powers: Any) -> Any:
        """One step of Adam on one batch; returns the batch's logits (n, 10) from before the step.

        Dropout multiplies what it keeps by 1 / (1 - rate), and so its gradient. Both factors are had for nothing by
        putting them on the pixels, together with the division by 255: relu(c z) is c relu(z), and the gradient of
        the kernel is a product with the pixels.

        Args:
            pixels: Bytes (n, columns + 1).
            labels: Integers (n,).
            kept: Which hidden units dropout keeps, 1 or 0, (n, units).
            powers: beta_1 and beta_2, each to the power of the step's number from 1 on; floats (2,).
        """
        hidden, output, output_bias = (weights.read_value() for weights in self.weights)
        scaled = tf.cast(pixels, tf.float32) * (1 / FULL_INK / (1 - self.dropout))
        active = tf.nn.relu(tf.matmul(scaled, hidden)) * tf.cast(kept, tf.float32)
        logits = tf.nn.bias_add(tf.matmul(active, output), output_bias)
        _, slope = tf.raw_ops.SparseSoftmaxCrossEntropyWithLogits(features=logits, labels=labels)
        slope *= 1 / pixels.shape[0]  # the loss is the batch's mean
        # An activation is 0 where dropout or relu made it so, and both let no gradient through there.
        back = tf.raw_ops.ReluGrad(gradients=tf.matmul(slope, output, transpose_b=True), features=active)
        self._adam(
            (
                tf.matmul(scaled, back, transpose_a=True),
                tf.matmul(active, slope, transpose_a=True),
                tf.raw_ops.BiasAddGrad(out_backprop=slope),
            ),
            powers,
        )
        return logits

    def _adam(self, gradients: Sequence[Any], powers: Any) -> None:
        constants = self._optimizer
        for weights, first, second, gradient in zip(
            self.weights, self.first_moments, self.second_moments, gradients, strict=True
        ):
            tf.raw_ops.ResourceApplyAdam(
                var=weights.handle,
                m=first.handle,
                v=second.handle,
                beta1_power=powers[0],
                beta2_power=powers[1],
                lr=constants["learning_rate"],
                beta1=constants["beta_1"],
                beta2=constants["beta_2"],
                epsilon=constants["epsilon"],
                grad=gradient,
            )

    def powers(self, steps: range) -> NDArray[np.float32]:
        """What `step` needs to know of each step's number: (len(steps), 2)."""
        betas = np.array([self._optimizer["beta_1"], self._optimizer["beta_2"]])
        powers: NDArray[np.float64] = betas ** np.array(steps)[:, np.newaxis]
        return powers.astype(np.float32)

    def values(self) -> tuple[NDArray[np.float32], ...]:
        """A copy of the weights as they are now."""
        return tuple(weights.numpy().copy() for weights in self.weights)

    def moments(self) -> tuple[tuple[NDArray[np.float32], ...], tuple[NDArray[np.float32], ...]]:
        """A copy of Adam's first and second moments as they are now."""
        first, second = (
            tuple(moment.numpy().copy() for moment in moments) for moments in (self.first_moments, self.second_moments)
        )
        return first, second

    def restore(self, *groups: Sequence[NDArray[np.float32]]) -> None:
        """Put back what `values` and `moments` returned, three groups of arrays: as if the steps since had not been."""
        for variables, arrays in zip((self.weights, self.first_moments, self.second_moments), groups, strict=True):
            for variable, array in zip(variables, arrays, strict=True):
                variable.assign(array)

    def write_into(self, model: Any, values: Sequence[NDArray[np.float32]]) -> None:
        """Put what `values` returned back where it came from; left-out columns keep what the model has there."""
        hidden, output, output_bias = values
        kernel = model.get_weights()[0]
        kernel[self._columns] = hidden[:-1]
        model.set_weights([kernel, hidden[-1], output, output_bias])
