"""MNIST with other thresholds, for models that were not trained for long."""

from __future__ import annotations

from dataclasses import replace

from mnist_tasks.classifier import Classifier
from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.promotion.chain import Chain


def with_thresholds(**changes: float) -> Classifier:
    """The definition, changed."""
    return MNIST.model_copy(update={"thresholds": MNIST.thresholds.model_copy(update=changes)})


def judged_by(chain: Chain, **changes: float) -> Chain:
    """The same decisions, as those make them whose definition has these thresholds."""
    return replace(chain, layout=replace(chain.layout, classifier=with_thresholds(**changes)))
