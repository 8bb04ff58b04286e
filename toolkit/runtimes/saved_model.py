"""Runs a SavedModel through the graph-mode loader and a Session, as TensorFlow Serving does."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from toolkit.core.plugins import Opening, Runtime
from toolkit.core.runner import FunctionRunner, Runner
from toolkit.core.tensors import Feed, Outputs, as_array
from toolkit.errors import ParityError, RunError, WireError
from toolkit.wire import protos
from toolkit.wire.codes import fault_of
from toolkit.wire.signatures import read_signature

_LOOPS = frozenset({"While", "StatelessWhile", "Enter"})


@dataclass
class _Loaded:
    """One Session and the signatures of the graph in it."""

    session: Any
    signatures: Any


@dataclass
class _Shared:
    """What the runners of one model's signatures share: its variables are loaded once, however many they are.

    Args:
        opening: held while it is loaded; whoever wants the same one waits for that, and nobody else does.
        users: runners that have it or wait for it.
    """

    opening: threading.Lock = field(default_factory=threading.Lock)
    loaded: _Loaded | None = None
    users: int = 0


_Key = tuple[str, int, int, tuple[str, ...]]  # path, threads in an operation, operations at the same time, tags


@dataclass
class _Sessions:
    """Open Sessions by path and threads. The lock is never held while anything is loaded or closed."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    loaded: dict[_Key, _Shared] = field(default_factory=dict)


_SESSIONS = _Sessions()


@contextmanager
def open_runner(opening: Opening) -> Iterator[Runner]:
    """A Runner over one signature and `tf.compat.v1.saved_model.loader.load`."""
    threads = opening.threads or 0
    key = (str(opening.path.absolute()), threads, opening.inter_threads or threads, opening.tags)
    loaded = _acquire(key)
    try:
        if opening.signature_name not in loaded.signatures:
            raise ParityError(
                f"{opening.path} has no signature '{opening.signature_name}'", hint="build the bundle again"
            )
        entry = loaded.signatures[opening.signature_name]
        signature = read_signature(opening.signature_name, entry).as_signature()
        yield FunctionRunner("saved_model", signature, _function(loaded.session, entry))
    finally:
        _release(key)


def _acquire(key: _Key) -> _Loaded:
    with _SESSIONS.lock:
        shared = _SESSIONS.loaded.setdefault(key, _Shared())
        shared.users += 1
    try:
        with shared.opening:
            if shared.loaded is None:
                shared.loaded = _load(*key)
            return shared.loaded
    except BaseException:  # whatever ended it, an interrupt too: this user is gone, and the caller hears of it
        _release(key)
        raise


def _release(key: _Key) -> None:
    with _SESSIONS.lock:
        shared = _SESSIONS.loaded[key]
        shared.users -= 1
        if shared.users:
            return
        del _SESSIONS.loaded[key]
    if shared.loaded is not None:
        shared.loaded.session.close()


def _load(path: str, threads: int, together: int, tags: tuple[str, ...]) -> _Loaded:
    import tensorflow as tf

    v1 = tf.compat.v1
    config = v1.ConfigProto(
        intra_op_parallelism_threads=threads, inter_op_parallelism_threads=_between_ops(path, together)
    )
    # Several may be loaded at a time: the default graph is the thread's own, and each builds a graph that is its alone.
    session = v1.Session(graph=tf.Graph(), config=config)
    try:
        with session.graph.as_default():
            meta_graph = v1.saved_model.loader.load(session, list(tags), path)
    except Exception as error:  # the loader raises OSError, RuntimeError, ValueError and errors of its own
        session.close()
        raise ParityError(
            f"{path} does not load in graph mode: {str(error).splitlines()[0]}",
            hint="TensorFlow Serving would refuse it too",
        ) from error
    return _Loaded(session, meta_graph.signature_def)


def _between_ops(path: str, threads: int) -> int:
    """TensorFlow's number of threads for ops side by side.

    -1 runs a graph on the thread that asks, without handing it to another and back: half the time of a small model. A
    graph with loops keeps a thread of its own, which costs it nothing and runs the loops of two requests side by side.
    """
    if threads != 1:
        return threads
    try:
        saved = protos.parse(protos.SavedModel, (Path(path) / "saved_model.pb").read_bytes())
    except (OSError, WireError):
        return threads  # the loader says what is wrong with it
    graphs = [meta.graph_def for meta in saved.meta_graphs]
    nodes = chain.from_iterable((graph.node, *(one.node_def for one in graph.library.function)) for graph in graphs)
    return threads if any(node.op in _LOOPS for node in chain.from_iterable(nodes)) else -1


def _function(session: Any, entry: Any) -> Any:
    import tensorflow as tf
    from tensorflow.core.protobuf.config_pb2 import CallableOptions

    inputs, outputs = list(entry.inputs), list(entry.outputs)
    options = CallableOptions(
        feed=[entry.inputs[name].name for name in inputs], fetch=[entry.outputs[name].name for name in outputs]
    )
    # The public make_callable checks each feed in Python and gathers fetches there: several times the cost of this one,
    # and it refuses shapes that the graph itself would take.
    call = session._make_callable_from_options(options)
    strings = [name for name in outputs if entry.outputs[name].dtype == tf.string.as_datatype_enum]

    def run(feed: Feed) -> Outputs:
        try:
            found = dict(zip(outputs, call(*[feed[name] for name in inputs]), strict=True))
        except tf.errors.OpError as error:
            fault = fault_of(error.error_code)
            raise RunError(error.message, hint="check the feed's shapes and values", fault=fault) from error
        for name in strings:
            found[name] = as_array(found[name], "string")
        return found

    return run


RUNTIME = Runtime(name="saved_model", opens=("saved_model",), open=open_runner, libraries=("tensorflow",))
