"""Asks modelscan (github.com/protectai/modelscan) for a second opinion, where it is installed, in its own process."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from toolkit.insight.bounds import printable
from toolkit.insight.inspection import Finding, Inspection

NAME = "modelscan"
_TIMEOUT_S = 120.0
# Its exit codes: nothing found, something found, it failed, nothing there that it reads, wrong use.
_ANSWERS = frozenset({0, 1, 3})


def second_opinion(found: Inspection) -> Inspection:
    """The inspection with modelscan's issues as findings, and a note of what it did; unchanged without modelscan."""
    program = shutil.which(NAME)
    if program is None:
        return found
    with tempfile.TemporaryDirectory(prefix="tfx-export-") as folder:
        report = Path(folder) / "report.json"
        said = _ask([program, "--path", found.path, "--reporting-format", "json", "--output-file", str(report)], folder)
        if said or not report.is_file():
            return replace(found, notes=(*found.notes, f"{NAME} gave no opinion: {said or 'it wrote no report'}"))
        try:
            document = json.loads(report.read_text(encoding="utf-8"))
            findings, note = tuple(_issues(document)), _note(document)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            findings, note = (), f"{NAME} gave no opinion: its report is not understood ({error!r:.80})"
    return replace(found, findings=(*found.findings, *findings), notes=(*found.notes, note))


def _ask(line: list[str], folder: str) -> str:
    """Runs it; what went wrong, or nothing."""
    try:
        done = subprocess.run(line, capture_output=True, cwd=folder, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return printable(str(error))
    if done.returncode in _ANSWERS:
        return ""
    words = done.stderr.decode(errors="replace").strip().splitlines()
    return f"exit code {done.returncode}{f', {printable(words[-1])}' if words else ''}"


def _issues(document: Mapping[str, Any]) -> Iterator[Finding]:
    for issue in document["issues"]:
        what = f"{issue['severity'].lower()}: {issue['description']}"
        yield Finding("unsafe", printable(what), printable(issue["source"]), NAME)


def _note(document: Mapping[str, Any]) -> str:
    summary, errors = document["summary"], document["errors"]
    scanned = summary["scanned"]["total_scanned"]
    told = f"{NAME} {printable(summary['modelscan_version'])} scanned {scanned} files"
    missing = dict.fromkeys(error["description"] for error in errors)
    return told + (f"; it could not read all: {printable(next(iter(missing)))}" if missing else "")
