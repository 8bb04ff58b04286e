"""The critical path of hand-made graphs."""

from types import SimpleNamespace
from typing import Any

import pytest

from toolkit.graphs.parallelism import parallelism


def graph(**sources: list[str]) -> Any:
    """A graph of ops by name; one called `const` is a constant, `next` closes a loop."""
    kinds = {"const": "Const", "next": "NextIteration"}
    nodes = [SimpleNamespace(name=name, input=inputs, op=kinds.get(name, "Add")) for name, inputs in sources.items()]
    return SimpleNamespace(node=nodes)


def test_a_chain_cannot_run_at_once() -> None:
    found = parallelism(graph(a=[], b=["a"], c=["b:0"]))
    assert (found.ops, found.critical_ops, found.factor) == (3, 3, 1.0)


def test_branches_can() -> None:
    found = parallelism(graph(a=[], b=["a"], c=["a"], d=["a"], e=["b", "c", "^d"]))
    assert (found.ops, found.critical_ops) == (5, 3)
    assert found.factor == pytest.approx(5 / 3)


def test_constants_count_for_nothing() -> None:
    found = parallelism(graph(const=[], a=["const"]))
    assert (found.ops, found.critical_ops) == (1, 1)


def test_by_time_the_slow_branch_is_the_critical_one() -> None:
    found = parallelism(graph(a=[], b=["a"], c=["b"], slow=["a"], e=["c", "slow"]), {"slow": 8.0, "b": 1.0, "c": 1.0})
    assert (found.critical_ops, found.seconds, found.critical_seconds) == (4, 10.0, 8.0)
    assert found.factor == 1.25
    assert "slow" in found.chain
    assert "b" not in found.chain


def test_a_loop_ends() -> None:
    found = parallelism(graph(merge=["const", "next"], body=["merge"], next=["body"], const=[]))
    assert found.critical_ops == 2


def test_an_empty_graph_has_no_path() -> None:
    assert parallelism(graph()).critical_ops == 0
