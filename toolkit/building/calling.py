"""How a built model is called with flat named tensors, and how what it returns becomes flat named outputs."""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from toolkit.core.model import DEFAULT_SIGNATURE, ModelSpec
from toolkit.core.tensors import Signature, TensorSpec, dtype_name
from toolkit.errors import TraceError

_UNSAFE = re.compile(r"\W")


@dataclass(frozen=True)
class Call:
    """One way into a built model.

    Args:
        inputs: the declared names with toolkit's or TensorFlow's specs.
        function: the declared tensors by name -> whatever the model returns.
        output_names: names for what comes back without any.
        method: predict, classify or regress.
    """

    inputs: Mapping[str, Any]
    function: Callable[..., Any]
    output_names: tuple[str, ...] = ()
    method: str = "predict"

    @property
    def flat_inputs(self) -> dict[str, TensorSpec]:
        """The dense tensors that are fed: a composite's parts in its place."""
        return {name: part for key, spec in self.inputs.items() for name, part in _parts(key, spec).items()}

    def __call__(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """Flat outputs for flat tensors."""
        packed = {key: _pack(key, spec, tensors) for key, spec in self.inputs.items()}
        return flatten(self.function(**packed), self.output_names)


def calls_of(spec: ModelSpec, model: Any) -> dict[str, Call]:
    """Every signature that a spec declares, or that the built model says of itself.

    Raises:
        TraceError: nothing says what the inputs are, a name is no identifier, or a method is missing.
    """
    declared = spec.signatures or ({DEFAULT_SIGNATURE: Signature(spec.inputs)} if spec.inputs else None)
    if declared is None:
        declared = {DEFAULT_SIGNATURE: Signature(_own_inputs(spec, model))}
    calls = {name: _call(spec, model, signature) for name, signature in declared.items()}
    for name, call in calls.items():
        _check_names(spec, name, list(call.flat_inputs))
    return calls


def restored_calls(spec: ModelSpec, model: Any) -> dict[str, Call]:
    """The signatures of a restored SavedModel, as they were saved; a spec may leave some out."""
    calls = {}
    for name, function in model.signatures.items():
        if name.startswith("__") or (spec.signatures is not None and name not in spec.signatures):
            continue
        keyword_specs = function.structured_input_signature[1]
        inputs = {key: TensorSpec(dtype_name(part.dtype), _dims(part.shape)) for key, part in keyword_specs.items()}
        calls[name] = Call(inputs, function)
    if not calls:
        raise TraceError(f"model '{spec.name}' has no such signatures", hint=f"it has {', '.join(model.signatures)}")
    return calls


def flatten(result: Any, names: tuple[str, ...] = ()) -> dict[str, Any]:
    """Whatever a model returns, as named dense tensors: dict keys, field names, Keras' output names, else output_N."""
    import tensorflow as tf

    if isinstance(result, Mapping):
        named = {str(key): value for key, value in result.items()}
    elif isinstance(result, tuple) and hasattr(result, "_fields"):
        named = dict(zip(result._fields, result, strict=True))
    elif isinstance(result, list | tuple):
        given = names if len(names) == len(result) == len(set(names)) else ()
        named = {given[at] if given else f"output_{at}": value for at, value in enumerate(result)}
    else:
        named = {names[0] if len(names) == 1 else "output_0": result}
    flat: dict[str, Any] = {}
    for key, value in named.items():
        label = _UNSAFE.sub("_", key)
        if isinstance(value, tf.RaggedTensor):
            flat[f"{label}_values"] = value.flat_values
            flat.update(zip(_split_names(label, value.ragged_rank), value.nested_row_splits, strict=True))
        elif isinstance(value, tf.SparseTensor):
            sparse = (value.indices, value.values, value.dense_shape)
            flat.update(zip((f"{label}_indices", f"{label}_values", f"{label}_dense_shape"), sparse, strict=True))
        elif isinstance(value, Mapping | list | tuple):
            flat.update({f"{label}_{inner}": part for inner, part in flatten(value).items()})
        elif value is not None:
            flat[label] = value
    return flat


def _call(spec: ModelSpec, model: Any, signature: Signature) -> Call:
    if isinstance(signature.call, str):
        method = getattr(model, signature.call, None)
        if not callable(method):
            public = [name for name in dir(model) if not name.startswith("_")]
            raise TraceError(
                f"model '{spec.name}' has no method '{signature.call}'",
                hint=f"its own are {', '.join(public[:8])}, ...",
            )
        return Call(signature.inputs, method, method=signature.method)
    if signature.call is not None:
        chosen = signature.call
        return Call(signature.inputs, lambda **tensors: chosen(model, **tensors), method=signature.method)
    if _is_keras(model):
        return _keras_call(model, signature)
    if not callable(model):
        raise TraceError(
            f"model '{spec.name}' is a {type(model).__name__}, which cannot be called",
            hint="give it a __call__, or name a method: Signature(..., call='serve')",
        )
    return Call(signature.inputs, model, method=signature.method)


def _keras_call(model: Any, signature: Signature) -> Call:
    single = len(signature.inputs) == 1
    # A layer's own `call` may not know `training`; a Keras model always gets it, since dropout must stay off.
    accepts = "training" in inspect.signature(model.call).parameters or hasattr(model, "output_names")
    extra = {"training": False} if accepts else {}

    def function(**tensors: Any) -> Any:
        return model(next(iter(tensors.values())) if single else tensors, **extra)

    names = tuple(_UNSAFE.sub("_", name) for name in getattr(model, "output_names", None) or ())
    return Call(signature.inputs, function, names, signature.method)


def _own_inputs(spec: ModelSpec, model: Any) -> dict[str, Any]:
    if _is_keras(model) and getattr(model, "inputs", None):
        return {_UNSAFE.sub("_", tensor.name): _keras_spec(tensor) for tensor in model.inputs}
    function = model if hasattr(model, "input_signature") else getattr(model, "__call__", None)  # noqa: B004  # a tf.function has more
    specs = getattr(function, "input_signature", None)
    if specs:
        names = [name for name in inspect.signature(function.python_function).parameters if name != "self"]
        return dict(zip(names, specs, strict=False))
    raise TraceError(
        f"nothing says what the inputs of model '{spec.name}' are",
        hint='declare them: ModelSpec(..., inputs={"image": TensorSpec("float32", (None, 28, 28))})',
    )


def _keras_spec(tensor: Any) -> Any:
    import tensorflow as tf

    if getattr(tensor, "sparse", False):
        return tf.SparseTensorSpec(tensor.shape, tensor.dtype)
    return TensorSpec(tensor.dtype, tuple(tensor.shape))


def _is_keras(model: Any) -> bool:
    import keras

    return isinstance(model, keras.layers.Layer)


def _check_names(spec: ModelSpec, signature: str, names: list[str]) -> None:
    for name in names:
        if not name.isidentifier():
            raise TraceError(
                f"input '{name}' of '{spec.name}' ({signature}) cannot name a tensor",
                hint=f"call it '{_UNSAFE.sub('_', name)}'",
            )
        if names.count(name) > 1:
            raise TraceError(f"two inputs of '{spec.name}' ({signature}) are named '{name}'", hint="rename one")


def _parts(key: str, spec: Any) -> dict[str, TensorSpec]:
    if isinstance(spec, TensorSpec):
        return {key: spec}
    import tensorflow as tf

    if isinstance(spec, tf.RaggedTensorSpec):
        names = [f"{key}_values", *_split_names(key, spec.ragged_rank)]
    elif isinstance(spec, tf.SparseTensorSpec):
        names = [f"{key}_indices", f"{key}_values", f"{key}_dense_shape"]
    elif isinstance(spec, tf.TensorSpec):
        names = [key]
    else:
        raise TraceError(f"input '{key}' is declared as {type(spec).__name__}", hint="use toolkit.TensorSpec")
    components = tf.nest.flatten(spec, expand_composites=True)
    dense = [TensorSpec(dtype_name(part.dtype), _dims(part.shape)) for part in components]
    return dict(zip(names, dense, strict=True))


def _pack(key: str, spec: Any, tensors: Mapping[str, Any]) -> Any:
    import tensorflow as tf

    parts = [tensors[name] for name in _parts(key, spec)]
    if len(parts) == 1:
        return parts[0]
    return tf.nest.pack_sequence_as(spec, parts, expand_composites=True)


def _split_names(key: str, ragged_rank: int) -> list[str]:
    return [f"{key}_row_splits"] if ragged_rank == 1 else [f"{key}_row_splits_{at}" for at in range(ragged_rank)]


def _dims(shape: Any) -> tuple[int | None, ...] | None:
    return None if shape.rank is None else tuple(shape.as_list())
