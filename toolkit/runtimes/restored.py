"""Runs a SavedModel through `tf.saved_model.load`, as Python programs do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from toolkit.core.plugins import Opening, Runtime
from toolkit.core.runner import FunctionRunner, Runner
from toolkit.core.tensors import Feed, Outputs, Signature, TensorSpec, as_array, dtype_name
from toolkit.errors import ParityError


@contextmanager
def open_runner(opening: Opening) -> Iterator[Runner]:
    """A Runner over one restored signature."""
    import tensorflow as tf

    try:
        restored = tf.saved_model.load(str(opening.path))
        function = restored.signatures[opening.signature_name]
    except Exception as error:  # the loader raises from a dozen modules without a common class
        raise ParityError(
            f"{opening.path} does not load with tf.saved_model.load: {str(error).splitlines()[0]}",
            hint="build the bundle again",
        ) from error
    signature = _signature(function, opening.signature)

    def run(feed: Feed) -> Outputs:
        tensors = {name: tf.constant(feed[name], spec.dtype) for name, spec in signature.inputs.items()}
        found = {name: tensor.numpy() for name, tensor in function(**tensors).items()}
        strings = (name for name, spec in signature.outputs.items() if spec.dtype == "string")
        return found | {name: as_array(found[name], "string") for name in strings}

    # The restored object owns the variables: the closure keeps it alive.
    yield FunctionRunner("restored", signature, run, close=lambda: restored)


def _signature(function: Any, wanted: Signature) -> Signature:
    inputs = function.structured_input_signature[1]
    return Signature(
        {name: _spec(part) for name, part in inputs.items()},
        {name: _spec(part) for name, part in function.structured_outputs.items()},
        wanted.method,
    )


def _spec(part: Any) -> TensorSpec:
    return TensorSpec(dtype_name(part.dtype), None if part.shape.rank is None else tuple(part.shape.as_list()))


RUNTIME = Runtime(name="restored", opens=("saved_model",), open=open_runner, libraries=("tensorflow",))
