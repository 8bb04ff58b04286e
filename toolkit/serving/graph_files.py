"""Finds and reads the file that makes a directory a SavedModel: in binary, or where that is missing as text."""

from collections.abc import Iterator
from pathlib import Path

from toolkit.errors import WireError
from toolkit.wire import protos
from toolkit.wire.protos import Message

SAVED_MODEL, TEXT = "saved_model.pb", "saved_model.pbtxt"


def graph_file(directory: Path) -> Path | None:
    """The file that TensorFlow's loaders would read; None where the directory is no SavedModel."""
    return next((path for path in (directory / SAVED_MODEL, directory / TEXT) if path.is_file()), None)


def graph_files(directory: Path) -> Iterator[Path]:
    """Those of a directory and of all below it."""
    for folder in sorted({path.parent for name in (SAVED_MODEL, TEXT) for path in directory.rglob(name)}):
        file = graph_file(folder)
        if file is not None:
            yield file


def read_graph(file: Path) -> Message:
    """The SavedModel in a file.

    Raises:
        WireError: its content is no SavedModel.
    """
    content = file.read_bytes()
    if file.name == SAVED_MODEL:
        return protos.parse(protos.SavedModel, content)
    try:
        return protos.parse_text(protos.SavedModel, content.decode())
    except UnicodeDecodeError as error:
        raise WireError(f"{file} is no text", hint="copy or save it again") from error
