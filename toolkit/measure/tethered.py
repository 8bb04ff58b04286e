"""The command line in a process that ends with the one that started it: `python -m toolkit.measure.tethered PID ...`.

A benchmark that is killed must not leave a server behind, which would disturb every later measurement.
"""

import contextlib
import ctypes
import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ties this process to its parent, then runs the rest of the arguments."""
    parent = int(sys.argv.pop(1))
    # Linux only; elsewhere a killed benchmark leaves its server to be ended by hand.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    # By name: a benchmark stands below the command line in the order of layers.
    runpy.run_module("toolkit.cli.main", run_name="__main__")


if __name__ == "__main__":
    main()
