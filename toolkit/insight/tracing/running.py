"""Runs a graph in Sessions: where its ops went, how long each took, and what passes and threads are worth."""

import os
import random
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
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
        places: op to the device that it ran on.
        seconds: op to what it took.
    """

    places: Mapping[str, str]
    parallelism: Parallelism
    seconds: Mapping[str, float]

    @property
    def devices(self) -> Mapping[str, int]:
        """Device to the number of ops that ran there."""
        return Counter(self.places.values())


@dataclass(frozen=True)
class Runnable:
    """A graph that a Session can be given.

    Args:
        load: puts it into a Session whose graph is empty; gives the tensor of each input, and those of the outputs.
    """

    load: Callable[[Any], tuple[Mapping[str, str], Sequence[str]]]


def of_frozen(frozen: Frozen) -> Runnable:
    """A graph whose variables are constants."""

    def load(session: Any) -> tuple[Mapping[str, str], Sequence[str]]:
        import tensorflow as tf

        with session.graph.as_default():
            tf.graph_util.import_graph_def(frozen.graph_def, name="")
        return frozen.inputs, list(frozen.outputs.values())

    return Runnable(load)


def of_saved_model(directory: Path, signature: str) -> Runnable:
    """A signature of a SavedModel, which may read tables and keep state: as a server loads it."""

    def load(session: Any) -> tuple[Mapping[str, str], Sequence[str]]:
        import tensorflow as tf

        with session.graph.as_default():
            meta_graph = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(directory))
        found = meta_graph.signature_def[signature]
        inputs = {key: info.name for key, info in found.inputs.items()}
        return inputs, [info.name for info in found.outputs.values()]

    return Runnable(load)


def placed(graph: Runnable, feed: Feed) -> Placed:
    """Where each op went in a run, and the critical path by the times it took."""
    from tensorflow.core.protobuf import config_pb2

    options = config_pb2.RunOptions(trace_level=config_pb2.RunOptions.FULL_TRACE, output_partition_graphs=True)
    with _session(graph, Setting()) as (session, inputs, outputs):
        feeds = {inputs[name]: value for name, value in feed.items()}
        session.run(outputs, feeds)
        found = config_pb2.RunMetadata()
        session.run(outputs, feeds, options=options, run_metadata=found)
    places = {
        node.name: node.device.rpartition("device:")[2]
        for part in found.partition_graphs
        for node in part.node
        if node.op != "Const"
    }
    seconds: Counter[str] = Counter()
    for device in found.step_stats.dev_stats:
        for node in device.node_stats:
            seconds[node.node_name.partition(":")[0]] += node.op_end_rel_nanos / 1e9 - node.op_start_rel_nanos / 1e9
    # The largest partition is the graph itself; others only copy to and from devices.
    largest = max(found.partition_graphs, key=lambda part: len(part.node))
    return Placed(places, parallelism(largest, seconds), dict(seconds))


def pass_effects(graph: Runnable, feed: Feed, names: Sequence[str]) -> list[Effect]:
    """What each pass is worth to the latency of a call: with all passes against all but this one."""
    settings = {name: Setting(without=name) for name in names}
    rounds = _measured(graph, feed, {"": Setting(), **settings})
    return [Effect(name, ratio(rounds[name], rounds[""])) for name in names]


def thread_effect(graph: Runnable, feed: Feed) -> Effect:
    """What all cores are worth against one thread."""
    cores = os.cpu_count() or 1
    rounds = _measured(graph, feed, {"one": Setting(threads=1), "all": Setting(threads=cores)})
    return Effect(f"{cores} threads", ratio(rounds["one"], rounds["all"]))


def _measured(graph: Runnable, feed: Feed, settings: Mapping[str, Setting]) -> "dict[str, list[array[int]]]":
    """Rounds of call times in ns; in each round every setting has its turn, in random order, so that drift hits all."""
    order, shuffled = list(settings), random.Random(_SEED)  # noqa: S311  # nothing secret
    rounds: dict[str, list[array[int]]] = {name: [] for name in settings}
    with ExitStack() as stack:
        calls = {name: stack.enter_context(_call(graph, feed, setting)) for name, setting in settings.items()}
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
def _call(graph: Runnable, feed: Feed, setting: Setting) -> Iterator[Callable[[], object]]:
    from tensorflow.core.protobuf.config_pb2 import CallableOptions

    with _session(graph, setting) as (session, inputs, outputs):
        options = CallableOptions(feed=list(inputs.values()), fetch=list(outputs))
        arguments = [feed[name] for name in inputs]
        call = session._make_callable_from_options(options)  # as in runtimes/graph_frozen.py
        yield lambda: call(*arguments)


@contextmanager
def _session(graph: Runnable, setting: Setting) -> Iterator[tuple[Any, Mapping[str, str], Sequence[str]]]:
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
    with v1.Session(graph=tf.Graph(), config=config) as session:
        yield session, *graph.load(session)
