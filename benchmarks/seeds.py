"""`make seeds`: is training as good as Keras's own? The same seeds with this project's loop and with Keras `fit`.

    python -m benchmarks.seeds [--seeds 20]

Both start from the same weights, train 10 epochs on the same 54,000 images, keep the weights of their best epoch by
accuracy on the same 6,000, and are judged once by the 10,000 test images. Shuffles and dropout differ, as they would
between two runs of either. Results are added to build/seeds.json one by one: stopped and started again, it goes on,
unless the code that trains is another one by then.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import mnist_file
from benchmarks.measure import ROOT
from mnist_tasks.dataset import Dataset, read_npz, split
from mnist_tasks.definitions.mnist import MNIST
from mnist_tasks.training.examples import Examples

EPOCHS = 10
BATCH_SIZE = 32
LEARNING_RATE = 0.001
VALIDATION_IMAGES = 6000


@dataclass(frozen=True)
class Comparison:
    """Test accuracies in percent, ours first, Keras's second.

    `difference` is that of the means, `interval` its 95% confidence interval (Welch's standard error, normal quantile),
    `p_value` that of a two-sided permutation test: how often a random division of all results into two halves differs
    as much.
    """

    means: tuple[float, float]
    deviations: tuple[float, float]
    minima: tuple[float, float]
    difference: float
    interval: tuple[float, float]
    p_value: float


def compare(ours: Sequence[float], keras: Sequence[float], *, permutations: int = 20_000) -> Comparison:
    """Compare two samples of accuracies (shares from 0 to 1)."""
    a, b = 100 * np.asarray(ours), 100 * np.asarray(keras)
    difference = a.mean() - b.mean()
    error = 1.96 * np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
    shuffled = np.random.default_rng(0).permuted(np.tile(np.concatenate([a, b]), (permutations, 1)), axis=1)
    by_chance = shuffled[:, : len(a)].mean(axis=1) - shuffled[:, len(a) :].mean(axis=1)
    as_large = np.count_nonzero(np.abs(by_chance) >= abs(difference) - 1e-12)
    return Comparison(
        means=(float(a.mean()), float(b.mean())),
        deviations=(float(a.std(ddof=1)), float(b.std(ddof=1))),
        minima=(float(a.min()), float(b.min())),
        difference=float(difference),
        interval=(float(difference - error), float(difference + error)),
        p_value=float((as_large + 1) / (permutations + 1)),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is missing, then compare."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.seeds", description="Accuracy against Keras fit.")
    parser.add_argument("--seeds", type=int, default=20, help="how many, from 0 on; 2 or more (%(default)s)")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "seeds.json", help="(%(default)s)")
    options = parser.parse_args(arguments)
    if options.seeds < 2:
        parser.error("a spread takes two seeds at least")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    code = _code()
    accuracies: dict[str, dict[str, float]] = {"ours": {}, "keras": {}} | _known(options.output, code)
    for seed, name, train in _missing(accuracies, options.seeds):
        accuracies[name][str(seed)] = train(seed)
        print(f"seed {seed}: {name} {accuracies[name][str(seed)]:.2%}", flush=True)
        options.output.write_text(json.dumps({"code": code, "accuracies": accuracies}, indent=1) + "\n")
    comparison = compare(*(list(accuracies[name].values()) for name in ("ours", "keras")))
    figures = {"code": code, "accuracies": accuracies, **asdict(comparison)}
    options.output.write_text(json.dumps(figures, indent=1) + "\n")
    _print(accuracies, comparison)
    return 0


def _code() -> str:
    """SHA-256 of what trains and of what it trains with: other code has other accuracies."""
    digest = hashlib.sha256(repr((EPOCHS, BATCH_SIZE, LEARNING_RATE, VALIDATION_IMAGES)).encode())
    for file in sorted((ROOT / "mnist_tasks" / "training").glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _known(output: Path, code: str) -> dict[str, dict[str, float]]:
    """The accuracies that this code has reached before."""
    if not output.exists():
        return {}
    found = json.loads(output.read_text())
    if found.get("code") != code:
        print(f"{output} is of other code: every seed is trained again", flush=True)
        return {}
    accuracies: dict[str, dict[str, float]] = found["accuracies"]
    return accuracies


def _missing(accuracies: dict[str, dict[str, float]], seeds: int) -> Iterator[tuple[int, str, Callable[[int], float]]]:
    todo = [(seed, name) for seed in range(seeds) for name in ("ours", "keras") if str(seed) not in accuracies[name]]
    if not todo:
        return
    methods = _methods(read_npz(mnist_file().read_bytes(), MNIST.shapes))
    for seed, name in todo:
        yield seed, name, methods[name]


def _methods(mnist: Dataset) -> dict[str, Callable[[int], float]]:
    from mnist_tasks.training.loop import train
    from mnist_tasks.training.model import build_model
    from mnist_tasks.training.weights import initial_weights

    parts = split(mnist, VALIDATION_IMAGES)
    training, validation = (_whole(mnist.x_train[part], mnist.y_train[part]) for part in parts)
    test = _whole(mnist.x_test, mnist.y_test)

    def ours(seed: int) -> float:
        model = build_model(seed)
        best, _ = train(
            initial_weights(MNIST, seed),
            training,
            validation,
            epochs=EPOCHS,
            batch_size=BATCH_SIZE,
            learning_rate=LEARNING_RATE,
            seed=seed,
        )
        model.set_weights(astuple(best))
        return _accuracy(model, test)

    def keras(seed: int) -> float:
        model = build_model(seed, learning_rate=LEARNING_RATE)
        _fit(model, training, validation, seed)
        return _accuracy(model, test)

    return {"ours": ours, "keras": keras}


def _fit(model: Any, training: Examples, validation: Examples, seed: int) -> None:
    """Plain Keras; the best epoch is chosen as `mnist_tasks.history.History.best` does, ties by the lower loss."""
    import keras

    best: list[Any] = [(-1.0, 0.0), []]

    def keep_best(_epoch: int, logs: dict[str, float]) -> None:
        rank = (logs["val_accuracy"], -logs["val_loss"])
        if rank > best[0]:
            best[:] = rank, model.get_weights()

    keras.utils.set_random_seed(seed)
    model.fit(
        _floats(training),
        training.labels,
        validation_data=(_floats(validation), validation.labels),
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=keep_best)],
    )
    model.set_weights(best[1])


def _whole(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Examples:
    # `Examples.of` leaves out what never lights up, which Keras has no use for.
    return Examples(images.reshape(len(images), -1), labels)


def _accuracy(model: Any, test: Examples) -> float:
    predicted = model.predict(_floats(test), batch_size=2000, verbose=0).argmax(axis=1)
    return float((predicted == test.labels).mean())


def _floats(examples: Examples) -> NDArray[np.float32]:
    return (examples.pixels / np.float32(255)).reshape(-1, 28, 28)


def _print(accuracies: dict[str, dict[str, float]], comparison: Comparison) -> None:
    print(f"\ntest accuracy: {len(accuracies['ours'])} seeds with this loop, {len(accuracies['keras'])} with fit")
    for number, name in enumerate(("ours", "keras")):
        mean, deviation, least = comparison.means[number], comparison.deviations[number], comparison.minima[number]
        print(f"  {name:<6} mean {mean:.3f}%  sd {deviation:.3f}  min {least:.2f}%")
        print("         " + " ".join(f"{100 * value:.2f}" for value in sorted(accuracies[name].values())))
    low, high = comparison.interval
    print(f"difference {comparison.difference:+.3f} points, 95% interval {low:+.3f} to {high:+.3f}")
    print(f"two-sided permutation test: p = {comparison.p_value:.3f}")


if __name__ == "__main__":
    sys.exit(main())
