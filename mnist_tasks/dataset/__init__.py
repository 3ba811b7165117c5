"""The data set: got once, checked by hash, kept in S3 under its hash, read without trusting it.

`download` brings it into S3, `load` reads it from there, `split` sets the validation images aside. What the data has to
be stands in the classifier's definition; `url` is one of its sources; `package` and `pins` are MNIST's.
"""

from mnist_tasks.dataset.arrays import Dataset, Split, check_content, split
from mnist_tasks.dataset.npz import read_npz, write_npz
from mnist_tasks.dataset.pins import ARRAY_SHA256
from mnist_tasks.dataset.stored import DatasetRef, download, load
from mnist_tasks.dataset.timeouts import Timeouts

__all__ = [
    "ARRAY_SHA256",
    "Dataset",
    "DatasetRef",
    "Split",
    "Timeouts",
    "check_content",
    "download",
    "load",
    "read_npz",
    "split",
    "write_npz",
]
