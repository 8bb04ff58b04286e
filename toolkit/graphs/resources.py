"""Finds what a concrete function needs to live: its variables, each once, and the owners of its tables."""

import gc
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from toolkit.errors import TraceError


@dataclass(frozen=True)
class Resources:
    """Raw tf.Variables and other trackable resources, without the user's model around them."""

    variables: tuple[Any, ...]
    others: tuple[Any, ...]

    @property
    def variable_bytes(self) -> int:
        """Size of all variables' values."""
        return sum(variable.shape.num_elements() * variable.dtype.size for variable in self.variables)


def resources_of(functions: Mapping[str, Any]) -> Resources:
    """Everything the functions read through a resource handle.

    Raises:
        TraceError: a captured resource has no Python owner left, so nothing could save it.
    """
    variables: dict[int, Any] = {}
    for function in functions.values():
        for variable in function.variables:
            variables.setdefault(id(variable.handle), variable)
    missing = {}
    for name, function in functions.items():
        for handle, _ in function.graph.captures:
            if handle.dtype.name in {"resource", "variant"} and id(handle) not in variables:
                missing[id(handle)] = name
    others: list[Any] = []
    owners = _owners(missing) if missing else {}
    for handle_id, signature in missing.items():
        owner = owners.get(handle_id)
        if owner is None:
            raise TraceError(
                f"signature '{signature}' reads a resource (a table or variable) whose Python object is gone",
                hint="keep it as an attribute of the model, so that it lives as long as the model",
            )
        if hasattr(owner, "assign"):
            variables[handle_id] = owner
        elif all(owner is not other for other in others):
            others.append(owner)
    return Resources(tuple(variables.values()), tuple(others))


def _owners(handles: Iterable[int]) -> dict[int, Any]:
    """The live objects that own these handles; a table reached only through a capture is in no attribute tree."""
    import tensorflow as tf
    from tensorflow.python.trackable.resource import CapturableResource

    wanted, found = set(handles), {}
    for candidate in gc.get_objects():
        kind = type(candidate)  # isinstance would run the __class__ property of arbitrary proxies
        if issubclass(kind, CapturableResource):
            handle = candidate._resource_handle  # the property would create a handle where none is
        elif issubclass(kind, tf.Variable):
            handle = getattr(candidate, "_handle", None)
        else:
            continue
        if id(handle) in wanted:
            found[id(handle)] = candidate
    return found
