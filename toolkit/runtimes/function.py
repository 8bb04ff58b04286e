"""Runs the model as a tf.function, called as programs call one: by keyword, with the trace chosen at every call."""

from collections.abc import Iterator
from contextlib import contextmanager

from toolkit.core.plugins import TRACED, Opening, Runtime
from toolkit.core.runner import FunctionRunner, Runner
from toolkit.core.tensors import Feed, Outputs
from toolkit.runtimes.inprocess.flat import converter, fetched, traced_of


@contextmanager
def open_runner(opening: Opening) -> Iterator[Runner]:
    """A Runner over the tf.function that was traced for all of the signature's shapes."""
    traced = traced_of(opening)
    signature = traced.signatures[opening.signature_name]
    function, convert = traced.callables[opening.signature_name], converter(signature)

    def run(feed: Feed) -> Outputs:
        return fetched(function(**convert(feed)))

    yield FunctionRunner("function", signature, run)


RUNTIME = Runtime(name="function", opens=(TRACED,), open=open_runner, judges=False, libraries=("tensorflow", "keras"))
