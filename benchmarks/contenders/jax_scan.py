"""JAX: an epoch is one compiled `lax.scan`. Timed: keys, permutation, all steps, the mean of their losses.

Also tried, and slower on a CPU: the generator `rbg` in place of JAX's default, dropout for all steps drawn at once, all
batches gathered at once; bytes in place of floats for the images made no difference.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count
from typing import Any

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp

RATE, LEARNING_RATE, BETA_1, BETA_2, EPSILON = 0.2, 0.001, 0.9, 0.999, 1e-7


def run(images: Any, labels: Any, epoch_done: Callable[[float], None]) -> None:
    """Images stay bytes, as in `ours`; each epoch's state is donated to the next one."""
    pixels, targets = jnp.asarray(images.reshape(len(images), -1)), jnp.asarray(labels, jnp.int32)
    run_epoch = jax.jit(lambda state, key: _epoch(state, key, pixels, targets), donate_argnums=0)
    weights = _initial(jax.random.key(0))
    state = (weights, jax.tree.map(jnp.zeros_like, weights), jax.tree.map(jnp.zeros_like, weights), jnp.zeros(()))
    for epoch in count(1):
        state, loss = run_epoch(state, jax.random.key(epoch))
        epoch_done(float(loss))


def _initial(key: Any) -> dict[str, Any]:
    glorot = jax.nn.initializers.glorot_uniform()
    hidden, output = jax.random.split(key)
    return {"W": glorot(hidden, (784, 128)), "b": jnp.zeros(128), "V": glorot(output, (128, 10)), "c": jnp.zeros(10)}


def _epoch(state: Any, key: Any, pixels: Any, targets: Any) -> tuple[Any, Any]:
    order, dropout = jax.random.split(key)
    batches = jax.random.permutation(order, len(pixels)).reshape(-1, 32)

    def step(state: Any, batch: Any) -> tuple[Any, Any]:
        weights, first, second, number = state
        number += 1
        kept = jax.random.bernoulli(jax.random.fold_in(dropout, number), 1 - RATE, (32, 128))
        loss, gradients = jax.value_and_grad(_loss)(weights, pixels[batch], targets[batch], kept)
        first = jax.tree.map(lambda m, g: m + (1 - BETA_1) * (g - m), first, gradients)
        second = jax.tree.map(lambda v, g: v + (1 - BETA_2) * (g * g - v), second, gradients)
        rate = LEARNING_RATE * jnp.sqrt(1 - BETA_2**number) / (1 - BETA_1**number)
        weights = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + EPSILON), weights, first, second)
        return (weights, first, second, number), loss

    state, losses = jax.lax.scan(step, state, batches)
    return state, losses.mean()


def _loss(weights: Any, pixels: Any, targets: Any, kept: Any) -> Any:
    hidden = jax.nn.relu(pixels.astype(jnp.float32) / 255 @ weights["W"] + weights["b"])
    logits = jnp.where(kept, hidden / (1 - RATE), 0) @ weights["V"] + weights["c"]
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), targets[:, None], axis=1).mean()
