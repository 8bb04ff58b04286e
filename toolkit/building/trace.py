"""Turns a built model into concrete functions with flat named inputs and named outputs, each signature traced once."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit.building.calling import Call, calls_of, restored_calls
from toolkit.building.load import Built, first_line, own_frame
from toolkit.building.samples import sampler_of
from toolkit.core.model import ModelSpec, Predict, TracedModel, TraceFacts
from toolkit.core.tensors import Array, Feed, Outputs, Signature, TensorSpec, dtype_name
from toolkit.errors import ToolkitError, TraceError
from toolkit.graphs.census import count_ops
from toolkit.graphs.side_effects import side_effects_of


@dataclass
class _Counter:
    traces: int = 0


def trace_model(spec: ModelSpec, built: Built) -> TracedModel:
    """The model as a TracedModel.

    Raises:
        TraceError: the inputs are not known or do not fit, or the model's own code raises while it is traced.
    """
    calls = restored_calls(spec, built.model) if built.restored else calls_of(spec, built.model)
    counter = _Counter()
    functions: dict[str, Any] = {}
    started = time.perf_counter()
    for name, call in calls.items():
        _create_variables(spec, name, call)
        functions[name] = _trace(spec, name, call, counter)
    seconds = time.perf_counter() - started
    signatures = {name: _signature(call, functions[name]) for name, call in calls.items()}
    effects = () if built.restored else side_effects_of(built.model, [call.function for call in calls.values()])
    return TracedModel(
        spec=spec,
        signatures=signatures,
        functions=functions,
        owner=built.model,
        eager={name: _eager(call, signatures[name]) for name, call in calls.items()},
        facts=TraceFacts(counter.traces, seconds, sum(map(count_ops, functions.values())), effects),
        samples={name: sampler_of(spec, name, call) for name, call in calls.items()},
        baseline="restored" if built.restored else "eager",
    )


def _create_variables(spec: ModelSpec, name: str, call: Call) -> None:
    """Calls a model that makes its variables on its first call, so that tracing it makes none and happens once."""
    owner = getattr(call.function, "__self__", None) or _closed_over(call.function)
    if owner is None or getattr(owner, "built", True):
        return
    import tensorflow as tf

    feed = sampler_of(spec, name, call)(1, 0)
    try:
        call({key: tf.constant(value) for key, value in feed.items()})
    except Exception as error:  # runs the user's code
        raise _trace_error(spec, name, call, error) from error


def _closed_over(function: Any) -> Any:
    cells = getattr(function, "__closure__", None) or ()
    return next((cell.cell_contents for cell in cells if hasattr(cell.cell_contents, "built")), None)


def _trace(spec: ModelSpec, name: str, call: Call, counter: _Counter) -> Any:
    import tensorflow as tf

    def serve(**tensors: Any) -> dict[str, Any]:
        counter.traces += 1
        outputs = call(tensors)
        if not outputs:
            raise TraceError(f"signature '{name}' of '{spec.name}' returns nothing", hint="return tensors")
        return {key: tf.identity(tf.convert_to_tensor(value), name=key) for key, value in outputs.items()}

    specs = {key: tf.TensorSpec(part.shape, part.dtype, name=key) for key, part in call.flat_inputs.items()}
    try:
        return tf.function(serve).get_concrete_function(**specs)
    except ToolkitError:
        raise
    except Exception as error:  # tracing runs the user's code, which can raise anything
        raise _trace_error(spec, name, call, error) from error


def _trace_error(spec: ModelSpec, name: str, call: Call, error: Exception) -> TraceError:
    declared = ", ".join(f"{key}: {part}" for key, part in call.flat_inputs.items())
    return TraceError(
        f"signature '{name}' of '{spec.name}' cannot be traced with {declared}: {first_line(error)}",
        hint=f"do the declared inputs fit the model? see {own_frame(error)}",
    )


def _signature(call: Call, function: Any) -> Signature:
    found = function.structured_outputs
    outputs = {key: TensorSpec(dtype_name(tensor.dtype), _shape(tensor.shape)) for key, tensor in found.items()}
    return Signature(call.flat_inputs, outputs, call.method)


def _shape(shape: Any) -> tuple[int | None, ...] | None:
    return None if shape.rank is None else tuple(shape.as_list())


def _eager(call: Call, signature: Signature) -> Predict:
    def predict(feed: Feed) -> Outputs:
        import tensorflow as tf

        specs: Mapping[str, TensorSpec] = signature.inputs
        tensors = {key: tf.constant(value, specs[key].dtype) for key, value in feed.items()}
        return {key: to_numpy(value) for key, value in call(tensors).items()}

    return predict


def to_numpy(value: Any) -> Array:
    """A tensor's value; strings as an object array of bytes, whatever their rank."""
    import tensorflow as tf

    array = tf.convert_to_tensor(value).numpy()
    if isinstance(array, bytes | str):
        scalar = np.empty((), dtype=object)
        scalar[()] = array.encode() if isinstance(array, str) else array
        return scalar
    return np.asarray(array)
