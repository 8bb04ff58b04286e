"""What a Keras model says of its own inputs and outputs, and how it takes them."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from toolkit.building.structure import safe_name
from toolkit.core.tensors import TensorSpec
from toolkit.errors import TraceError


def is_keras(model: Any) -> bool:
    """Whether it is a Keras model or layer."""
    import keras

    return isinstance(model, keras.layers.Layer)


def own_inputs(model: Any) -> dict[str, Any]:
    """Name to spec of the inputs that the model was built with; empty where it cannot say."""
    if getattr(model, "inputs", None):
        return {name: _spec(model, tensor) for name, tensor in _named_inputs(model).items()}
    shape = (model.get_build_config() or {}).get("input_shape") if model.built else None
    if not shape:
        return {}
    named = shape if isinstance(shape, Mapping) else {"input_0": shape}
    if not all(_is_shape(found) for found in named.values()):
        return {}
    # A subclassed model knows the shapes of its first call, but neither that its rows are open nor what was cast.
    return {safe_name(name): TensorSpec(model.input_dtype, (None, *found[1:])) for name, found in named.items()}


def output_names(model: Any) -> tuple[str, ...]:
    """The names of the layers that a model's outputs come from; none where it cannot say."""
    import keras

    last = [layer.name for layer in model.layers[-1:]] if isinstance(model, keras.Sequential) else ()
    return tuple(re.sub(r"\W", "_", name) for name in getattr(model, "output_names", None) or last)


def caller(model: Any, inputs: Mapping[str, Any]) -> Callable[..., Any]:
    """The model as a function of the declared inputs by name.

    Raises:
        TraceError: the declared names are not those of the model.
    """
    parameters = inspect.signature(model.call).parameters
    # A layer's own `call` may not know `training`; a Keras model always gets it, since dropout must stay off.
    extra = {"training": False} if "training" in parameters or hasattr(model, "output_names") else {}
    arrange = _arrangement(model, inputs, parameters)

    def function(**tensors: Any) -> Any:
        positional, named = arrange(tensors)
        return model(*positional, **named, **extra)

    return function


Arrangement = Callable[[Mapping[str, Any]], tuple[Sequence[Any], Mapping[str, Any]]]


def _arrangement(model: Any, inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> Arrangement:
    """How tensors by name become the arguments of the model."""
    if getattr(model, "inputs", None) and hasattr(model, "input"):
        return _graph_arrangement(model, inputs)
    if len(inputs) == 1:
        return lambda tensors: (tuple(tensors.values()), {})
    if all(name in parameters for name in inputs):
        return lambda tensors: ((), tensors)
    return lambda tensors: ((dict(tensors),), {})


def _graph_arrangement(model: Any, inputs: Mapping[str, Any]) -> Arrangement:
    import keras

    known = _named_inputs(model)
    if len(inputs) == len(known) == 1:
        return lambda tensors: ((keras.tree.pack_sequence_as(model.input, list(tensors.values())),), {})
    optional = {name for name, tensor in known.items() if _is_optional(tensor)}
    unknown, missing = set(inputs) - set(known), set(known) - set(inputs) - optional
    if unknown or missing:
        raise TraceError(
            f"the declared inputs are {', '.join(inputs)}, those of the Keras model {', '.join(known)}",
            hint="declare them under the model's names, or leave `inputs` out",
        )
    ordered = list(known)
    return lambda tensors: ((keras.tree.pack_sequence_as(model.input, [tensors.get(name) for name in ordered]),), {})


def _named_inputs(model: Any) -> dict[str, Any]:
    """Every symbolic input under a name that a signature can have, in the order of Keras' own flattening."""
    given = [tensor.name for tensor in model.inputs]
    struct = getattr(model, "input", None) if hasattr(model, "input") else None
    if isinstance(struct, Mapping) and len(struct) == len(given):
        # A dict's keys are what callers use; the tensors below may be called otherwise.
        given = sorted(struct)
    names = [safe_name(name) for name in given]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise TraceError(
            f"two inputs of the Keras model are named '{twice}'", hint="name each: keras.Input(..., name=...)"
        )
    return dict(zip(names, model.inputs, strict=True))


def _spec(model: Any, tensor: Any) -> Any:
    import tensorflow as tf

    shape = tuple(tensor.shape)
    if _has_borrowed_batch(model):
        shape = (None, *shape[1:])
    if getattr(tensor, "sparse", False):
        return tf.SparseTensorSpec(shape, tensor.dtype)
    if getattr(tensor, "ragged", False):
        return tf.RaggedTensorSpec(shape, tensor.dtype, getattr(tensor, "ragged_rank", None) or 1)
    return TensorSpec(tensor.dtype, shape)


def _has_borrowed_batch(model: Any) -> bool:
    """A Sequential without an Input takes the size of the first batch it saw for its own."""
    import keras

    return isinstance(model, keras.Sequential) and not any(getattr(layer, "stateful", False) for layer in model.layers)


def _is_optional(tensor: Any) -> bool:
    history = getattr(tensor, "_keras_history", None)
    return bool(getattr(getattr(history, "operation", None), "optional", False))


def _is_shape(found: Any) -> bool:
    return isinstance(found, list | tuple) and all(dim is None or isinstance(dim, int) for dim in found)
