"""A training job as the tests of its values need one; change it with `model_copy(update=...)`."""

from __future__ import annotations

from mnist_tasks.config import TrainingJob

JOB = TrainingJob(
    bucket="a-bucket",
    checkpoints_prefix="checkpoints",
    run="a-run-12345678",
    candidate="mnist_model_20261124_020005",
    dataset_sha256="ab" * 32,
    seed=7,
    epochs=10,
    batch_size=32,
    learning_rate=0.001,
    validation_images=6000,
)
