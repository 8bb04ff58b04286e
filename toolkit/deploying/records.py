"""The log of a model's deployments: JSON lines, appended and brought to the disk, never rewritten."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from toolkit.core.files import storage_errors
from toolkit.deploying.layout import Layout


@dataclass(frozen=True)
class Record:
    """One step of a deployment.

    Args:
        step: gate, publish, rollout, rollback, promote or gc.
        outcome: done or refused.
        finding: what was seen, in one line.
        facts: figures and digests, as JSON can hold them.
    """

    step: str
    version: int
    outcome: str
    finding: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    when: str = ""


def append(layout: Layout, record: Record) -> None:
    """Adds a line; a line is whole or, after a power cut, the last one and ignored."""
    entry = vars(record) | {"facts": dict(record.facts), "when": record.when or now(), "model": layout.name}
    line = json.dumps(entry) + "\n"
    with storage_errors(layout.records):
        layout.records.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(layout.records, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            # A line that a crash cut short must not swallow ours.
            whole = line if _ends_whole(layout) else "\n" + line
            _write(descriptor, whole.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def now() -> str:
    """The time as records hold it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def read(layout: Layout) -> list[Record]:
    """All records, oldest first by their place in the file: clocks go back, appends do not."""
    try:
        lines = layout.records.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        try:
            entry = json.loads(line)
            entry.pop("model")
            record = Record(**entry)
            found.append(replace(record, version=int(record.version), facts=dict(record.facts)))
        except (ValueError, TypeError, KeyError, AttributeError):
            continue  # cut short by a crash; what it tells, the directory tells too
    return found


def versions_used(layout: Layout) -> set[int]:
    """Every version that was ever published under this name, so that none is used twice."""
    # Whatever was done to a version, it was there; a gate that refused never gave the number away.
    return {record.version for record in read(layout) if record.step != "gate"}


def _write(descriptor: int, content: bytes) -> None:
    # A disk that fills takes the first part and says so only to the next call.
    while content:
        content = content[os.write(descriptor, content) :]


def _ends_whole(layout: Layout) -> bool:
    with layout.records.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
