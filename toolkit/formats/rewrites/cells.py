"""Which recurrent cell an expression computes: LSTM, GRU with either reset, or a simple one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolkit.formats.rewrites.affine import Affine, AffineReader

_SAME = {"Identity", "EnsureShape"}


@dataclass(frozen=True)
class Source:
    """What the gates of a cell look at.

    Args:
        kind: `item` (this step of a list), `state` (a loop variable), `gated` (a state that a gate lets through).
        at: the loop variable.
        columns: how many features it has.
        gate: the tensor of the gate, for `gated`.
    """

    kind: str
    at: int
    columns: int
    gate: str = ""


@dataclass(frozen=True)
class Cell:
    """A recurrent cell as ONNX has it.

    Args:
        kind: `LSTM`, `GRU` or `RNN`.
        hidden: the loop variable of its output.
        carried: the loop variable of an LSTM's cell state, else None.
        gates: sums before the activations, in ONNX's order: i o f c; z r h; h.
        recurrent: for a GRU that resets after the product: the sum over the state that the reset gate lets through.
    """

    kind: str
    hidden: int
    carried: int | None
    gates: tuple[Affine, ...]
    recurrent: Affine | None = None

    @property
    def sources(self) -> set[Source]:
        """All that the gates look at."""
        return {key for gate in (*self.gates, self.recurrent) if gate is not None for key in gate.parts}


def plain(tensor: Any) -> Any:
    """The tensor behind ops that change nothing."""
    while tensor.op.type in _SAME:
        tensor = tensor.op.inputs[0]
    return tensor


def operands(tensor: Any, *kinds: str) -> Sequence[Any] | None:
    """What an op of one of these types takes; None for another op."""
    tensor = plain(tensor)
    return [plain(part) for part in tensor.op.inputs] if tensor.op.type in kinds else None


def _either(tensor: Any, *kinds: str) -> list[tuple[Any, Any]]:
    """Both orders of a commutative op's operands."""
    found = operands(tensor, *kinds)
    return [] if found is None else [(found[0], found[1]), (found[1], found[0])]


@dataclass(frozen=True)
class CellReader:
    """Reads the cell of one loop.

    Args:
        states: loop variable to its tensor in the body.
        updates: loop variable to the tensor that it becomes, a mask left out.
        affine: reads sums.
        is_one: whether a tensor is the constant 1.
    """

    states: Mapping[int, Any]
    updates: Mapping[int, Any]
    affine: AffineReader
    is_one: Any

    def read(self) -> Cell | None:
        """The cell, or None where it is none of these."""
        for hidden in self.states:
            cell = self._lstm(hidden) or self._gru(hidden) or self._simple(hidden)
            if cell is not None and all(key.kind == "item" or key.at == hidden for key in cell.sources):
                return cell
        return None

    def _gate(self, tensor: Any, activation: str = "Sigmoid") -> Affine | None:
        inner = operands(tensor, activation)
        return None if inner is None else self.affine.read(inner[0])

    def _is_state(self, tensor: Any, at: int) -> bool:
        return tensor is self.states[at]

    def _lstm(self, hidden: int) -> Cell | None:
        """Reads h' = sigmoid(o) tanh(c'), c' = sigmoid(f) c + sigmoid(i) tanh(g)."""
        for out, squashed in _either(self.updates[hidden], "Mul"):
            inner = operands(squashed, "Tanh")
            if inner is None:
                continue
            for carried in self.states:
                if carried != hidden and plain(self.updates[carried]) is inner[0]:
                    gates = self._lstm_gates(inner[0], carried)
                    output = self._gate(out)
                    if gates is not None and output is not None:
                        i, f, g = gates
                        return Cell("LSTM", hidden, carried, (i, output, f, g))
        return None

    def _lstm_gates(self, cell: Any, carried: int) -> tuple[Affine, Affine, Affine] | None:
        for kept, new in _either(cell, "Add", "AddV2"):
            for forget, old in _either(kept, "Mul"):
                for entry, candidate in _either(new, "Mul"):
                    f, i, g = self._gate(forget), self._gate(entry), self._gate(candidate, "Tanh")
                    if self._is_state(old, carried) and f is not None and i is not None and g is not None:
                        return i, f, g
        return None

    def _gru(self, hidden: int) -> Cell | None:
        """Reads h' = z h + (1 - z) tanh(...)."""
        for kept, new in _either(self.updates[hidden], "Add", "AddV2"):
            for update, old in _either(kept, "Mul"):
                for rest, candidate in _either(new, "Mul"):
                    z, inner = self._gate(update), operands(candidate, "Tanh")
                    left = operands(rest, "Sub")
                    if z is None or inner is None or left is None or not self._is_state(old, hidden):
                        continue
                    if self.is_one(left[0]) and left[1] is update:
                        return self._gru_candidate(hidden, z, inner[0])
        return None

    def _gru_candidate(self, hidden: int, z: Affine, candidate: Any) -> Cell | None:
        for given, gated in _either(candidate, "Add", "AddV2"):
            for reset, product in _either(gated, "Mul"):
                r, x, h = self._gate(reset), self.affine.read(given), self.affine.read(product)
                if r is not None and x is not None and h is not None and not self._is_state(product, hidden):
                    return Cell("GRU", hidden, None, (z, r, x), h)
        return self._gru_before(hidden, z, candidate)

    def _gru_before(self, hidden: int, z: Affine, candidate: Any) -> Cell | None:
        whole = self.affine.read(candidate)
        gated = [key for key in whole.parts if key.kind == "gated"] if whole is not None else []
        if whole is None or len(gated) != 1 or gated[0].at != hidden:
            return None
        graph = candidate.graph
        r = self._gate(graph.get_tensor_by_name(gated[0].gate))
        return None if r is None else Cell("GRU", hidden, None, (z, r, whole))

    def _simple(self, hidden: int) -> Cell | None:
        gate = self._gate(self.updates[hidden], "Tanh")
        return None if gate is None else Cell("RNN", hidden, None, (gate,))
