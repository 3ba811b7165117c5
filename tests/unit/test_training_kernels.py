"""The part of TensorFlow that training uses."""

from __future__ import annotations

import subprocess
import sys
from inspect import unwrap
from pathlib import Path

import pytest

from mnist_tasks.training import kernels
from tests.keras_reference import tf

ROOT = Path(__file__).resolve().parents[2]


def run(program: str, **environment: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout, done.stderr


def test_training_imports_neither_keras_nor_most_of_tensorflow() -> None:
    program = (
        "import mnist_tasks.training.loop, mnist_tasks.training.weights, sys\n"
        "print('keras' in sys.modules, 'tensorflow.python.ops.gradients_impl' in sys.modules, len(sys.modules) < 1500)"
    )
    assert run(program) == ("False False True\n", "")


def test_keras_and_all_of_tensorflow_can_be_used_in_the_same_process_afterwards() -> None:
    program = (
        "from mnist_tasks.training import kernels\n"
        "variable = kernels.Variable([1.0, 2.0])\n"
        "import keras, tensorflow as tf\n"
        "print(isinstance(variable, tf.Variable), float(tf.reduce_sum(variable)), tf.function is kernels.function)\n"
        "print(tf.executing_eagerly(), keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)]).count_params())"
    )
    assert run(program, KERAS_BACKEND="tensorflow") == ("True 3.0 True\nTrue 9\n", "")


def test_a_name_that_tensorflow_does_not_have_is_still_an_error() -> None:
    program = (
        "from mnist_tasks.training import kernels\n"
        "import tensorflow\n"
        "for _ in range(2):\n"
        "    print(getattr(tensorflow, 'no_such_name', 'none'))"
    )
    assert run(program) == ("none\nnone\n", "")


@pytest.mark.parametrize("name", ["float32", "function", "int32", "while_loop"])
def test_these_are_tensorflows_own(name: str) -> None:
    assert getattr(kernels, name) is getattr(tf, name)


KERNELS = {
    "bias_add": "BiasAdd",
    "bias_add_grad": "BiasAddGrad",
    "cast": "Cast",
    "gather_v2": "GatherV2",
    "mat_mul": "MatMul",
    "mul": "Mul",
    "relu": "Relu",
    "relu_grad": "ReluGrad",
    "resource_apply_adam": "ResourceApplyAdam",
    "resource_gather": "ResourceGather",
    "resource_scatter_update": "ResourceScatterUpdate",
    "sparse_softmax_cross_entropy_with_logits": "SparseSoftmaxCrossEntropyWithLogits",
    "stateless_random_uniform": "StatelessRandomUniform",
}


@pytest.mark.parametrize("name", KERNELS)
def test_these_are_the_functions_behind_tensorflows_raw_ops(name: str) -> None:
    ours, public = unwrap(getattr(kernels, name)), unwrap(getattr(tf.raw_ops, KERNELS[name]))
    assert (ours.__module__, ours.__name__) == (public.__module__, public.__name__)


def test_every_name_is_accounted_for() -> None:
    checked = {"float32", "function", "int32", "while_loop", *KERNELS}
    assert set(kernels.__all__) - checked == {"Variable", "constant", "shared"}
