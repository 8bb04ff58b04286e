"""What each of Grappler's passes does to a graph: ops before and after, what it removed or made, and its time.

Grappler (tensorflow.org/guide/graph_optimization) rewrites a graph before it runs. Its passes are run here one after
another in the order of TensorFlow's meta optimizer (core/grappler/optimizers/meta_optimizer.cc).
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolkit.graphs.census import nodes_of, ops_by_type

# Name for OptimizeGraph, and the field of RewriterConfig that switches the pass off.
PASSES: Mapping[str, str] = {
    "function": "function_optimization",
    "pruning": "disable_model_pruning",
    "common_subgraph_elimination": "common_subgraph_elimination",
    "shape": "shape_optimization",
    "constfold": "constant_folding",
    "arithmetic": "arithmetic_optimization",
    "layout": "layout_optimizer",
    "remap": "remapping",
    "loop": "loop_optimization",
    "dependency": "dependency_optimization",
    "memory": "memory_optimization",
}


_CPU = "/job:localhost/replica:0/task:0/device:CPU:0"
_REPEATS = 5


@dataclass(frozen=True)
class Pass:
    """What one pass did.

    Args:
        changes: op type to how many more (or, below zero, fewer) there are after it.
        seconds: of the pass alone, without the copy of the graph into C++ and back.
    """

    name: str
    ops_before: int
    ops_after: int
    changes: Mapping[str, int]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "name": self.name,
            "ops_before": self.ops_before,
            "ops_after": self.ops_after,
            "changes": dict(self.changes),
            "seconds": round(self.seconds, 6),
        }


@dataclass(frozen=True)
class Optimized:
    """A graph before and after all passes.

    Args:
        constant_bytes: before and after.
    """

    passes: Sequence[Pass]
    ops: tuple[int, int]
    constant_bytes: tuple[int, int]
    graph_def: Any

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "ops": list(self.ops),
            "constant_bytes": list(self.constant_bytes),
            "passes": [found.to_json() for found in self.passes],
        }


def optimize(graph_def: Any, inputs: Sequence[str], outputs: Sequence[str]) -> Optimized:
    """Runs every pass once, each on what the one before left.

    Args:
        graph_def: a graph whose functions are inlined, or one that keeps them.
        inputs: tensors that are fed.
        outputs: tensors that are fetched; nothing else is kept.
    """
    from tensorflow.python.grappler.cluster import Cluster

    # Of its own, OptimizeGraph starts one for each run, which takes longer than most passes.
    cluster = Cluster()
    try:
        graph, found = _passes(_placed(graph_def), [name.partition(":")[0] for name in (*inputs, *outputs)], cluster)
    finally:
        cluster.Shutdown()  # TensorFlow allows one at a time
    sizes = constant_bytes(graph_def), constant_bytes(graph)
    return Optimized(found, (ops_by_type(graph_def).total(), ops_by_type(graph).total()), sizes, graph)


def _passes(graph: Any, kept: Sequence[str], cluster: Any) -> tuple[Any, list[Pass]]:
    found = []
    for name in PASSES:
        before = ops_by_type(graph)
        # What the way into C++ and back costs is measured by asking for no pass.
        _, idle_s = _best(graph, kept, "", cluster)
        graph, seconds = _best(graph, kept, name, cluster)
        after = ops_by_type(graph)
        changes = {op: after[op] - before[op] for op in sorted(before | after) if after[op] != before[op]}
        found.append(Pass(name, before.total(), after.total(), changes, max(0.0, seconds - idle_s)))
    return graph, found


def constant_bytes(graph_def: Any) -> int:
    """The bytes of all constants, those of functions included."""
    return sum(node.attr["value"].tensor.ByteSize() for _, node in nodes_of(graph_def) if node.op == "Const")


def _placed(graph_def: Any) -> Any:
    """A copy on the CPU: the remapper fuses only where it knows the device."""
    from tensorflow.core.framework import graph_pb2

    placed = graph_pb2.GraphDef()
    placed.CopyFrom(graph_def)
    for _, node in nodes_of(placed):
        node.device = node.device or _CPU
    return placed


def _best(graph_def: Any, kept: Sequence[str], name: str, cluster: Any) -> tuple[Any, float]:
    """The graph after a pass, and the shortest of some times."""
    runs = [_run(graph_def, kept, name, cluster) for _ in range(_REPEATS)]
    return runs[0][0], min(seconds for _, seconds in runs)


def _run(graph_def: Any, kept: Sequence[str], name: str, cluster: Any) -> tuple[Any, float]:
    from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, rewriter_config_pb2
    from tensorflow.python.grappler import tf_optimizer

    config = config_pb2.ConfigProto()
    rewriting = config.graph_options.rewrite_options
    rewriting.disable_meta_optimizer = not name
    rewriting.optimizers.extend([name] if name else [])
    rewriting.min_graph_nodes = -1  # else graphs below four nodes are left alone
    rewriting.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.ONE
    meta = meta_graph_pb2.MetaGraphDef(graph_def=graph_def)
    # What is in a train_op collection must be there afterwards.
    meta.collection_def["train_op"].node_list.value.extend(kept)
    started = time.perf_counter()
    found = tf_optimizer.OptimizeGraph(config, meta, verbose=False, cluster=cluster)
    return found, time.perf_counter() - started
