"""Runs a traced model compiled by XLA, which compiles once for every shape it meets."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from toolkit.core.plugins import TRACED, Opening, Runtime
from toolkit.core.runner import FunctionRunner, Runner
from toolkit.core.tensors import Feed, Outputs
from toolkit.errors import Fault, RunError
from toolkit.runtimes.inprocess.flat import flat_call, traced_of


@contextmanager
def open_runner(opening: Opening) -> Iterator[Runner]:
    """A Runner over the concrete function inside a `tf.function(jit_compile=True)`."""
    import tensorflow as tf

    traced = traced_of(opening)
    name = opening.signature_name
    signature, function = traced.signatures[name], traced.functions[name]
    specs = {key: tf.TensorSpec(spec.shape, spec.dtype, name=key) for key, spec in signature.inputs.items()}

    def inner(**tensors: Any) -> Any:
        return function(**tensors)

    compiled = tf.function(inner, jit_compile=True, autograph=False)
    call = flat_call(compiled.get_concrete_function(**specs), signature)

    def run(feed: Feed) -> Outputs:
        try:
            return call(feed)
        except tf.errors.OpError as error:
            reason = error.message.strip().splitlines()[0]
            raise RunError(
                f"XLA cannot compile it: {reason:.200}", hint="`graph` measures it", fault=Fault.UNIMPLEMENTED
            ) from error

    yield FunctionRunner("xla", signature, run)


RUNTIME = Runtime(name="xla", opens=(TRACED,), open=open_runner, judges=False, libraries=("tensorflow", "keras"))
