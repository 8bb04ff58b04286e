"""Draws a graph by layer as one self-contained page: scopes fold and unfold, lines show what feeds what."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from toolkit.core.files import storage_errors
from toolkit.core.model import TracedModel
from toolkit.graphs.census import nodes_of

_TEMPLATE = Path(__file__).with_name("picture.html")


@dataclass
class Scope:
    """A name scope, or one op: `op` is empty for a scope.

    Args:
        size: bytes of constants and variables below it.
        seconds: of one call, where it was measured.
        shape: of an op's first output, where it is known.
    """

    name: str
    op: str = ""
    shape: str = ""
    size: int = 0
    seconds: float = 0.0
    ops: int = 0
    number: int = -1
    inner: dict[str, "Scope"] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values, short names since there may be thousands."""
        found: dict[str, Any] = {"n": self.name, "o": self.ops, "s": self.size, "u": round(self.seconds * 1e6, 2)}
        if self.op:
            found |= {"t": self.op, "h": self.shape, "i": self.number}
        if self.inner:
            found["c"] = [part.to_json() for part in self.inner.values()]
        return found


def write(path: Path, traced: TracedModel, seconds: Mapping[str, Mapping[str, float]]) -> None:
    """The page of a model's signatures.

    Args:
        path: of the page.
        traced: the model.
        seconds: signature to what each op of a call took, by its name; empty where that is not known.

    Raises:
        StoreError: it cannot be written.
    """
    drawn = {name: drawing(traced.functions[name], known) for name, known in seconds.items()}
    with storage_errors(path):
        path.write_text(page(traced.spec.name, drawn), encoding="utf-8")


def page(model: str, drawings: Mapping[str, Any]) -> str:
    """The whole document; `</` is the only thing that JSON in a script must not hold."""
    data = json.dumps({"model": model, "graphs": drawings}).replace("</", "<\\/")
    text = _TEMPLATE.read_text(encoding="utf-8")
    return text.replace("TITLE", escape(f"{model}: the graph")).replace('"DATA"', data)


def drawing(function: Any, seconds: Mapping[str, float] | None = None) -> dict[str, Any]:
    """The tree of scopes of a concrete function, and its edges as pairs of op numbers."""
    graph_def = function.graph.as_graph_def(add_shapes=True)
    sizes = _variable_bytes(function)
    names = [f"{home}/{node.name}" if home else node.name for home, node in nodes_of(graph_def)]
    root, numbers = Scope(""), {name: number for number, name in enumerate(names)}
    for (_, node), name in zip(nodes_of(graph_def), names, strict=True):
        size = sizes.get(node.name, 0) + (node.attr["value"].tensor.ByteSize() if node.op == "Const" else 0)
        _place(root, name, Scope("", node.op, _shape(node), size, 0.0, 1, numbers[name]))
    for name, spent in (seconds or {}).items():
        _spend(root, name, spent)
    return {"root": root.to_json(), "edges": list(_edges(graph_def, numbers))}


def _variable_bytes(function: Any) -> dict[str, int]:
    """The placeholder that stands for each variable to the variable's bytes."""
    known = {id(variable.handle): variable for variable in function.variables}
    held = ((inner, known.get(id(outer))) for outer, inner in function.graph.captures)
    return {
        inner.op.name: variable.shape.num_elements() * variable.dtype.size
        for inner, variable in held
        if variable is not None and variable.dtype.size and variable.shape.is_fully_defined()
    }


def _place(root: Scope, name: str, leaf: Scope) -> None:
    at = root
    *scopes, leaf.name = name.split("/")
    for part in scopes:
        at.ops, at.size = at.ops + 1, at.size + leaf.size
        at = at.inner.setdefault(part, Scope(part))
    at.ops, at.size = at.ops + 1, at.size + leaf.size
    # An op may be called like a scope beside it: `dense/MatMul` and `dense/MatMul/ReadVariableOp`.
    beside = at.inner.get(leaf.name)
    if beside is None:
        at.inner[leaf.name] = leaf
    else:
        beside.ops, beside.size = beside.ops + 1, beside.size + leaf.size
        beside.inner[f"({leaf.name})"] = leaf


def _spend(root: Scope, name: str, seconds: float) -> None:
    """Adds an op's time to the scopes that it is in; an op that Grappler made goes to the scope it is named after."""
    at: Scope | None = root
    for part in name.split("/"):
        assert at is not None
        at.seconds += seconds
        at = at.inner.get(part)
        if at is None:
            return
    assert at is not None
    at.seconds += seconds


def _edges(graph_def: Any, numbers: Mapping[str, int]) -> Iterator[tuple[int, int]]:
    for home, node in nodes_of(graph_def):
        prefix = f"{home}/" if home else ""
        target = numbers[prefix + node.name]
        # Control inputs carry no tensor, and some ops have one from everything.
        tensors = (source.partition(":")[0] for source in node.input if not source.startswith("^"))
        for source in dict.fromkeys(tensors):
            if prefix + source in numbers:
                yield numbers[prefix + source], target


def _shape(node: Any) -> str:
    shapes = node.attr["_output_shapes"].list.shape if "_output_shapes" in node.attr else ()
    if not shapes or shapes[0].unknown_rank:
        return ""
    return f"[{', '.join('?' if dim.size < 0 else str(dim.size) for dim in shapes[0].dim)}]"
