"""Turns a built model into concrete functions with flat named inputs and named outputs, each signature traced once."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import CellType
from typing import Any

import numpy as np

from toolkit.building.blame import first_line, own_frame
from toolkit.building.calling import Call, calls_of, restored_calls
from toolkit.building.load import Built
from toolkit.building.samples import sampler_of
from toolkit.building.structure import dims, op_name
from toolkit.core.model import ModelSpec, Predict, TracedModel, TraceFacts
from toolkit.core.tensors import Array, Feed, Outputs, Signature, TensorSpec, dtype_name
from toolkit.errors import ToolkitError, TraceError
from toolkit.graphs.census import count_ops
from toolkit.graphs.side_effects import side_effects_of

_EMPTY_CELL = CellType()  # equal to every other cell that holds nothing yet


@dataclass
class _Counter:
    traces: int = 0


class _CreatesVariables(Exception):  # noqa: N818  # not an error: how a first look at the model ends
    """Tracing has come to a variable that is not there yet."""


def trace_model(spec: ModelSpec, built: Built) -> TracedModel:
    """The model as a TracedModel.

    Raises:
        TraceError: the inputs are not known or do not fit, or the model's own code raises while it is traced.
    """
    calls = _calls(spec, built)
    counter = _Counter()
    callables: dict[str, Any] = {}
    functions: dict[str, Any] = {}
    started = time.perf_counter()
    for name, call in calls.items():
        if _unbuilt(call, built.model):
            _call_once(spec, name, call)
        callables[name], functions[name] = _trace(spec, name, call, counter)
    seconds = time.perf_counter() - started
    signatures = {name: _signature(call, functions[name]) for name, call in calls.items()}
    effects = () if built.restored else side_effects_of(built.model, [call.function for call in calls.values()])
    return TracedModel(
        spec=spec,
        signatures=signatures,
        functions=functions,
        owner=built.model,
        eager={name: _eager(call, signatures[name]) for name, call in calls.items()},
        callables=callables,
        facts=TraceFacts(counter.traces, seconds, sum(map(count_ops, functions.values())), effects),
        samples={name: sampler_of(spec, name, call) for name, call in calls.items()},
        baseline="restored" if built.restored else "eager",
    )


def _calls(spec: ModelSpec, built: Built) -> dict[str, Call]:
    named = any(signature.call is not None for signature in (spec.signatures or {}).values())
    return restored_calls(spec, built.model) if built.restored and not named else calls_of(spec, built.model)


def _unbuilt(call: Call, model: Any) -> bool:
    """Whether a Keras model is behind the call that has no variables yet."""
    cells = getattr(call.function, "__closure__", None) or ()
    held = [cell.cell_contents for cell in cells if cell != _EMPTY_CELL]
    owners = (model, getattr(call.function, "__self__", None), *held)
    return not all(getattr(owner, "built", True) for owner in owners)


def _call_once(spec: ModelSpec, name: str, call: Call) -> None:
    """Lets a model make the variables that it makes on its first call, outside of any graph."""
    import tensorflow as tf

    feed = sampler_of(spec, name, call)(1, 0)
    try:
        call({key: tf.constant(value, call.flat_inputs[key].dtype) for key, value in feed.items()})
    except ToolkitError:
        raise
    except Exception as error:  # runs the user's code
        raise _trace_error(spec, name, call, error) from error


def _trace(spec: ModelSpec, name: str, call: Call, counter: _Counter) -> tuple[Any, Any]:
    """The tf.function and its concrete function; a model that makes variables on its first call is called first."""
    try:
        return _traced(spec, name, call, counter)
    except _CreatesVariables:
        _call_once(spec, name, call)
    try:
        return _traced(spec, name, call, counter)
    except _CreatesVariables as error:
        raise TraceError(
            f"signature '{name}' of '{spec.name}' makes new variables on every call",
            hint=f"make them in __init__, or only where there are none yet; see {own_frame(error)}",
        ) from error


def _traced(spec: ModelSpec, name: str, call: Call, counter: _Counter) -> tuple[Any, Any]:
    import tensorflow as tf

    # AutoGraph is for the user's code: converting ours as well was nine tenths of a small model's trace.
    @tf.autograph.experimental.do_not_convert
    def named(result: Any) -> dict[str, Any]:
        outputs = call.name(result)
        counter.traces += 1
        if not outputs:
            raise TraceError(f"signature '{name}' of '{spec.name}' returns nothing", hint="return tensors")
        return {key: tf.identity(tf.convert_to_tensor(value), name=op_name(key)) for key, value in outputs.items()}

    packed, function = tf.autograph.experimental.do_not_convert(call.pack), call.function

    def serve(**tensors: Any) -> dict[str, Any]:
        # tf.function would trace such a model a second time to get rid of the variables in its graph.
        with tf.variable_creator_scope(_stop_at_variable):
            result = function(**packed(tensors))
        return named(result)

    specs = {key: tf.TensorSpec(part.shape, part.dtype, name=key) for key, part in call.flat_inputs.items()}
    try:
        function_of_shapes = tf.function(serve)
        return function_of_shapes, function_of_shapes.get_concrete_function(**specs)
    except (ToolkitError, _CreatesVariables):
        raise
    except Exception as error:  # tracing runs the user's code, which can raise anything
        # AutoGraph raises an error of another class in place of one that passes through converted code.
        raise _own_error(error) or _trace_error(spec, name, call, error) from error


def _own_error(error: BaseException) -> ToolkitError | None:
    before = error.__context__
    return before if before is None or isinstance(before, ToolkitError) else _own_error(before)


def _stop_at_variable(_creator: Any, **_: Any) -> Any:
    raise _CreatesVariables


def _trace_error(spec: ModelSpec, name: str, call: Call, error: Exception) -> TraceError:
    declared = ", ".join(f"{key}: {part}" for key, part in call.flat_inputs.items())
    return TraceError(
        f"signature '{name}' of '{spec.name}' cannot be traced with {declared}: {first_line(error)}",
        hint=f"do the declared inputs fit the model? see {own_frame(error)}",
    )


def _signature(call: Call, function: Any) -> Signature:
    found = function.structured_outputs
    outputs = {key: TensorSpec(dtype_name(tensor.dtype), dims(tensor.shape)) for key, tensor in found.items()}
    return Signature(call.flat_inputs, outputs, call.method)


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
