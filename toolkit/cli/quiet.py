"""Keeps the chatter of native libraries off the terminal and off stdout, which is for answers alone."""

import logging
import os
import sys
import tempfile
from typing import TextIO


def guard_streams(*, verbose: bool) -> TextIO:
    """Gives the stream of answers; what native code writes to file descriptors 1 and 2 goes elsewhere from now on.

    That is to a nameless file, or where stderr goes if it is wanted; Python's own stderr stays where it was. TensorFlow
    2.21 logs before its own log level is read, and LiteRT knows no level at all, so the environment variable alone
    does not do. Must run before they are loaded; it changes the whole process.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    answers = os.fdopen(os.dup(1), "w", encoding=sys.stdout.encoding, errors="backslashreplace")
    if verbose:
        os.dup2(2, 1)
        return answers
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ("tensorflow", "tf2onnx", "absl"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace")
    with tempfile.TemporaryFile() as nameless:
        os.dup2(nameless.fileno(), 1)
        os.dup2(nameless.fileno(), 2)
    return answers
