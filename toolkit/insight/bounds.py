"""Reads files that may be damaged or hostile: no size that a file declares is believed, and all work is counted."""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toolkit.core.files import storage_error
from toolkit.errors import ParityError

# protobuf's and flatbuffer's own limit for one message; a larger file of these formats is damaged whatever it holds.
FILE_BYTES = 2 * 1024**3
PARTS = 2_000_000
# Chosen by people are names; longer ones are an attack on whoever reads them on a terminal.
NAME_LENGTH = 300


class Budget:
    """How much one inspection may look at, over all files and nested parts.

    Args:
        parts: ops, tensors, entries and the like.
        size_bytes: of values that are hashed; a file may name the same bytes any number of times.
    """

    def __init__(self, parts: int = PARTS, size_bytes: int = 8 * FILE_BYTES) -> None:
        self._parts, self._size_bytes = parts, size_bytes

    def take(self, parts: int = 1) -> None:
        """Count something that is looked at.

        Raises:
            ParityError: it is too much.
        """
        self._parts -= parts
        if self._parts < 0:
            raise damaged("it has more parts than any model", "no model has more than two million parts")

    def digest(self, content: Any) -> str:
        """A digest of some values, which are counted."""
        view = memoryview(content)
        self._size_bytes -= view.nbytes
        if self._size_bytes < 0:
            raise damaged("it names the same bytes over and over", "no model does")
        return f"blake2b:{hashlib.blake2b(view, digest_size=16).hexdigest()}"


def damaged(what: str, hint: str = "copy or export it again") -> ParityError:
    """The error of an artifact that is not what it should be."""
    return ParityError(what, hint=hint)


@contextmanager
def reading(path: Path, *kinds: type[Exception]) -> Iterator[None]:
    """Turns what a library raises over damaged content into one line that names the file.

    Args:
        path: the file.
        kinds: the library's own classes of errors, besides those that any content may cause.
    """
    caught: tuple[type[Exception], ...] = (RecursionError, MemoryError, UnicodeError, *kinds)
    try:
        yield
    except OSError as error:
        if isinstance(error, kinds):
            raise _unreadable(path, error) from error
        raise storage_error(error, path) from error
    except caught as error:
        raise _unreadable(path, error) from error
    except ParityError as error:
        if str(path) in error.message:
            raise
        raise ParityError(f"{path}: {error.message}", hint=error.hint) from error


def _unreadable(path: Path, error: BaseException) -> ParityError:
    said = next(iter(str(error).splitlines()), "") or type(error).__name__
    return damaged(f"{path} is damaged or is not what its name says: {printable(said)}")


def read_bytes(path: Path, limit_bytes: int = FILE_BYTES) -> bytes:
    """The bytes of a regular file.

    Raises:
        ParityError: it is a pipe or a device, or larger than the limit.
        StoreError: it cannot be read.
    """
    with reading(path), open_regular(path) as file:
        # Python takes memory for all that it is asked for, however little there is.
        content = file.read(min(os.fstat(file.fileno()).st_size, limit_bytes) + 1)
    if len(content) > limit_bytes:
        raise damaged(f"{path} is larger than {limit_bytes:,} bytes", "that is the most that is read")
    return bytes(content)


@contextmanager
def open_regular(path: Path) -> Iterator[Any]:
    """A regular file, open for reading: a pipe would block, a device might never end."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123  # a descriptor
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise damaged(f"{path} is no regular file", "give a file or a folder")
        yield file


def printable(text: str | bytes) -> str:
    """Text of a file as it may stand on a terminal: no control characters, and cut off where it is too long."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    short = text if len(text) <= NAME_LENGTH else f"{text[:NAME_LENGTH]}..."
    return (
        short
        if short.isprintable()
        else "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in short)
    )


def outside(name: str) -> bool:
    """Whether a file's name inside an artifact leads out of the artifact's folder, by the name alone."""
    parts = name.replace("\\", "/").split("/")
    return name.startswith(("/", "\\")) or ".." in parts or parts[0].endswith(":") or "://" in name


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; links are not followed."""
    if not path.is_dir():
        return path.stat().st_size
    total = 0
    for folder, _, files in os.walk(path):
        total += sum(os.lstat(os.path.join(folder, name)).st_size for name in files)  # noqa: PTH118  # bytes of many
    return total
