"""Turns structured inputs and outputs (nested, ragged, sparse) into flat named dense tensors, and inputs back."""

import dataclasses
import keyword
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from toolkit.core.tensors import TensorSpec, dtype_name
from toolkit.errors import TraceError

_UNSAFE = re.compile(r"\W", re.ASCII)


def parts(key: str, spec: Any) -> dict[str, TensorSpec]:
    """The dense tensors that stand for one declared input: its own name, or NAME_values and the like."""
    if isinstance(spec, TensorSpec):
        return {key: spec}
    if isinstance(spec, Mapping | list | tuple):
        return _merged(parts(inner, part) for inner, part in _members(key, spec))
    import tensorflow as tf

    names = _COMPOSITES.get(type(spec).__name__)
    if names is None and not isinstance(spec, tf.TensorSpec):
        raise TraceError(f"input '{key}' is declared as {type(spec).__name__}", hint="use toolkit.TensorSpec")
    components = tf.nest.flatten(spec, expand_composites=True)
    dense = [TensorSpec(dtype_name(part.dtype), dims(part.shape)) for part in components]
    return dict(zip(names(key, spec) if names else [key], dense, strict=True))


def pack(key: str, spec: Any, tensors: Mapping[str, Any]) -> Any:
    """The declared input, made again from its dense tensors."""
    if isinstance(spec, Mapping):
        packed = (pack(inner, part, tensors) for inner, part in _members(key, spec))
        return dict(zip(spec, packed, strict=True))
    if isinstance(spec, list | tuple):
        made = [pack(inner, part, tensors) for inner, part in _members(key, spec)]
        return made if isinstance(spec, list) else type(spec)(*made) if hasattr(spec, "_fields") else tuple(made)
    found = [tensors[name] for name in parts(key, spec)]
    if type(spec).__name__ not in _COMPOSITES:
        return found[0]
    import tensorflow as tf

    return tf.nest.pack_sequence_as(spec, found, expand_composites=True)


def flatten(result: Any, names: tuple[str, ...] = ()) -> dict[str, Any]:
    """Whatever a model returns, as named dense tensors: dict keys, field names, Keras' output names, else output_N.

    Raises:
        TraceError: two of them have one name.
    """
    if isinstance(result, Mapping):
        named = [(str(key), value) for key, value in result.items()]
    elif isinstance(result, tuple) and hasattr(result, "_fields"):
        named = list(zip(result._fields, result, strict=True))
    elif dataclasses.is_dataclass(result) and not isinstance(result, type):
        named = [(field.name, getattr(result, field.name)) for field in dataclasses.fields(result)]
    elif isinstance(result, list | tuple):
        given = names if len(names) == len(result) == len(set(names)) else ()
        named = [(given[at] if given else f"output_{at}", value) for at, value in enumerate(result)]
    else:
        named = [(names[0] if len(names) == 1 else "output_0", result)]
    return _merged(_dense(key, value) for key, value in named)


def dims(shape: Any) -> tuple[int | None, ...] | None:
    """A tf.TensorShape as toolkit's."""
    return None if shape.rank is None else tuple(shape.as_list())


def safe_name(name: str) -> str:
    """The nearest name that tensors, files and Python arguments can all have."""
    safe = _UNSAFE.sub("_", name)
    if keyword.iskeyword(safe) or safe == "self":
        return f"{safe}_"
    return safe if safe.isidentifier() and not safe.startswith("_") else f"input_{safe.lstrip('_')}"


def op_name(name: str) -> str:
    """The nearest name that an op of a graph can have; outputs keep theirs."""
    safe = re.sub(r"[^A-Za-z0-9_.]", "_", name)
    return safe if re.match(r"[A-Za-z0-9.]", safe) else f"output_{safe.lstrip('_')}"


def _dense(key: str, value: Any) -> dict[str, Any]:
    import tensorflow as tf

    if value is None:
        return {}
    if isinstance(value, tf.RaggedTensor):
        names = _ragged_names(key, value)
        return dict(zip(names, (value.flat_values, *value.nested_row_splits), strict=True))
    if isinstance(value, tf.SparseTensor):
        return dict(zip(_sparse_names(key, value), (value.indices, value.values, value.dense_shape), strict=True))
    if isinstance(value, Mapping | list | tuple):
        return _merged(_dense(inner, part) for inner, part in _members(key, value))
    return {key: value}


def _members(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """`NAME_KEY` of a dict, `NAME_FIELD` of a named tuple, `NAME_0` of a list."""
    if isinstance(value, Mapping):
        inner: Any = value.items()
    elif hasattr(value, "_fields"):
        inner = zip(value._fields, value, strict=True)
    else:
        inner = enumerate(value)
    return ((f"{key}_{name}", part) for name, part in inner)


def _merged(found: Iterator[Mapping[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for some in found:
        for name, value in some.items():
            if name in merged:
                raise TraceError(f"two tensors are named '{name}'", hint="rename one of them")
            merged[name] = value
    return merged


def _ragged_names(key: str, spec: Any) -> list[str]:
    rank = spec.ragged_rank
    splits = [f"{key}_row_splits"] if rank == 1 else [f"{key}_row_splits_{at}" for at in range(rank)]
    return [f"{key}_values", *splits]


def _sparse_names(key: str, _: Any) -> list[str]:
    return [f"{key}_indices", f"{key}_values", f"{key}_dense_shape"]


_COMPOSITES: Mapping[str, Callable[[str, Any], list[str]]] = {
    "RaggedTensorSpec": _ragged_names,
    "SparseTensorSpec": _sparse_names,
}
