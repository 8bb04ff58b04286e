"""Gives the tensors at a cut names that people can tell apart: of features, of layers, never of numbers alone."""

import re
from dataclasses import dataclass, field
from typing import Any

from toolkit.formats.rewrites.flat import Flat
from toolkit.graphs.census import layer_of

_NUMBERED = re.compile(r"_\d+$")
_UNSAFE = re.compile(r"\W", re.ASCII)


@dataclass
class Names:
    """The names of one graph's tensors; the same tensor has the same name every time."""

    flat: Flat
    _given: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._given |= {tensor: name for name, tensor in self.flat.inputs.items()}
        for name, tensor in self.flat.outputs.items():
            # An output may be called like an input: between the parts a name must mean one thing.
            if name not in self.flat.inputs:
                self._given.setdefault(self._origin(tensor), name)

    def of(self, tensor: Any) -> str:
        """The tensor's name: the signature's where it has one."""
        origin = self._origin(tensor.name)
        if origin not in self._given:
            taken = {*self._given.values(), *self.flat.outputs}
            base = _readable(tensor)
            choices = (base if at == 0 else f"{base}_{at}" for at in range(len(taken) + 1))
            self._given[origin] = next(name for name in choices if name not in taken)
        return self._given[origin]

    def _origin(self, name: str) -> str:
        tensor = self.flat.graph.get_tensor_by_name(name)
        while tensor.op.type == "Identity":
            tensor = tensor.op.inputs[0]
        return str(tensor.name)


def _readable(tensor: Any) -> str:
    op = tensor.op
    name = _feature(op, list(op.outputs).index(tensor)) if op.type == "ParseExampleV2" else ""
    if not name:
        # Of `model/layer_1/inner/Op` the layer: the model says nothing, and what is inside says too much.
        parts = [_NUMBERED.sub("", part) for part in layer_of(op.name).split("/")]
        name = parts[1] if len(parts) > 1 else parts[0]
    safe = _UNSAFE.sub("_", name)
    return safe if re.match("[A-Za-z]", safe) else f"cut_{safe.lstrip('_')}"


def _feature(op: Any, at: int) -> str:
    """The feature that an output of a parser holds; its outputs are three per sparse feature, then the dense ones."""
    import tensorflow as tf

    keys = tf.get_static_value(op.inputs[3])
    place = at - 3 * int(op.get_attr("num_sparse"))
    return keys[place].decode(errors="replace") if keys is not None and 0 <= place < len(keys) else ""
