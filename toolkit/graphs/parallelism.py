"""How much of a graph can run at once: the longest chain of ops that wait for each other, against all ops."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolkit.graphs.census import layer_of

# They compute nothing, or hand on what they were given.
_IDLE = frozenset(
    {"Const", "Placeholder", "NoOp", "Identity", "VarHandleOp", "_Arg", "_Retval", "_Recv", "_Send"}
    | {"Enter", "Exit", "Merge", "Switch", "NextIteration", "LoopCond"}
)
_BACK = frozenset({"NextIteration", "RefNextIteration"})  # where a loop in the graph closes


@dataclass(frozen=True)
class Parallelism:
    """A graph's ops against its critical path.

    Args:
        ops: those that compute; `critical_ops` of them wait for each other.
        seconds: of all ops, where their times are known; `critical_seconds` of the slowest chain.
        chain: the layers along the slowest (else longest) chain, without repeats.
    """

    ops: int
    critical_ops: int
    seconds: float | None
    critical_seconds: float | None
    chain: Sequence[str]

    @property
    def factor(self) -> float:
        """How many threads could be busy at best: all work over the work of the critical path."""
        if self.seconds and self.critical_seconds:
            return self.seconds / self.critical_seconds
        return self.ops / max(1, self.critical_ops)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "ops": self.ops,
            "critical_ops": self.critical_ops,
            "seconds": self.seconds,
            "critical_seconds": self.critical_seconds,
            "factor": round(self.factor, 3),
            "chain": list(self.chain),
        }


def parallelism(graph_def: Any, seconds: Mapping[str, float] | None = None) -> Parallelism:
    """The critical path of a graph's top level; a call of a function counts as one op.

    Args:
        graph_def: with control flow as functions, or lowered.
        seconds: node to the time it took; without it every op counts the same.
    """
    nodes = {node.name: node for node in graph_def.node}
    order = _ordered(nodes)
    counted = {name: float(node.op not in _IDLE) for name, node in nodes.items()}
    chain = _longest(nodes, order, lambda name: counted[name])
    total = sum(counted.values())
    critical = sum(counted[name] for name in chain)
    if seconds is None:
        return Parallelism(int(total), int(critical), None, None, _layers(chain, counted))
    slowest = _longest(nodes, order, lambda name: seconds.get(name, 0.0))
    spent = sum(seconds.get(name, 0.0) for name in slowest)
    in_all = sum(seconds.get(name, 0.0) for name in nodes)
    return Parallelism(int(total), int(critical), in_all, spent, _layers(slowest, counted))


def _ordered(nodes: Mapping[str, Any]) -> list[str]:
    """Every node after those that it waits for; loops are cut where they close."""
    order, done = list[str](), set[str]()
    for start in nodes:
        stack = [(start, False)]
        while stack:
            name, left = stack.pop()
            if left:
                order.append(name)
            elif name not in done:
                done.add(name)
                stack.append((name, True))
                stack += [(source, False) for source in _sources(nodes, name) if source not in done]
    return order


def _sources(nodes: Mapping[str, Any], name: str) -> list[str]:
    if nodes[name].op in _BACK:
        return []
    found = (source.lstrip("^").partition(":")[0] for source in nodes[name].input)
    return [source for source in found if source in nodes]


def _longest(nodes: Mapping[str, Any], order: Sequence[str], weight: Callable[[str], float]) -> list[str]:
    """The chain of the largest sum of weights, from its first node to its last."""
    length, before = dict[str, float](), dict[str, str]()
    for name in order:
        sources = [source for source in _sources(nodes, name) if source in length]
        best = max(sources, key=length.__getitem__, default=None)
        length[name] = weight(name) + (length[best] if best is not None else 0.0)
        if best is not None:
            before[name] = best
    chain: list[str] = []
    at = max(length, key=length.__getitem__, default=None)
    while at is not None:
        chain.append(at)
        at = before.get(at)
    return chain[::-1]


def _layers(chain: Sequence[str], counted: Mapping[str, float]) -> list[str]:
    return list(dict.fromkeys(layer_of(name) for name in chain if counted[name]))
