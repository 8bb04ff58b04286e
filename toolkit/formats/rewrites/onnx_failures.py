"""Which op tf2onnx failed on: it writes that into its log, and raises what its handler ran into."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

from toolkit.errors import ExportError, UnsupportedError
from toolkit.graphs.census import layer_of

_LOGGER = logging.getLogger("tf2onnx.tfonnx")


@contextmanager
def telling() -> Iterator[None]:
    """Turns what tf2onnx raises into an error that names the op and its layer, where its log tells.

    Raises:
        UnsupportedError: a handler failed on an op.
        ExportError: something else went wrong.
    """
    failed = _Failed()
    _LOGGER.addHandler(failed)
    try:
        yield
    except Exception as error:  # tf2onnx raises from any of its handlers without a common class
        first = next(iter(str(error).splitlines()), "")
        if failed.layers:
            named = ", ".join(f"{op} (layer {layer})" for op, layer in failed.layers.items())
            raise UnsupportedError(
                f"tf2onnx cannot convert {named}: {type(error).__name__}: {first:.200}",
                hint="replace the op by ones that ONNX has, or serve the SavedModel",
            ) from error
        raise ExportError(
            f"tf2onnx could not convert the graph: {type(error).__name__}: {first:.200}",
            hint="serve the SavedModel; -v shows what the converter wrote",
        ) from error
    finally:
        _LOGGER.removeHandler(failed)


class _Failed(logging.Handler):
    """Reads tf2onnx.tfonnx's `Failed to convert node %r (fct=%r)` with the node's name and summary as arguments."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.layers: dict[str, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Notes the op's type and the layer of the first such op."""
        found = re.search(r"Failed to convert node '([^']+)'.*?OP=(\w+)", record.getMessage(), re.DOTALL)
        if found is not None:
            self.layers.setdefault(found[2], layer_of(found[1]))
