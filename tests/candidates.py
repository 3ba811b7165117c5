"""Candidates as training leaves them in S3, of any quality, made in seconds and without TensorFlow."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime

import h5py
import numpy as np
import numpy.typing as npt

from mnist_tasks import checkpoints
from mnist_tasks.checkpoints import Manifest
from mnist_tasks.config import RunConfig
from mnist_tasks.dataset import Dataset, split
from mnist_tasks.encryption import Encryption
from mnist_tasks.history import Epoch, History
from mnist_tasks.inference import Weights, predict
from mnist_tasks.layout import Layout
from mnist_tasks.metrics import evaluate
from mnist_tasks.plan import Plan, make_plan
from mnist_tasks.storage import Storage, to_json
from mnist_tasks.validation import validate
from tests.small_dataset import SMALL, small_dataset

PARAMETERS = 101_770
IMAGE = f"sha256:{'1' * 64}"


def train(dataset: Dataset, *, seed: int, steps: int) -> Weights:
    """Plain stochastic gradient descent with momentum, 100 images a step: 600 steps reach about 96%, 100 about 92%."""
    random = np.random.default_rng(seed)
    arrays = [_glorot(random, 784, 128), np.zeros(128, np.float32), _glorot(random, 128, 10), np.zeros(10, np.float32)]
    speeds = [np.zeros_like(array) for array in arrays]
    images, labels = dataset.x_train.reshape(-1, 784), dataset.y_train
    order = random.permutation(len(images))
    for step in range(steps):
        batch = order[step * 100 : (step + 1) * 100]
        pixels = images[batch] / np.float32(255)
        hidden = np.maximum(pixels @ arrays[0] + arrays[1], 0)
        logits = hidden @ arrays[2] + arrays[3]
        error = np.exp(logits - logits.max(axis=1, keepdims=True))
        error /= error.sum(axis=1, keepdims=True)
        error[np.arange(len(batch)), labels[batch]] -= 1
        error /= len(batch)
        behind = error @ arrays[2].T * (hidden > 0)
        gradients = [pixels.T @ behind, behind.sum(axis=0), hidden.T @ error, error.sum(axis=0)]
        for array, speed, gradient in zip(arrays, speeds, gradients, strict=True):
            speed[:] = 0.9 * speed - 0.1 * gradient
            array[:] += speed
    return Weights(*arrays)


def _glorot(random: np.random.Generator, rows: int, columns: int) -> npt.NDArray[np.float32]:
    limit = np.sqrt(6 / (rows + columns))
    return random.uniform(-limit, limit, (rows, columns)).astype(np.float32)


def nudged(weights: Weights) -> Weights:
    """Nearly the same model: it answers otherwise on a few dozen of 10,000 images, for better or worse."""
    random = np.random.default_rng(0)
    arrays = (weights.hidden_kernel, weights.hidden_bias, weights.output_kernel, weights.output_bias)
    return Weights(*(array + random.normal(0, 0.003, array.shape).astype(np.float32) for array in arrays))


def random_weights(seed: int) -> Weights:
    """Weights of the right shapes that recognise nothing."""
    random = np.random.default_rng(seed)
    shapes = ((784, 128), (128,), (128, 10), (10,))
    return Weights(*(random.normal(0, 0.05, shape).astype(np.float32) for shape in shapes))


def to_h5(weights: Weights) -> bytes:
    """The file that Keras' `save_weights` writes for these weights."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["layers/dense/vars/0"] = weights.hidden_kernel
        file["layers/dense/vars/1"] = weights.hidden_bias
        file["layers/dense_1/vars/0"] = weights.output_kernel
        file["layers/dense_1/vars/1"] = weights.output_bias
    return buffer.getvalue()


def history(accuracy: float = 0.97, loss: float = 0.1) -> History:
    """One epoch with these validation figures."""
    epoch = Epoch(epoch=1, seconds=1, loss=0.2, accuracy=0.9, validation_loss=loss, validation_accuracy=accuracy)
    return History(epochs=(epoch,), seconds=1, peak_memory_mb=400)


def plan_run(
    storage: Storage,
    layout: Layout,
    run_id: str,
    *,
    candidates: int,
    dataset_sha256: str,
    now: datetime,
    **config: object,
) -> Plan:
    """The plan of a run of the pipeline."""
    return make_plan(
        storage,
        layout,
        dag_id="mnist_training",
        run_id=run_id,
        config=RunConfig.from_params({"candidates": candidates, **config}),
        dataset_sha256=dataset_sha256,
        now=now,
    )


def train_run(
    storage: Storage,
    encryption: Encryption,
    layout: Layout,
    run_id: str,
    models: Sequence[Weights],
    *,
    dataset: Dataset,
    dataset_sha256: str,
    now: datetime,
    **config: object,
) -> tuple[Plan, tuple[Manifest, ...]]:
    """A run up to the end of training: its candidates are `models`, committed with their true validation figures."""
    plan = plan_run(storage, layout, run_id, candidates=len(models), dataset_sha256=dataset_sha256, now=now, **config)
    # As the step before has left it, unless the test has a report of its own.
    report = validate(small_dataset(), dataset_sha256, SMALL, accepted=None, now=now)
    storage.put_if_absent(layout.run(plan.run, "validation.json"), to_json(report.model_dump(mode="json")))
    manifests = []
    for job, weights in zip(plan.jobs, models, strict=True):
        chosen = split(dataset, job.validation_images).validation
        figures = evaluate(predict(weights, dataset.x_train[chosen]), dataset.y_train[chosen])
        manifest = checkpoints.commit(
            storage,
            encryption,
            layout,
            job,
            weights=to_h5(weights),
            history=history(figures.accuracy, figures.loss),
            parameters=PARAMETERS,
            now=now,
            trainer_image=IMAGE,
        )
        manifests.append(manifest)
    return plan, tuple(manifests)
