"""Keeps the chatter of native libraries off the terminal, unless it is asked for."""

import logging
import os
import sys
import tempfile


def quiet_libraries() -> None:
    """Sends what native code writes to file descriptor 2 to a nameless file; Python's own stderr stays where it was.

    TensorFlow 2.21 logs before its own log level is read, and LiteRT knows no level at all, so the environment
    variable alone does not do. Must run before they are loaded.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ("tensorflow", "tf2onnx", "absl"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    sys.stderr.flush()
    own = os.dup(2)
    sys.stderr = os.fdopen(own, "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace")
    with tempfile.TemporaryFile() as nameless:
        os.dup2(nameless.fileno(), 2)
