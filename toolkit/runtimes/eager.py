"""Runs the model as its author built it: operation by operation, Python in between."""

from collections.abc import Iterator
from contextlib import contextmanager

from toolkit.core.plugins import MODEL, Opening, Runtime
from toolkit.core.runner import FunctionRunner, Runner
from toolkit.errors import UnsupportedError
from toolkit.runtimes.inprocess.flat import traced_of


@contextmanager
def open_runner(opening: Opening) -> Iterator[Runner]:
    """A Runner over the model's own call.

    Raises:
        UnsupportedError: the model is a restored SavedModel, which has only its graph left.
    """
    traced = traced_of(opening)
    if traced.baseline == "restored":
        raise UnsupportedError("a SavedModel has no eager form", hint="bench the source that it was made from")
    name = opening.signature_name
    yield FunctionRunner("eager", traced.signatures[name], traced.eager[name])


RUNTIME = Runtime(name="eager", opens=(MODEL,), open=open_runner, judges=False, libraries=("tensorflow", "keras"))
