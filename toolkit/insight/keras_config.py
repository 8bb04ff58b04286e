"""Judges what a Keras model's configuration would have Keras make: by a list of what is allowed."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from toolkit.insight.bounds import Budget, printable
from toolkit.insight.inspection import Call, Finding, Tensor
from toolkit.insight.places import place_of

# Modules whose classes hold settings or compute. `keras.utils` and `keras.config` are left out on purpose: a file that
# names `keras.utils.get_file` or `keras.config.enable_unsafe_deserialization` as a class has had Keras call it.
_PARTS = frozenset({"initializers", "regularizers", "constraints", "losses", "metrics", "dtype_policies", "quantizers"})
_PARTS_ALSO = frozenset({"optimizers", "schedules"})
_NEVER = frozenset({"utils", "config", "saving", "export", "trainers"})
# What Keras names by `keras` alone.
_TOP = frozenset({"Sequential", "Model", "Functional", "DTypePolicy", "DTypePolicyMap", "Variable", "InputLayer"})
_COMPUTES = frozenset({"layers", "models", "ops", "activations", "random"})
_ALLOWED = _PARTS | _PARTS_ALSO | _COMPUTES
_RUNS = {
    "Lambda": "runs Python: its code is in the file",
    "__lambda__": "runs Python: its code is in the file",
    "TorchModuleWrapper": "runs Python: it unpickles a module of PyTorch",
    "TFSMLayer": "reads files: it loads a SavedModel from a place that the file names",
    "JaxLayer": "runs Python: it calls a function that the file names",
    "FlaxLayer": "runs Python: it calls a module that the file names",
}
# Keras' own marks for values that JSON does not have.
_VALUES = frozenset(
    f"__{name}__" for name in ("keras_tensor", "tensor", "numpy", "bytes", "ellipsis", "slice", "tuple", "typespec")
)
_NEITHER = "is not Keras' own: whatever is registered by that name would run"


@dataclass
class Configured:
    """What a configuration names.

    Args:
        layers: class to how often.
        findings: what is not allowed, and places on a machine.
        places: (place, where).
    """

    layers: Counter[str] = field(default_factory=Counter)
    findings: dict[str, Finding] = field(default_factory=dict)
    places: list[tuple[str, str]] = field(default_factory=list)


def judge(config: Any, budget: Budget) -> Configured:
    """Every object that the configuration names, however deep; nothing is made."""
    found = Configured()
    waiting: list[tuple[Any, str]] = [(config, "")]
    while waiting:
        value, place = waiting.pop()
        budget.take()
        if isinstance(value, dict):
            place = _below(place, value)
            _object(value, place, found)
            waiting += [(item, place) for item in value.values()]
        elif isinstance(value, list):
            waiting += [(item, place) for item in value]
        elif isinstance(value, str) and (named := place_of(value)):
            found.places.append((named, place))
    return found


def _below(place: str, value: dict[str, Any]) -> str:
    """The names of the objects on the way to this one."""
    config = value.get("config")
    name = config.get("name") if isinstance(config, dict) else None
    name = name if isinstance(name, str) else value.get("name") if "class_name" in value else None
    if not isinstance(name, str) or place.endswith(f"/{name}") or place == name or len(place) > 1000:
        return place
    return f"{place}/{printable(name)}" if place else printable(name)


def _object(value: dict[str, Any], place: str, found: Configured) -> None:
    kind, config = value.get("class_name"), value.get("config")
    if not isinstance(kind, str) or kind in _VALUES or "config" not in value:
        return
    module = value.get("module")
    parts = module.split(".") if isinstance(module, str) else []
    own = parts[:1] == ["keras"] and kind[:1].isupper() and (bool(set(parts) & _ALLOWED) or kind in _TOP)
    if kind in _RUNS:
        wrong: str | None = _RUNS[kind]
    else:
        wrong = None if own and not set(parts) & _NEVER else _NEITHER
    if not set(parts) & (_PARTS | _PARTS_ALSO) and not kind.startswith("__") and kind != "DTypePolicy":
        found.layers[printable(kind)] += 1
    if wrong:
        named = value.get("registered_name") or (f"{config}" if isinstance(config, str) else kind)
        what = kind if kind in _RUNS else f"{printable(str(named))}{f' of {printable(str(module))}' if module else ''}"
        found.findings.setdefault(f"{place} {wrong}", Finding("unsafe", f"{what} {wrong}", place))
    vocabulary = config.get("vocabulary") if isinstance(config, dict) else None
    if isinstance(vocabulary, str):
        what = f"{printable(kind)} reads files: its vocabulary is {printable(vocabulary)}"
        found.findings[f"{place} vocabulary"] = Finding("unsafe", what, place)


def call_of(config: Any) -> Call | None:
    """The inputs that the configuration declares; outputs by name alone, for their shapes only running would tell."""
    model = config.get("config") if isinstance(config, dict) else None
    layers = model.get("layers") if isinstance(model, dict) else None
    if not isinstance(model, dict) or not isinstance(layers, list):
        return None
    inputs = {layer["config"].get("name"): _tensor(layer["config"]) for layer in layers if _is_input(layer)}
    given = model.get("input_layers")
    named = dict(_named(given)) if given else {name: name for name in inputs}
    tensors = {printable(name): inputs[layer] for name, layer in named.items() if layer in inputs}
    outputs = {printable(name): Tensor("unknown", None) for name, _ in _named(model.get("output_layers"))}
    return Call(tensors, outputs) if tensors else None


def _is_input(layer: Any) -> bool:
    if not isinstance(layer, dict) or layer.get("class_name") != "InputLayer":
        return False
    return isinstance(layer.get("config"), dict) and isinstance(layer["config"].get("name"), str)


def _tensor(config: dict[str, Any]) -> Tensor:
    shape, dtype = config.get("batch_shape"), config.get("dtype")
    dims = (
        tuple(dim if isinstance(dim, int) and dim >= 0 else None for dim in shape) if isinstance(shape, list) else None
    )
    return Tensor(printable(dtype) if isinstance(dtype, str) else "unknown", dims)


def _named(given: Any) -> Iterator[tuple[str, str]]:
    """(name, layer) of `["x", 0, 0]`, of a list of such, or of a mapping from names to such."""
    if isinstance(given, dict):
        for name, value in given.items():
            yield from ((name, layer) for _, layer in _named(value))
    elif isinstance(given, list) and given and isinstance(given[0], str):
        yield given[0], given[0]
    elif isinstance(given, list):
        for value in given:
            if isinstance(value, list) and value and isinstance(value[0], str):
                yield value[0], value[0]
