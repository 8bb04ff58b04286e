"""What a loop is where it carries a recurrent cell over a list: which cell, over what, with which mask."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from toolkit.formats.rewrites.affine import AffineReader
from toolkit.formats.rewrites.cells import Cell, CellReader, Source, operands, plain
from toolkit.formats.rewrites.lists import Items
from toolkit.formats.rewrites.retrace import Step

_COMPARED = {"Less", "LogicalAnd", "Identity", "Const", "Placeholder"}


@dataclass(frozen=True)
class Written:
    """A list that the loop fills.

    Args:
        last: whether every step writes the same element, so that the last stays.
        state: the loop variable that a masked step writes again; None where it writes zeros or there is no mask.
    """

    last: bool
    state: int | None


@dataclass(frozen=True)
class Recurrence:
    """A loop that a recurrent op can take the place of.

    Args:
        cell: what a step computes.
        items: the loop variable of the list that the cell reads.
        mask: the loop variable of the list that says which rows a step changes.
        repeated: loop variables that keep the cell's last output that no mask hid.
        written: loop variable to how it is filled.
    """

    cell: Cell
    items: int
    mask: int | None
    repeated: tuple[int, ...]
    written: Mapping[int, Written]


@dataclass
class LoopReader:
    """Reads the body of one While whose lists are of known length."""

    step: Step
    body: Any = field(init=False)
    _constants: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.body = self.step.tracing.body(self.step.attr("body").name)
        self._at = {tensor.name: at for at, tensor in enumerate(self.body.inputs)}
        self._unchanged = {at for at, out in enumerate(self.body.outputs) if plain(out) is self.body.inputs[at]}

    def read(self) -> Recurrence | None:
        """The recurrence, or None where the loop is anything else."""
        states = {
            at: tensor
            for at, tensor in enumerate(self.body.inputs)
            if at not in self._unchanged and tensor.dtype.is_floating and not isinstance(self.step.inputs[at], Items)
        }
        updates, masks = {}, set()
        for at in states:
            updates[at], mask = self._unmasked(self.body.outputs[at], at)
            masks.add(mask)
        if len(masks) != 1 or -1 in masks or not all(tensor.dtype == "float32" for tensor in states.values()):
            return None
        reader = AffineReader(self._source, self._constant)
        cell = CellReader(states, updates, reader, self._is_one).read()
        return None if cell is None else self._whole(cell, updates, masks.pop())

    def _whole(self, cell: Cell, updates: Mapping[int, Any], mask: int | None) -> Recurrence | None:
        output = plain(updates[cell.hidden])
        repeated = tuple(at for at in updates if at not in (cell.hidden, cell.carried))
        if any(plain(updates[at]) is not output for at in repeated) or (repeated and mask is None):
            return None
        read = {key.at for key in cell.sources if key.kind == "item"}
        if len(read) != 1:
            return None
        written = {}
        for at, value in enumerate(self.step.inputs):
            if isinstance(value, Items) and at not in self._unchanged:
                found = self._written(at, output, mask)
                if found is None:
                    return None
                written[at] = found
        items = read.pop()
        if not self._runs(items, mask):
            return None
        return Recurrence(cell, items, mask, repeated, written)

    def _written(self, at: int, output: Any, mask: int | None) -> Written | None:
        parts = operands(self.body.outputs[at], "TensorListSetItem")
        if parts is None or parts[0] is not self.body.inputs[at]:
            return None
        last = len(self.step.inputs[at].elements) == 1 and self._constant_number(parts[1]) == 0
        if not last and not self._counts(parts[1]):
            return None
        if plain(parts[2]) is output:
            return Written(last, None) if mask is None else None
        select = operands(parts[2], "SelectV2", "Select")
        if mask is None or select is None or select[1] is not output or self._mask(select[0]) != mask:
            return None
        if select[2].name in self._at and self._at[select[2].name] not in self._unchanged:
            return Written(last, self._at[select[2].name])
        return Written(last, None) if self._is_zero(select[2]) else None

    def _unmasked(self, update: Any, at: int) -> tuple[Any, int | None]:
        """What a variable becomes where the mask lets it, and the mask's list."""
        parts = operands(update, "SelectV2", "Select")
        if parts is None or parts[2] is not self.body.inputs[at]:
            return plain(update), None
        return parts[1], self._mask(parts[0])

    def _mask(self, tensor: Any) -> int | None:
        """The list of a condition that is one bool for each row, spread over the features; -1 for another one."""
        while tensor.op.type in ("Tile", "Identity", "ExpandDims"):
            tensor = tensor.op.inputs[0]
        found = self._source(tensor)
        if found is None or found.kind != "item":
            return -1
        shape = self.step.inputs[found.at].shape
        return found.at if shape.rank == 2 and shape[1] == 1 else -1

    def _source(self, tensor: Any) -> Source | None:
        if tensor.name in self._at:
            at = self._at[tensor.name]
            known = at not in self._unchanged and tensor.dtype.is_floating and tensor.shape.rank == 2
            return Source("state", at, tensor.shape[1]) if known and tensor.shape[1] else None
        if tensor.op.type == "TensorListGetItem":
            at = self._at.get(plain(tensor.op.inputs[0]).name)
            if at in self._unchanged and self._counts(plain(tensor.op.inputs[1])):
                items = self.step.inputs[at]
                if isinstance(items, Items) and items.shape.rank == 2 and items.shape[1]:
                    return Source("item", at, items.shape[1])
        return self._gated(tensor) if tensor.op.type == "Mul" else None

    def _gated(self, tensor: Any) -> Source | None:
        for gate, state in (tensor.op.inputs, reversed(tensor.op.inputs)):
            found = self._source(plain(state))
            if plain(gate).op.type == "Sigmoid" and found is not None and found.kind == "state":
                return Source("gated", found.at, found.columns, plain(gate).name)
        return None

    def _counts(self, tensor: Any) -> bool:
        """Whether a tensor is 0 in the first step and one more in every next."""
        at = self._at.get(tensor.name)
        if at is None or self._value(self.step.inputs[at]) != 0:
            return False
        for one, other in (operands(self.body.outputs[at], "Add", "AddV2") or [None, None],):
            return one is tensor and self._constant_number(other) == 1
        return False

    def _runs(self, items: int, mask: int | None) -> bool:
        """Whether there are as many steps as items, by the condition itself."""
        length = len(self.step.inputs[items].elements)
        cond = self.step.tracing.body(self.step.attr("cond").name)
        if any(op.type not in _COMPARED for op in cond.get_operations()) or not length:
            return False
        if mask is not None and len(self.step.inputs[mask].elements) != length:
            return False
        # Only `less` and `and` of counters: true before the last step means true before.
        return [self._goes_on(count) for count in (0, length - 1, length)] == [True, True, False]

    def _goes_on(self, count: int) -> bool | None:
        import numpy as np

        folder = self.step.tracing.folder
        state = list(self.step.inputs)
        for at, tensor in enumerate(self.body.inputs):
            if tensor.dtype == "int32" and self._counts(tensor):
                state[at] = folder.constant(np.int32(count))
        found = folder.value(self.step.tracing.call(self.step.attr("cond").name, state)[0])
        return None if found is None else bool(found)

    def _constant(self, tensor: Any) -> Any:
        """The tensor of the new graph that a tensor of the body is in every step, or None."""
        if tensor.name not in self._constants:
            self._constants[tensor.name] = self._computed(tensor)
        return self._constants[tensor.name]

    def _computed(self, tensor: Any) -> Any:
        if tensor.name in self._at:
            value = self.step.inputs[self._at[tensor.name]]
            return value if self._at[tensor.name] in self._unchanged and not isinstance(value, Items) else None
        op = tensor.op
        inputs = [self._constant(part) for part in op.inputs]
        if op.op_def.is_stateful or any(value is None for value in inputs):
            return None
        return self.step.tracing.outputs(Step(op, tuple(inputs), self.step.tracing))[tensor.value_index]

    def _value(self, value: Any) -> Any:
        return self.step.tracing.folder.value(value)

    def _constant_number(self, tensor: Any) -> Any:
        found = None if tensor is None else self._constant(tensor)
        return None if found is None else self._value(found)

    def _is_one(self, tensor: Any) -> bool:
        found = self._constant(tensor)
        return found is not None and self._same(found, 1)

    def _is_zero(self, tensor: Any) -> bool:
        found = self._constant(tensor)
        return found is not None and is_zero(self.step, found)

    def _same(self, tensor: Any, number: float) -> bool:
        value = self._value(tensor)
        return value is not None and bool((value == number).all())


def is_zero(step: Step, tensor: Any) -> bool:
    """Whether a tensor of the new graph is made of zeros, whatever its shape."""
    if tensor.op.type == "ZerosLike":
        return True
    filled = tensor.op.inputs[1] if tensor.op.type == "Fill" else tensor
    value = step.tracing.folder.value(filled)
    return value is not None and not value.any()
