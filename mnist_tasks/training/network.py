"""The model's arithmetic, one step of training at a time, in as few passes as TensorFlow has kernels for.

- *Fused kernels.* `resource_apply_adam` reads and writes each of an array's values once, where Keras's optimizer makes
  a dozen passes over them. The loss kernel gives the slope along with the loss; `relu_grad` is one pass.
- *The bias is a row of the kernel*, and every image has one more pixel that is always 255. This saves, at every step,
  adding the bias, summing its gradient and one call of Adam: a tenth of an epoch.
- *Columns that never light up are left out* (67 of the 784 pixels are 0 in all training images). They add nothing to a
  sum and get no gradient: Adam moves their weights by exactly 0, so they keep the values that they started with.
- *Images stay bytes* (a quarter of the memory of floats) and become floats a batch at a time.
- *Dropout costs one multiplication*: see `Network.step`.
- *Adam's correction of its biased moments* is in each step's learning rate (`Adam.rates`), computed before the epoch.

The same step in plain Keras stands in `tests/keras_reference.py`, as the reference that this one is held to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_tasks.inference import Weights
from mnist_tasks.training.examples import FULL_INK, Examples
from mnist_tasks.training.kernels import (
    Variable,
    bias_add,
    bias_add_grad,
    cast,
    float32,
    mat_mul,
    mul,
    relu,
    relu_grad,
    resource_apply_adam,
    shared,
    sparse_softmax_cross_entropy_with_logits,
)

DROPOUT = 0.2

Arrays = tuple[NDArray[np.float32], ...]


@dataclass(frozen=True)
class Adam:
    """Adam's constants; the defaults are Keras's. Kingma and Ba, 2014, https://arxiv.org/abs/1412.6980."""

    learning_rate: float
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def rates(self, steps: range) -> NDArray[np.float32]:
        """The learning rate of each step, numbered from 1, with the correction for both moments' start at 0.

        It is alpha_t of the paper's section 2, rounded to float32 where Keras rounds it.
        """
        number = np.array(steps, np.float64)
        first, second = ((beta**number).astype(np.float32) for beta in (self.beta_1, self.beta_2))
        rates: NDArray[np.float32] = np.float32(self.learning_rate) * np.sqrt(1 - second) / (1 - first)
        return rates


class Network:
    """The model's weights and Adam's moments, laid out for `step`.

    Args:
        weights: What to start from.
        adam: Adam's constants.
        columns: Which of the pixels are kept, ascending; all others have to be 0 in every image.
    """

    def __init__(self, weights: Weights, adam: Adam, columns: NDArray[np.intp]) -> None:
        self.adam = adam
        self._start, self._columns = weights, columns
        self.units, self.classes = weights.output_kernel.shape
        arrays = (
            np.vstack([weights.hidden_kernel[columns], weights.hidden_bias]),
            weights.output_kernel,
            weights.output_bias,
        )
        self.weights = [Variable(array) for array in arrays]
        self.first_moments = [Variable(np.zeros_like(array)) for array in arrays]
        self.second_moments = [Variable(np.zeros_like(array)) for array in arrays]

    def pixels(self, examples: Examples) -> Any:
        """The kept columns of the examples' images, and a last one of full ink that the bias is multiplied with."""
        return shared(examples.packed(self._columns).pixels)

    def logits(self, pixels: Any) -> Any:
        """What the trained network says, without dropout: (n, columns + 1) bytes give (n, classes) logits."""
        hidden, output, output_bias = (weights.value() for weights in self.weights)
        active = relu(mat_mul(mul(cast(pixels, float32), 1 / FULL_INK), hidden))
        return bias_add(mat_mul(active, output), output_bias)

    def step(self, pixels: Any, labels: Any, kept: Any, rate: Any) -> Any:
        """One step of Adam on one batch; returns the batch's logits (n, classes) from before the step.

        Dropout multiplies what it keeps by 1 / (1 - its rate), and so its gradient. Both factors are had for nothing by
        putting them on the pixels, together with the division by 255: relu(c z) is c relu(z), and the gradient of
        the kernel is a product with the pixels.

        Args:
            pixels: Bytes (n, columns + 1).
            labels: Integers (n,).
            kept: Which hidden units dropout keeps, 1 or 0, (n, units).
            rate: The step's learning rate, one of `Adam.rates`.
        """
        hidden, output, output_bias = (weights.value() for weights in self.weights)
        scaled = mul(cast(pixels, float32), 1 / FULL_INK / (1 - DROPOUT))
        active = mul(relu(mat_mul(scaled, hidden)), cast(kept, float32))
        logits = bias_add(mat_mul(active, output), output_bias)
        slope = sparse_softmax_cross_entropy_with_logits(logits, labels).backprop
        slope = mul(slope, 1 / pixels.shape[0])  # the loss is the batch's mean
        # An activation is 0 where dropout or relu made it so, and both let no gradient through there.
        back = relu_grad(mat_mul(slope, output, transpose_b=True), active)
        self._apply_adam(
            (
                mat_mul(scaled, back, transpose_a=True),
                mat_mul(active, slope, transpose_a=True),
                bias_add_grad(slope),
            ),
            rate,
        )
        return logits

    def _apply_adam(self, gradients: Sequence[Any], rate: Any) -> None:
        adam = self.adam
        for weights, first, second, gradient in zip(
            self.weights, self.first_moments, self.second_moments, gradients, strict=True
        ):
            resource_apply_adam(
                weights.handle,
                first.handle,
                second.handle,
                beta1_power=0.0,  # the correction is in the rate already
                beta2_power=0.0,
                lr=rate,
                beta1=adam.beta_1,
                beta2=adam.beta_2,
                epsilon=adam.epsilon,
                grad=gradient,
            )

    def values(self) -> Arrays:
        """A copy of the weights as they are now."""
        return tuple(weights.numpy().copy() for weights in self.weights)

    def moments(self) -> tuple[Arrays, Arrays]:
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

    def unpacked(self, values: Sequence[NDArray[np.float32]]) -> Weights:
        """What `values` returned, in the model's own layout; left-out columns have what they started with."""
        hidden, output_kernel, output_bias = values
        hidden_kernel = self._start.hidden_kernel.copy()
        hidden_kernel[self._columns] = hidden[:-1]
        return Weights(hidden_kernel, hidden[-1], output_kernel, output_bias)
