"""Runs the concrete function of a traced model."""

from collections.abc import Iterator
from contextlib import contextmanager

from toolkit.core.plugins import TRACED, Opening, Runtime
from toolkit.core.runner import FunctionRunner, Runner
from toolkit.runtimes.inprocess.flat import flat_call, traced_of


@contextmanager
def open_runner(opening: Opening) -> Iterator[Runner]:
    """A Runner over the concrete function, called with flat tensors."""
    traced = traced_of(opening)
    name = opening.signature_name
    signature = traced.signatures[name]
    yield FunctionRunner("graph", signature, flat_call(traced.functions[name], signature))


RUNTIME = Runtime(name="graph", opens=(TRACED,), open=open_runner, judges=False, libraries=("tensorflow", "keras"))
