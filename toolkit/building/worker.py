"""The child of isolate.py: reads a function's name and arguments from a socket, answers with its result or error."""

import contextlib
import ctypes
import gc
import importlib
import os
import pickle
import signal
import sys
from multiprocessing.connection import Connection
from typing import Any

from toolkit.errors import ExportError, ToolkitError

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serves jobs until the parent closes its end; dies with the parent."""
    descriptor, parent = int(sys.argv[1]), int(sys.argv[2])
    _die_with(parent)
    connection = Connection(descriptor)
    while True:
        try:
            module, name, args = pickle.loads(connection.recv_bytes())  # noqa: S301  # from our own parent
        except EOFError:
            return
        connection.send_bytes(pickle.dumps(_answer(module, name, args)))
        # Graphs hold themselves by cycles, and with them the weights of a large model.
        gc.collect()


def _answer(module: str, name: str, args: tuple[Any, ...]) -> Any:
    try:
        return getattr(importlib.import_module(module), name)(*args)
    except ToolkitError as error:
        return error
    except Exception as error:  # noqa: BLE001  # the worker's one job is to turn whatever a converter does into an answer
        import traceback

        traceback.print_exc()
        text = next(iter(str(error).splitlines()), "")
        return ExportError(f"{type(error).__name__}: {text:.300}", hint="-v shows what the converter wrote")


def _die_with(parent: int) -> None:
    # Linux only; elsewhere the closed socket ends an idle child, and only a busy one can outlive its parent.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    main()
