"""Reports of measurements: files that are checked before minutes are spent, written whole, and tables on the screen."""

import errno
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.cli.output import Output
from toolkit.errors import StoreError, ToolkitError, UsageError

if TYPE_CHECKING:
    from toolkit.measure.table import Table


def refuse_unwritable(files: Iterable[Path | None]) -> None:
    """Minutes of measuring must not end in a folder that was never there.

    Raises:
        UsageError: a file's folder is not there.
        StoreError: nothing may be written there.
    """
    from toolkit.core.files import storage_error  # late: --help needs none

    for file in files:
        if file is not None and not file.parent.is_dir():
            raise UsageError(f"there is no folder {file.parent}", hint=f"mkdir -p {file.parent}, or name another")
        if file is not None and not os.access(file.parent, os.W_OK | os.X_OK):
            raise storage_error(PermissionError(errno.EACCES, os.strerror(errno.EACCES)), file.parent)


def write_files(files: Mapping[str, Path | None], writers: Mapping[str, Callable[[], str]]) -> ToolkitError | None:
    """Writes each file that was asked for; what kept one from being written: the figures are shown in any case."""
    from toolkit.core.files import storage_errors

    for name, file in files.items():
        if file is not None:
            text = writers[name]()
            beside = file.with_name(f".{file.name}.{os.getpid()}")
            try:
                with storage_errors(file):
                    beside.write_text(text, encoding="utf-8")
                    beside.replace(file)
            except StoreError as error:
                with suppress(OSError):
                    beside.unlink()
                return error
    return None


def show_tables(screen: Output, tables: "Iterable[Table]") -> None:
    """Prints tables with their notes."""
    for table in tables:
        screen.line(table.title)
        screen.table(table.headings, table.rows, right=table.right)
        for note in table.notes:
            screen.line(f"note: {note}")
        screen.line()
