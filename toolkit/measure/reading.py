"""Reads a report of any kind from a file, and compares two of one kind."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from toolkit.core.files import storage_errors
from toolkit.errors import BenchError
from toolkit.measure import report as bench
from toolkit.measure.comparing import Comparison, compare_reports
from toolkit.measure.load import report as load
from toolkit.measure.load.comparing import compare_loads

_HINT = "`tfx-export bench --json` and `tfx-export load --json` make them"
_READERS: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {bench.KIND: bench.Report.from_json, load.KIND: load.LoadReport.from_json}
)
_COMPARED: Mapping[type, Callable[[Any, Any], Comparison]] = MappingProxyType(
    {bench.Report: compare_reports, load.LoadReport: compare_loads}
)


def read_any(path: Path) -> bench.Report | load.LoadReport:
    """The report in a file.

    Raises:
        BenchError: it holds none.
    """
    with storage_errors(path):
        content = path.read_bytes()
    try:
        document = json.loads(content)
    except ValueError as error:
        raise BenchError(f"{path} is no JSON: {error}", hint=_HINT) from error
    # `--json` wraps the report into the answer that every verb gives.
    inner = document.get("result", document) if isinstance(document, dict) else None
    read = _READERS.get(str(inner.get("kind"))) if isinstance(inner, dict) else None
    if read is None:
        raise BenchError(f"{path} holds no report", hint=_HINT)
    try:
        found: bench.Report | load.LoadReport = read(inner)
    except BenchError as error:
        raise BenchError(f"{path}: {error.message}", hint=error.hint) from error
    return found


def compare_files(base: Path, new: Path) -> Comparison:
    """Which rows became faster or slower between two reports of one kind and machine.

    Raises:
        BenchError: they are no reports, of two kinds, or from unlike machines.
    """
    one, other = read_any(base), read_any(new)
    if type(one) is not type(other):
        raise BenchError("a benchmark and a load are not compared", hint="give two reports of one kind")
    return _COMPARED[type(one)](one, other)
