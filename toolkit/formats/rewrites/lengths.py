"""Whether a number is the length of a list, where both only show when the graph runs."""

from typing import Any

from toolkit.formats.rewrites.folding import Folder

# Ops whose output has the shape of their first input.
_SAME_SHAPE = {"Identity", "Cast", "ReverseV2", "StopGradient", "EnsureShape", "ZerosLike"}


def is_length(folder: Folder, number: Any, items: Any) -> bool:
    """Whether a number (an int, or a tensor of the new graph) is how many elements a list has, for certain."""
    length = items.length
    if isinstance(number, int) or isinstance(length, int):
        known = number if isinstance(number, int) else folder.value(number)
        return isinstance(length, int) and known is not None and int(known) == length
    measured = _measured(folder, number)
    return number is length or (measured is not None and measured == _dimension(folder, items.stacked(), 0))


def _measured(folder: Folder, number: Any) -> tuple[int, int] | None:
    """(the tensor, its dimension) that a number was read from."""
    op = number.op
    if op.type == "Identity":
        return _measured(folder, op.inputs[0])
    if op.type == "Max" and op.inputs[0].shape.rank == 0:
        return _measured(folder, op.inputs[0])
    if op.type != "StridedSlice" or op.inputs[0].op.type != "Shape" or op.get_attr("shrink_axis_mask") != 1:
        return None
    at = folder.value(op.inputs[1])
    return None if at is None else _dimension(folder, op.inputs[0].op.inputs[0], int(at[0]))


def _dimension(folder: Folder, tensor: Any, at: int) -> tuple[int, int] | None:
    """The tensor that a dimension comes from unchanged, and which one it is there."""
    while True:
        op = tensor.op
        if op.type == "Transpose":
            order = folder.value(op.inputs[1])
            if order is None:
                return None
            at = int(order[at])
        elif op.type not in _SAME_SHAPE:
            return id(tensor), at
        tensor = op.inputs[0]
