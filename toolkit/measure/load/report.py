"""A load's report: machine facts and raw records, to JSON and back; summaries are computed, never read."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from toolkit.errors import BenchError
from toolkit.measure.load.point import Point
from toolkit.measure.load.recording import log_of
from toolkit.measure.measurement import Status

SCHEMA = 1
KIND = "tfx-export load"


@dataclass(frozen=True, eq=False)
class LoadReport:
    """What was loaded, where, and what came of it.

    Args:
        created: when, as ISO 8601 in UTC.
        machine: what `machine_facts` found.
        settings: what was asked for, as the command line's options.
        seed: of arrivals and choices.
        points: one a load.
        found: what a search or a sweep came to, in words and numbers; empty where none was asked for.
        interrupted: whether a person ended it early.
        server_bytes: the largest resident memory of a server that was started for it; None for one that ran already.
    """

    created: str
    machine: Mapping[str, Any]
    settings: Mapping[str, Any]
    seed: int
    points: tuple[Point, ...]
    found: Mapping[str, Any] = field(default_factory=dict)
    interrupted: bool = False
    server_bytes: int | None = None

    @property
    def models(self) -> list[str]:
        """Whom it asked."""
        return list(dict.fromkeys(point.shape.model for point in self.points))

    @property
    def invalid(self) -> list[str]:
        """The points whose figures do not count, and why."""
        found = ((point.shape, *point.status) for point in self.points)
        return [f"{shape}: {status.value}: {why}" for shape, status, why in found if status is not Status.VALID]

    def hdr_log(self) -> str:
        """The corrected latencies as an HdrHistogram log, a line for each second of each point, one after another."""
        parts, start_s = [], 0.0
        for point in self.points:
            seconds = math.ceil(point.records.seconds)
            for second, part in enumerate(point.records.windows(seconds)):
                parts.append((start_s + second, part.corrected_ns))
            start_s += seconds
        return log_of(parts, datetime.fromisoformat(self.created).timestamp())

    def to_json(self) -> dict[str, Any]:
        """The document of a report's file."""
        return {
            "schema": SCHEMA,
            "kind": KIND,
            "created": self.created,
            "machine": dict(self.machine),
            "settings": dict(self.settings),
            "seed": self.seed,
            "found": dict(self.found),
            "interrupted": self.interrupted,
            "server_bytes": self.server_bytes,
            "points": [point.to_json() for point in self.points],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "LoadReport":
        """The report that `to_json` wrote.

        Raises:
            BenchError: the document is none, or of another schema.
        """
        try:
            if document["schema"] != SCHEMA:
                raise BenchError(
                    f"a report of schema {document['schema']!r}, this release reads {SCHEMA}", hint="measure again"
                )
            return cls(
                created=document["created"],
                machine=document["machine"],
                settings=document["settings"],
                seed=document["seed"],
                points=tuple(Point.from_json(entry) for entry in document["points"]),
                found=document["found"],
                interrupted=document["interrupted"],
                server_bytes=document.get("server_bytes"),  # reports of before have none
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BenchError(f"no load report: {error!r:.80}", hint="`tfx-export load --json` makes one") from error

    def _repr_html_(self) -> str:
        from toolkit.measure.load.page import fragment  # late: a report is read without one, too

        return fragment(self)
