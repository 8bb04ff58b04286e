"""Why a tf.function was traced again: which argument of a call fits none of the traces there were, and how.

A call is answered by a trace whose argument types cover its own (TensorFlow's trace types; see
tensorflow.org/guide/function, "Rules of tracing"). So its cause is found against the earlier trace that it fits best:
an argument that changed since the last call, and that some earlier trace already covered, is not to blame.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Kind(Enum):
    """What about an argument makes another trace."""

    VALUE = "value"  # of a Python number, string or bool
    SHAPE = "shape"
    DTYPE = "dtype"
    STRUCTURE = "structure"  # keys of a dict, length of a list, tensor in place of a number
    OBJECT = "object"  # another instance, by identity
    CONTEXT = "context"  # not an argument: the device, the graph or the strategy around the call


# A tensor of another dtype is nearer than a Python number in the tensor's place.
_DISTANCES = {Kind.STRUCTURE: 2, Kind.CONTEXT: 2}


@dataclass(frozen=True)
class Cause:
    """One difference between a call and the earlier trace that it fits best.

    Args:
        argument: as in the signature, with the way into it: `feed['ids']`; empty for the call's context.
    """

    argument: str
    kind: Kind
    before: str
    after: str


@dataclass(frozen=True)
class Known:
    """A trace that a function has: the types of its arguments, and the context it was made in."""

    types: Mapping[str, Any]
    context: Any
    concrete: Any


def known_traces(function: Any) -> list[Known]:
    """The traces of a tf.function, oldest first."""
    found: dict[int, Known] = {}
    for options in (function._variable_creation_config, function._no_variable_creation_config):
        if options is None:
            continue
        # TensorFlow has no public way to list them; both configurations share one cache after the first call.
        for (context, kind), concrete in options.function_cache._primary.items():
            types = {name: parameter.type_constraint for name, parameter in kind.parameters.items()}
            found.setdefault(id(concrete), Known(types, context.context, concrete))
    return list(found.values())


def types_of(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """The trace type of each argument of a call, as TensorFlow looks them up."""
    from tensorflow.python.eager.polymorphic_function import function_type_utils as types

    kind = function.function_type
    bound = types.canonicalize_function_inputs(args, kwargs, kind, function._default_values)
    found, _ = types.make_canonicalized_monomorphic_type(bound.args, bound.kwargs, {}, kind)
    return {name: parameter.type_constraint for name, parameter in found.parameters.items()}


def context_now() -> Any:
    """The device, graph and strategy that a call would be made in."""
    from tensorflow.python.eager.polymorphic_function import function_context

    return function_context.make_function_context().context


def causes(types: Mapping[str, Any], context: Any, before: Sequence[Known]) -> list[Cause]:
    """What keeps a call from the earlier trace that it fits best; of equals the newest."""
    candidates = [[*_differences(types, known.types), *_around(context, known.context)] for known in reversed(before)]
    return min(candidates, key=lambda found: sum(_DISTANCES.get(cause.kind, 1) for cause in found), default=[])


def _differences(types: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[Cause]:
    for name, after in types.items():
        if name not in known:
            yield Cause(name, Kind.STRUCTURE, "absent", _text(after))
        else:
            yield from _difference(name, known[name], after)
    for name in known.keys() - types.keys():
        yield Cause(name, Kind.STRUCTURE, _text(known[name]), "absent")


def _difference(argument: str, before: Any, after: Any) -> Iterator[Cause]:
    if after.is_subtype_of(before):
        return
    old, new = parts_of(before), parts_of(after)
    if type(before) is type(after) and old is not None and new is not None:
        if old.keys() == new.keys():
            for key in old:
                yield from _difference(f"{argument}[{key!r}]", old[key], new[key])
        else:
            yield Cause(argument, Kind.STRUCTURE, _keys(old), _keys(new))
        return
    for kind in _kinds(before, after):
        yield Cause(argument, kind, _text(before), _text(after))


def parts_of(found: Any) -> Mapping[Any, Any] | None:
    """What a list, tuple or dict holds; None for a leaf."""
    inner = getattr(found, "mapping", getattr(found, "attributes", None))
    if isinstance(inner, Mapping):
        return inner
    held = getattr(found, "components_tuple", found)
    inner = getattr(held, "components", inner)
    return dict(enumerate(inner)) if isinstance(inner, list | tuple) else None


def _kinds(before: Any, after: Any) -> Iterator[Kind]:
    names = type(before).__name__, type(after).__name__
    if names[0] != names[1]:
        yield Kind.STRUCTURE
    elif names[0] == "Literal":
        yield Kind.VALUE
    elif not hasattr(before, "shape") or not hasattr(before, "dtype"):
        yield Kind.OBJECT
    else:
        if before.dtype != after.dtype:
            yield Kind.DTYPE
        if not after.shape.is_subtype_of(before.shape):
            yield Kind.SHAPE


def _keys(parts: Mapping[Any, Any]) -> str:
    if all(isinstance(key, int) for key in parts):
        return f"{len(parts)} elements"
    return ", ".join(map(str, parts))


def _text(found: Any) -> str:
    if hasattr(found, "dtype") and hasattr(found, "shape"):
        dims = ["..."] if found.shape.rank is None else ["?" if dim is None else str(dim) for dim in found.shape]
        return f"{found.dtype.name}[{', '.join(dims)}]"
    if type(found).__name__ == "Literal":
        return f"Python {type(found.value).__name__} {found.value!r}"
    parts = parts_of(found)
    if parts is None:
        return type(found).__name__
    inner = ", ".join(_text(part) if isinstance(key, int) else f"{key}: {_text(part)}" for key, part in parts.items())
    return f"[{inner}]" if all(isinstance(key, int) for key in parts) else f"{{{inner}}}"


def _around(context: Any, before: Any) -> Iterator[Cause]:
    for field in getattr(context, "_fields", ()):
        new, old = getattr(context, field), getattr(before, field, None)
        if new != old:
            yield Cause("", Kind.CONTEXT, f"{field}: {old}"[:80], f"{field}: {new}"[:80])


@contextmanager
def tracing_time() -> Iterator[list[float]]:
    """The seconds that TensorFlow spent building graphs meanwhile, as the list's only element after the block."""
    from tensorflow.python.eager.polymorphic_function import tracing_compilation

    # TensorFlow's own counter, in microseconds: it leaves out the first run, which the time of a call would count.
    cell, seconds = tracing_compilation._graph_building_time_counter.get_cell(), list[float]()
    started = cell.value()
    yield seconds
    seconds.append((cell.value() - started) / 1e6)
