"""Runs a traced model with its variables folded into constants, in a Session: the fastest TensorFlow form found.

Measured on the MLP at batch 1 (docs/measuring.md): wrapped again in a tf.function 315 us, its inference function called
flat 203 us, through a Session's callable 87 us. The raw WrappedFunction that freezing gives costs milliseconds a call.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from toolkit.core.plugins import TRACED, Opening, Runtime
from toolkit.core.runner import FunctionRunner, Runner
from toolkit.core.tensors import Feed, Outputs, as_array
from toolkit.errors import UnsupportedError
from toolkit.formats.rewrites.frozen import Frozen, freeze
from toolkit.graphs.census import nodes_of
from toolkit.runtimes.inprocess.flat import traced_of

_LOOPS = frozenset({"While", "StatelessWhile", "Enter"})


@contextmanager
def open_runner(opening: Opening) -> Iterator[Runner]:
    """A Runner over the frozen graph.

    Raises:
        UnsupportedError: the graph writes variables or reads a table, which no constant can be.
    """
    traced = traced_of(opening)
    name = opening.signature_name
    signature = traced.signatures[name]
    frozen = _frozen(traced.functions[name], name)
    strings = [key for key, spec in signature.outputs.items() if spec.dtype == "string"]
    with _session(frozen, opening) as session:
        call = _callable(session, frozen)
        inputs, outputs = list(frozen.inputs), list(frozen.outputs)

        def run(feed: Feed) -> Outputs:
            found = dict(zip(outputs, call(*[feed[key] for key in inputs]), strict=True))
            for key in strings:
                found[key] = as_array(found[key], "string")
            return found

        yield FunctionRunner("graph-frozen", signature, run)


def _frozen(function: Any, name: str) -> Frozen:
    written = {node.op for _, node in nodes_of(function.graph.as_graph_def()) if node.op.startswith("Assign")}
    if written:
        raise UnsupportedError(
            f"its graph keeps state ({', '.join(sorted(written))}), which cannot be frozen", hint="`graph` measures it"
        )
    try:
        return freeze(function, name)
    except UnsupportedError as error:
        raise UnsupportedError("its graph reads a table, which cannot be frozen", hint="`graph` measures it") from error


@contextmanager
def _session(frozen: Frozen, opening: Opening) -> Iterator[Any]:
    import tensorflow as tf

    v1 = tf.compat.v1
    graph = tf.Graph()
    with graph.as_default():
        tf.graph_util.import_graph_def(frozen.graph_def, name="")
    threads = opening.threads or 0
    config = v1.ConfigProto(
        intra_op_parallelism_threads=threads, inter_op_parallelism_threads=_between_ops(frozen, opening)
    )
    # `with session` closes it on another thread when an exception leaves the block, and waits for that thread. A runner
    # that nobody closed is left that way while Python ends, when no new thread runs any more.
    with closing(v1.Session(graph=graph, config=config)) as session:
        yield session


def _between_ops(frozen: Frozen, opening: Opening) -> int:
    """Threads for ops side by side; -1 is none, which runs them on the thread that asks.

    Handing a graph to another thread and back costs a small model half of its time. Where more threads were asked for
    between ops than inside one, or a loop could keep them busy, they are there.
    """
    inside, between = opening.threads or 0, opening.inter_threads or opening.threads or 0
    loops = any(node.op in _LOOPS for _, node in nodes_of(frozen.graph_def))
    return between if loops or between > inside else -1


def _callable(session: Any, frozen: Frozen) -> Any:
    from tensorflow.core.protobuf.config_pb2 import CallableOptions

    options = CallableOptions(feed=list(frozen.inputs.values()), fetch=list(frozen.outputs.values()))
    # make_callable checks each feed in Python: several times the cost of the call itself.
    return session._make_callable_from_options(options)


RUNTIME = Runtime(
    name="graph-frozen", opens=(TRACED,), open=open_runner, judges=False, libraries=("tensorflow", "keras")
)
