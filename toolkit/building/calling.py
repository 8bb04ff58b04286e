"""How a built model is called with flat named tensors, and how what it returns becomes flat named outputs."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from toolkit.building import keras_models
from toolkit.building.structure import dims, flatten, pack, parts, safe_name
from toolkit.core.model import DEFAULT_SIGNATURE, ModelSpec
from toolkit.core.tensors import Signature, TensorSpec, dtype_name
from toolkit.errors import TraceError, nearest


@dataclass(frozen=True)
class Call:
    """One way into a built model.

    Args:
        inputs: the declared names with toolkit's or TensorFlow's specs, or lists and dicts of such.
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
        return {name: part for key, spec in self.inputs.items() for name, part in parts(key, spec).items()}

    def __call__(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """Flat outputs for flat tensors."""
        return self.name(self.function(**self.pack(tensors)))

    def pack(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """The declared inputs from the flat tensors that stand for them."""
        return {key: pack(key, spec, tensors) for key, spec in self.inputs.items()}

    def name(self, result: Any) -> dict[str, Any]:
        """What the function returned, as flat named outputs."""
        return flatten(result, self.output_names)


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
        _check_names(spec, name, call)
    return calls


def restored_calls(spec: ModelSpec, model: Any) -> dict[str, Call]:
    """The signatures of a restored SavedModel, as they were saved; a spec may leave some out.

    Raises:
        TraceError: the spec declares signatures or inputs that were not saved.
    """
    saved = {name: function for name, function in model.signatures.items() if not name.startswith("__")}
    wanted = list(spec.signatures or saved)
    missing = next((name for name in wanted if name not in saved), None)
    if missing is not None:
        raise TraceError(
            f"model '{spec.name}' was saved without a signature '{missing}'", hint=nearest(missing, list(saved))
        )
    calls = {name: Call(_saved_inputs(saved[name]), saved[name]) for name in wanted}
    for name, call in calls.items():
        declared = spec.signatures[name].inputs if spec.signatures else spec.inputs
        if declared and set(declared) != set(call.inputs):
            raise TraceError(
                f"'{name}' of '{spec.name}' was saved with inputs {', '.join(call.inputs)}, not {', '.join(declared)}",
                hint="declare those, or leave `inputs` out",
            )
    return calls


def _saved_inputs(function: Any) -> dict[str, TensorSpec]:
    named = function.structured_input_signature[1]
    return {key: TensorSpec(dtype_name(part.dtype), dims(part.shape)) for key, part in named.items()}


def _call(spec: ModelSpec, model: Any, signature: Signature) -> Call:
    if isinstance(signature.call, str):
        return Call(signature.inputs, _method(spec, model, signature.call), method=signature.method)
    if signature.call is not None:
        chosen = signature.call
        return Call(signature.inputs, lambda **tensors: chosen(model, **tensors), method=signature.method)
    if keras_models.is_keras(model):
        function = keras_models.caller(model, signature.inputs)
        return Call(signature.inputs, function, keras_models.output_names(model), signature.method)
    if not callable(model):
        raise TraceError(
            f"model '{spec.name}' is a {type(model).__name__}, which cannot be called",
            hint="give it a __call__, or name a method: Signature(..., call='serve')",
        )
    return Call(signature.inputs, model, method=signature.method)


def _method(spec: ModelSpec, model: Any, name: str) -> Callable[..., Any]:
    method = getattr(model, name, None)
    if callable(method):
        return method
    own = [key for key in dir(model) if not key.startswith("_") and key in vars(type(model))]
    raise TraceError(f"model '{spec.name}' has no method '{name}'", hint=nearest(name, own))


def _own_inputs(spec: ModelSpec, model: Any) -> dict[str, Any]:
    found = keras_models.own_inputs(model) if keras_models.is_keras(model) else _declared_by_tensorflow(model)
    if found:
        return found
    raise TraceError(
        f"nothing says what the inputs of model '{spec.name}' are",
        hint='declare them: ModelSpec(..., inputs={"image": TensorSpec("float32", (None, 28, 28))})',
    )


def _declared_by_tensorflow(model: Any) -> dict[str, Any]:
    """The input_signature of a tf.function, or of the __call__ of a tf.Module."""
    # A tf.function has a __call__ too, but the signature is its own.
    function = model if hasattr(model, "input_signature") or not callable(model) else model.__call__
    specs = getattr(function, "input_signature", None)
    if not specs:
        return {}
    names = [name for name in inspect.signature(function.python_function).parameters if name != "self"]
    return dict(zip(names, specs, strict=False))


def _check_names(spec: ModelSpec, signature: str, call: Call) -> None:
    names = [name for key, part in call.inputs.items() for name in parts(key, part)]
    for name in names:
        if name != safe_name(name):
            raise TraceError(
                f"input '{name}' of '{spec.name}' ({signature}) cannot name a tensor",
                hint=f"call it '{safe_name(name)}'",
            )
        if names.count(name) > 1:
            raise TraceError(f"two inputs of '{spec.name}' ({signature}) are named '{name}'", hint="rename one")
