"""What training takes from TensorFlow: a tracer, a loop, variables and fifteen kernels. Its one way to TensorFlow.

`import tensorflow` also brings everything else: 2,100 more modules, 0.9 s of CPU time and 130 MB, in a training that
takes 6 s in all. So these names come from where TensorFlow itself defines them. They are the functions behind
`tf.function`, `tf.while_loop` and `tf.raw_ops`, which the tests check by name: with another version of TensorFlow they
may have to be looked up again.

A process that needs all of TensorFlow, too, can import it before or after this module. `runtime.start_tensorflow` has
to run first in either case.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from mnist_tasks.training.runtime import start_tensorflow

start_tensorflow()

from tensorflow.python.dlpack.dlpack import from_dlpack  # noqa: E402
from tensorflow.python.eager.polymorphic_function.polymorphic_function import function  # noqa: E402
from tensorflow.python.framework.constant_op import constant  # noqa: E402
from tensorflow.python.framework.dtypes import float32, int32  # noqa: E402
from tensorflow.python.ops.gen_array_ops import gather_v2  # noqa: E402
from tensorflow.python.ops.gen_math_ops import cast, mat_mul, mul  # noqa: E402
from tensorflow.python.ops.gen_nn_ops import (  # noqa: E402
    bias_add,
    bias_add_grad,
    relu,
    relu_grad,
    sparse_softmax_cross_entropy_with_logits,
)
from tensorflow.python.ops.gen_resource_variable_ops import resource_gather, resource_scatter_update  # noqa: E402
from tensorflow.python.ops.gen_stateless_random_ops import stateless_random_uniform  # noqa: E402
from tensorflow.python.ops.gen_training_ops import resource_apply_adam  # noqa: E402
from tensorflow.python.ops.resource_variable_ops import ResourceVariable as Variable  # noqa: E402
from tensorflow.python.ops.while_loop import while_loop_v2 as while_loop  # noqa: E402

__all__ = [
    "Variable",
    "bias_add",
    "bias_add_grad",
    "cast",
    "constant",
    "float32",
    "function",
    "gather_v2",
    "int32",
    "mat_mul",
    "mul",
    "relu",
    "relu_grad",
    "resource_apply_adam",
    "resource_gather",
    "resource_scatter_update",
    "shared",
    "sparse_softmax_cross_entropy_with_logits",
    "stateless_random_uniform",
    "while_loop",
]


def shared(array: NDArray[Any]) -> Any:
    """A tensor over the memory of an `aligned` array; `constant` would copy it, for a moment even twice.

    Its values are those of the array at any time: nobody may write to one while the other is being read. The memory
    lives as long as the tensor does.
    """
    return from_dlpack(array.__dlpack__())
