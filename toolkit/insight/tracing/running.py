"""Runs a frozen graph in Sessions: where its ops went, how long each took, and what passes and threads are worth."""

import os
import random
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from toolkit.core.tensors import Feed
from toolkit.formats.rewrites.frozen import Frozen
from toolkit.graphs.grappler import PASSES
from toolkit.graphs.parallelism import Parallelism, parallelism
from toolkit.measure.statistics import Interval, ratio, verdict

ROUNDS = 7
ROUND_S = 0.04
_WARM_UP_CALLS = 10
_SEED = 5


@dataclass(frozen=True)
class Setting:
    """How a Session runs a graph.

    Args:
        without: a pass of Grappler that is switched off.
        threads: intra- and inter-op; 0 is TensorFlow's own choice.
    """

    without: str = ""
    threads: int = 0


@dataclass(frozen=True)
class Effect:
    """What something is worth: how many times as fast a call is with it, and between which bounds."""

    name: str
    ratio: Interval | None

    @property
    def verdict(self) -> str:
        """Faster, slower, or no difference that could be told."""
        return verdict(self.ratio)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        found = self.ratio
        bounds = None if found is None else [round(found.value, 4), round(found.low, 4), round(found.high, 4)]
        return {"name": self.name, "times_as_fast": bounds, "verdict": self.verdict}


@dataclass(frozen=True)
class Placed:
    """One run of a graph.

    Args:
        devices: to the ops that ran there.
        seconds: op to what it took.
    """

    devices: Mapping[str, int]
    parallelism: Parallelism
    seconds: Mapping[str, float]


def placed(frozen: Frozen, feed: Feed) -> Placed:
    """Where each op went in a run, and the critical path by the times it took."""
    from tensorflow.core.protobuf import config_pb2

    options = config_pb2.RunOptions(trace_level=config_pb2.RunOptions.FULL_TRACE, output_partition_graphs=True)
    with _session(frozen, Setting()) as session:
        feeds = {frozen.inputs[name]: value for name, value in feed.items()}
        session.run(list(frozen.outputs.values()), feeds)
        found = config_pb2.RunMetadata()
        session.run(list(frozen.outputs.values()), feeds, options=options, run_metadata=found)
    devices: Counter[str] = Counter()
    for graph in found.partition_graphs:
        devices.update(node.device.rpartition("device:")[2] for node in graph.node if node.op != "Const")
    seconds: Counter[str] = Counter()
    for device in found.step_stats.dev_stats:
        for node in device.node_stats:
            seconds[node.node_name.partition(":")[0]] += node.op_end_rel_nanos / 1e9 - node.op_start_rel_nanos / 1e9
    # The largest partition is the graph itself; others only copy to and from devices.
    graph = max(found.partition_graphs, key=lambda graph: len(graph.node))
    return Placed(dict(devices), parallelism(graph, seconds), dict(seconds))


def pass_effects(frozen: Frozen, feed: Feed, names: Sequence[str]) -> list[Effect]:
    """What each pass is worth to the latency of a call: with all passes against all but this one."""
    settings = {name: Setting(without=name) for name in names}
    rounds = _measured(frozen, feed, {"": Setting(), **settings})
    return [Effect(name, ratio(rounds[name], rounds[""])) for name in names]


def thread_effect(frozen: Frozen, feed: Feed) -> Effect:
    """What all cores are worth against one thread."""
    cores = os.cpu_count() or 1
    rounds = _measured(frozen, feed, {"one": Setting(threads=1), "all": Setting(threads=cores)})
    return Effect(f"{cores} threads", ratio(rounds["one"], rounds["all"]))


def _measured(frozen: Frozen, feed: Feed, settings: Mapping[str, Setting]) -> "dict[str, list[array[int]]]":
    """Rounds of call times in ns; in each round every setting has its turn, in random order, so that drift hits all."""
    order, shuffled = list(settings), random.Random(_SEED)  # noqa: S311  # nothing secret
    rounds: dict[str, list[array[int]]] = {name: [] for name in settings}
    with ExitStack() as stack:
        calls = {name: stack.enter_context(_call(frozen, feed, setting)) for name, setting in settings.items()}
        for call in calls.values():
            for _ in range(_WARM_UP_CALLS):
                call()
        for _ in range(ROUNDS):
            shuffled.shuffle(order)
            for name in order:
                rounds[name].append(_timed(calls[name]))
    return rounds


def _timed(call: Callable[[], object]) -> "array[int]":
    samples, clock = array("q"), time.perf_counter_ns
    end = clock() + int(ROUND_S * 1e9)
    while (started := clock()) < end:
        call()
        samples.append(clock() - started)
    return samples


@contextmanager
def _call(frozen: Frozen, feed: Feed, setting: Setting) -> Iterator[Callable[[], object]]:
    from tensorflow.core.protobuf.config_pb2 import CallableOptions

    options = CallableOptions(feed=list(frozen.inputs.values()), fetch=list(frozen.outputs.values()))
    arguments = [feed[name] for name in frozen.inputs]
    with _session(frozen, setting) as session:
        call = session._make_callable_from_options(options)  # as in runtimes/graph_frozen.py
        yield lambda: call(*arguments)


@contextmanager
def _session(frozen: Frozen, setting: Setting) -> Iterator[Any]:
    import tensorflow as tf
    from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig

    v1 = tf.compat.v1
    # Sessions of a process share the first one's threads unless told otherwise.
    config = v1.ConfigProto(
        intra_op_parallelism_threads=setting.threads,
        inter_op_parallelism_threads=setting.threads,
        use_per_session_threads=True,
    )
    if setting.without:
        field = PASSES[setting.without]
        off = {"disable_model_pruning": True, "memory_optimization": RewriterConfig.NO_MEM_OPT}
        setattr(config.graph_options.rewrite_options, field, off.get(field, RewriterConfig.OFF))
    graph = tf.Graph()
    with graph.as_default():
        tf.graph_util.import_graph_def(frozen.graph_def, name="")
    with v1.Session(graph=graph, config=config) as session:
        yield session
