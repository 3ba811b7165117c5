"""Training: the only place that imports TensorFlow. `python -m mnist_tasks.training` is the container's entry point."""
