"""Calls concrete functions with flat tensors: arrays in, arrays out, no binding of Python arguments between."""

from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np

from toolkit.core.model import TracedModel
from toolkit.core.plugins import Opening
from toolkit.core.tensors import Array, Feed, Outputs, Signature, as_array
from toolkit.errors import UnavailableError, UnsupportedError

Tensors = dict[str, Any]


def traced_of(opening: Opening) -> TracedModel:
    """The model that a runtime without files runs.

    Raises:
        UnavailableError: it was asked to open something else.
    """
    if opening.traced is None:
        raise UnavailableError("this runtime runs a model, not a file", hint="`tfx-export bench MODEL` gives it one")
    return opening.traced


def flat_call(function: Any, signature: Signature) -> Callable[[Feed], Outputs]:
    """The concrete function's own computation.

    Binding keyword arguments to a concrete function costs 0.1 ms per call (TensorFlow 2.21, measured), which is what
    `function` measures, and asking whether a gradient tape watches 20 us more; here the feed is converted, the graph
    is run and the outputs are fetched. The attributes of a call are those that `Context.call_function` makes anew each
    time: TensorFlow's threads fall asleep while Python is busy, so that 10 us here cost 30.
    """
    from tensorflow.python.eager import execute

    captured = list(function.captured_inputs)
    arguments = function.inputs[: len(function.inputs) - len(captured)]
    names = [tensor.name.split(":")[0] for tensor in arguments]
    if set(names) != set(signature.inputs):
        raise UnsupportedError(f"its graph names its inputs {', '.join(names)}", hint="measure `function` instead")
    outputs = sorted(function.structured_outputs)
    inference = function._inference_function
    call, called, count = execute.quick_execute, inference.name.decode(), len(outputs)
    owner = inference._bound_context
    attributes = tuple(chain.from_iterable(owner.function_call_options.as_attrs().items()))
    convert = converter(signature)

    def run(feed: Feed) -> Outputs:
        tensors = convert(feed)
        found = call(called, count, [*[tensors[name] for name in names], *captured], attributes, owner)
        return fetched(dict(zip(outputs, found, strict=True)))

    return run


def converter(signature: Signature) -> Callable[[Feed], Tensors]:
    """Arrays to tensors; tensors stay what they are.

    `tf.constant` does the same with more questions around it, which cost a call of the MLP 50 of 220 us.
    """
    import tensorflow as tf
    from tensorflow.python.framework.ops import EagerTensor

    kinds = {name: tf.as_dtype(spec.dtype).as_datatype_enum for name, spec in signature.inputs.items()}

    def convert(feed: Feed) -> Tensors:
        # A copy, since a tensor may keep the array's own memory, and a variable that is given it may, too.
        return {
            name: value if isinstance(value := feed[name], EagerTensor) else EagerTensor(value.copy(), None, kind)
            for name, kind in kinds.items()
        }

    return convert


def fetched(tensors: Tensors) -> Outputs:
    """Tensors to arrays; strings as objects, whatever their rank."""
    return {name: _array(tensor.numpy()) for name, tensor in tensors.items()}


def _array(value: Any) -> Array:
    return as_array(value, "string") if isinstance(value, bytes) else np.asarray(value)
