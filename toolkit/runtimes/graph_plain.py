"""Runs the concrete function of a traced model with Grappler, TensorFlow's graph optimizer, off."""

from collections.abc import Iterator
from contextlib import contextmanager

from toolkit.core.plugins import TRACED, Opening, Runtime
from toolkit.core.runner import FunctionRunner, Runner
from toolkit.runtimes.inprocess.flat import flat_call, traced_of


@contextmanager
def open_runner(opening: Opening) -> Iterator[Runner]:
    """A Runner as `graph` gives it; the optimizer is off for the whole process while it is open."""
    import tensorflow as tf

    traced = traced_of(opening)
    name = opening.signature_name
    signature = traced.signatures[name]
    # The options are read when a function first runs, so no call may come before.
    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    try:
        yield FunctionRunner("graph-plain", signature, flat_call(traced.functions[name], signature))
    finally:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False} | before)


RUNTIME = Runtime(
    name="graph-plain", opens=(TRACED,), open=open_runner, judges=False, libraries=("tensorflow", "keras")
)
