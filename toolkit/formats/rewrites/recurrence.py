"""What a loop is where it carries a recurrent cell over a list: which cell, over what, with which mask."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from toolkit.formats.rewrites.affine import AffineReader
from toolkit.formats.rewrites.cells import Cell, CellReader, Source, operands, plain
from toolkit.formats.rewrites.lengths import is_length
from toolkit.formats.rewrites.lists import is_list
from toolkit.formats.rewrites.retrace import Step


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
    """Reads the body of one While; its lists are no more variant tensors."""

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
            if at not in self._unchanged and tensor.dtype.is_floating and not is_list(self.step.inputs[at])
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
        items, written = read.pop(), {}
        for at, value in enumerate(self.step.inputs):
            if is_list(value) and at not in self._unchanged:
                found = self._written(at, output, mask, items)
                if found is None:
                    return None
                written[at] = found
        if not self._runs(items, mask):
            return None
        return Recurrence(cell, items, mask, repeated, written)

    def _written(self, at: int, output: Any, mask: int | None, items: int) -> Written | None:
        parts = operands(self.body.outputs[at], "TensorListSetItem")
        if parts is None or parts[0] is not self.body.inputs[at]:
            return None
        target = self.step.inputs[at]
        last = target.length == 1 and self._constant_number(parts[1]) == 0
        if not last and not (self._counts(parts[1]) and self._is_length(target.length, items)):
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
        while tensor.op.type in ("Tile", "Identity"):
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
            read = self._at.get(plain(tensor.op.inputs[0]).name)
            if read is not None and read in self._unchanged and self._counts(plain(tensor.op.inputs[1])):
                items = self.step.inputs[read]
                if is_list(items) and items.shape.rank == 2 and items.shape[1]:
                    return Source("item", read, items.shape[1])
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
        """Whether there are as many steps as items: counters below bounds, of which one is their number."""
        length = self.step.inputs[items].length
        known = isinstance(length, int)
        if known and (not length or (mask is not None and self.step.inputs[mask].length != length)):
            return False
        cond = self.step.tracing.body(self.step.attr("cond").name)
        at = {tensor.name: place for place, tensor in enumerate(cond.inputs)}
        exact, waiting = False, [plain(cond.outputs[0])]
        while waiting:
            tensor = waiting.pop()
            both = operands(tensor, "LogicalAnd")
            if both is not None:
                waiting += both
                continue
            counter, bound = operands(tensor, "Less") or (None, None)
            if counter is None or counter.name not in at or not self._counts(self.body.inputs[at[counter.name]]):
                return False
            limit = self._bound(bound, at)
            if not self._is_length(limit, items):
                if not known or limit is None or self._value(limit) is None or self._value(limit) < length:
                    return False
                continue
            exact = True
        return exact

    def _bound(self, tensor: Any, at: Mapping[str, int]) -> Any:
        """The tensor of the new graph that a counter is compared with."""
        if tensor.name in at:
            return self._constant(self.body.inputs[at[tensor.name]])
        if tensor.op.type != "Const":
            return None
        return self.step.tracing.outputs(Step(tensor.op, (), self.step.tracing))[0]

    def _is_length(self, number: Any, items: int) -> bool:
        return number is not None and is_length(self.step.tracing.folder, number, self.step.inputs[items])

    def _constant(self, tensor: Any) -> Any:
        """The tensor of the new graph that a tensor of the body is in every step, or None."""
        if tensor.name not in self._constants:
            self._constants[tensor.name] = self._computed(tensor)
        return self._constants[tensor.name]

    def _computed(self, tensor: Any) -> Any:
        if tensor.name in self._at:
            value = self.step.inputs[self._at[tensor.name]]
            return value if self._at[tensor.name] in self._unchanged and not is_list(value) else None
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
