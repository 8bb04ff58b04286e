"""What each part of a cut graph takes and gives, by names that all parts share."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from toolkit.core.tensors import dtype_name
from toolkit.formats.rewrites.cut import Cut, Dependence
from toolkit.formats.rewrites.cut_names import Names
from toolkit.formats.rewrites.kinds import checks


@dataclass(frozen=True)
class Border:
    """Name to tensor of what goes into a part and of what comes out.

    Args:
        also: ops to run besides, which give nothing.
    """

    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Borders:
    """The parts of one signature."""

    depends: Dependence
    cut: Cut

    @cached_property
    def back(self) -> Border:
        """The numbers between front and tail; inputs that nobody needs are its own."""
        inputs = {self._names.of(tensor): tensor for tensor in self._back_takes}
        used = {*inputs, *self._front_inputs, *(self._names.of(tensor) for tensor in self._tail_takes)}
        spare = {name: tensor for name, tensor in self._given.items() if name not in used and not _is_text(tensor)}
        return Border(inputs | spare, self._back_gives)

    @cached_property
    def front(self) -> Border | None:
        """What TensorFlow runs first."""
        return Border(self._front_inputs, self._front_gives, self._checks) if self._front_gives else None

    @cached_property
    def tail(self) -> Border | None:
        """What TensorFlow runs last."""
        outputs = self._outputs["tail"]
        return Border({self._names.of(tensor): tensor for tensor in self._tail_takes}, outputs) if outputs else None

    @cached_property
    def _names(self) -> Names:
        return Names(self.depends.flat)

    @cached_property
    def _given(self) -> dict[str, Any]:
        flat = self.depends.flat
        return {key: flat.graph.get_tensor_by_name(name) for key, name in flat.inputs.items()}

    @cached_property
    def _outputs(self) -> dict[str, dict[str, Any]]:
        """Part to the signature's outputs that it gives."""
        found: dict[str, dict[str, Any]] = {"front": {}, "back": {}, "tail": {}}
        flat = self.depends.flat
        for key, name in flat.outputs.items():
            tensor = flat.graph.get_tensor_by_name(name)
            early = tensor.op in self.cut.front or (_is_text(tensor) and tensor.op.name in self.depends.given)
            found["tail" if tensor.op in self.cut.tail else "front" if early else "back"][key] = tensor
        return found

    @cached_property
    def _tail_takes(self) -> list[Any]:
        return self._taken(self._outputs["tail"].values(), lambda op: op in self.cut.tail)

    @cached_property
    def _back_gives(self) -> dict[str, Any]:
        elsewhere = {*self.cut.front, *(tensor.op for tensor in self._given.values())}
        further = [tensor for tensor in self._tail_takes if tensor.op not in elsewhere]
        return self._outputs["back"] | {self._names.of(tensor): tensor for tensor in further}

    @cached_property
    def _back_takes(self) -> list[Any]:
        # What the front works out without what the format lacks the file can work out for itself.
        later = (self.cut.front - self._plain) | self.cut.tail
        return self._taken(self._back_gives.values(), lambda op: op not in later)

    @cached_property
    def _plain(self) -> set[Any]:
        depends = self.depends
        texts = [tensor.op for tensor in self._given.values() if _is_text(tensor)]
        return depends.fed - depends.after([*texts, *(self.cut.front & set(self.cut.lacking))])

    @cached_property
    def _front_gives(self) -> dict[str, Any]:
        cut = [tensor for tensor in (*self._back_takes, *self._tail_takes) if tensor.op in self.cut.front]
        return self._outputs["front"] | {self._names.of(tensor): tensor for tensor in cut}

    @cached_property
    def _front_inputs(self) -> dict[str, Any]:
        checked = [self.depends.flat.graph.get_operation_by_name(name) for name in self._checks]
        wanted = [*self._front_gives.values(), *(tensor for op in checked for tensor in op.inputs)]
        spare = {name: tensor for name, tensor in self._given.items() if _is_text(tensor)}
        taken = {self._names.of(tensor): tensor for tensor in self._taken(wanted, lambda _: True)}
        return taken | (spare if self._front_gives else {})

    @cached_property
    def _checks(self) -> tuple[str, ...]:
        """Assertions about what no weights were needed for; the others go, as they do where nothing is split."""
        depends = self.depends
        # One that gives what an output needs is work, and goes where the work goes.
        work = depends.before(tensor.op for outputs in self._outputs.values() for tensor in outputs.values())
        found = [op for op in depends.ops if checks(op.node_def, depends.library) and op in depends.fed - work]
        return tuple(op.name for op in found if not depends.before([op]) & depends.heavy)

    def _taken(self, wanted: Iterable[Any], inside: Callable[[Any], bool]) -> list[Any]:
        """The tensors that a part takes from outside to work out the wanted ones; inputs of the signature last."""
        found: dict[str, Any] = {}
        seen: set[str] = set()
        given = self.depends.given
        waiting = list(wanted)
        while waiting:
            tensor = waiting.pop()
            if tensor.name in seen:
                continue
            seen.add(tensor.name)
            fed = tensor.op in self.depends.fed
            if tensor.op.name not in given and (not fed or inside(tensor.op)):
                waiting += tensor.op.inputs
            else:
                found[tensor.name] = tensor
        return sorted(found.values(), key=lambda tensor: (tensor.op.name in given, tensor.name))


def _is_text(tensor: Any) -> bool:
    return dtype_name(tensor.dtype) == "string"
