"""Which classifiers there are, a module each: names from outside (a job, a DAG id, a terminal) lead to nothing else."""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType

from mnist_tasks.classifier import Classifier
from mnist_tasks.errors import ConfigurationError

# Where each definition is: module and name. A module is imported when its classifier is asked for, and no other ever.
_PLACES = MappingProxyType(
    {
        "mnist": ("mnist_tasks.definitions.mnist", "MNIST"),
        "contracts": ("examples.contracts.classifier", "CONTRACTS"),
    }
)
NAMES = tuple(_PLACES)


def named(name: str) -> Classifier:
    """The classifier of that name.

    Raises:
        ConfigurationError: there is none, or this installation has no part of it.
    """
    if name not in _PLACES:
        raise ConfigurationError(
            f"there is no classifier {name!r}, expected one of {', '.join(NAMES)}",
            mend="name one of these, or add yours to mnist_tasks/definitions/__init__.py (docs/your-own-classifier.md)",
        )
    module, constant = _PLACES[name]
    try:
        found: Classifier = getattr(import_module(module), constant)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"the definition of {name} cannot be imported: {error}", mend="build the image with it, or install it"
        ) from error
    return found
