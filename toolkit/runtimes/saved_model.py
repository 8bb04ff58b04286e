"""Runs a SavedModel through the graph-mode loader and a Session, as TensorFlow Serving does."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from toolkit.core.plugins import Opening, Runtime
from toolkit.core.runner import FunctionRunner, Runner
from toolkit.core.tensors import Feed, Outputs, Signature, TensorSpec, as_array
from toolkit.errors import ParityError
from toolkit.wire.protos import DataType



@contextmanager
def open_runner(opening: Opening) -> Iterator[Runner]:
    """A Runner over `tf.compat.v1.saved_model.loader.load` and one Session callable."""
    import tensorflow as tf

    v1 = tf.compat.v1
    threads = opening.threads or 0
    config = v1.ConfigProto(intra_op_parallelism_threads=threads, inter_op_parallelism_threads=threads)
    with v1.Session(graph=tf.Graph(), config=config) as session:
        try:
            with session.graph.as_default():
                meta_graph = v1.saved_model.loader.load(session, ["serve"], str(opening.path))
        except Exception as error:  # the loader raises OSError, RuntimeError, ValueError and errors of its own
            raise ParityError(
                f"{opening.path} does not load in graph mode: {str(error).splitlines()[0]}",
                hint="TensorFlow Serving would refuse it too",
            ) from error
        entry = meta_graph.signature_def.get(opening.signature_name) if opening.signature_name else None
        if opening.signature_name not in meta_graph.signature_def or entry is None:
            raise ParityError(
                f"{opening.path} has no signature '{opening.signature_name}'", hint="build the bundle again"
            )
        yield FunctionRunner("saved_model", _signature(entry, opening.signature), _function(session, entry))


def _function(session: Any, entry: Any) -> Any:
    inputs, outputs = list(entry.inputs), list(entry.outputs)
    feeds = [entry.inputs[name].name for name in inputs]
    call = session.make_callable([entry.outputs[name].name for name in outputs], feed_list=feeds)
    strings = [name for name in outputs if DataType.Name(entry.outputs[name].dtype) == "DT_STRING"]

    def run(feed: Feed) -> Outputs:
        import tensorflow as tf

        try:
            found = dict(zip(outputs, call(*(feed[name] for name in inputs)), strict=True))
        except tf.errors.OpError as error:
            raise ParityError(f"the graph does not run: {str(error).splitlines()[0]}", hint="check the feed") from error
        return found | {name: as_array(found[name], "string") for name in strings}

    return run


def _signature(entry: Any, wanted: Signature) -> Signature:
    return Signature(
        {name: _spec(info) for name, info in entry.inputs.items()},
        {name: _spec(info) for name, info in entry.outputs.items()},
        wanted.method,
    )


def _spec(info: Any) -> TensorSpec:
    dtype = DataType.Name(info.dtype).removeprefix("DT_").lower()
    names = {"float": "float32", "double": "float64", "half": "float16"}
    shape = None if info.tensor_shape.unknown_rank else tuple(dim.size for dim in info.tensor_shape.dim)
    return TensorSpec(names.get(dtype, dtype), shape)


RUNTIME = Runtime(name="saved_model", opens=("saved_model",), open=open_runner)
