"""A benchmark's report: machine facts and raw measurements, to JSON and back; summaries are computed, never stored."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from toolkit.core.files import storage_errors
from toolkit.errors import BenchError
from toolkit.measure.machine import unlike
from toolkit.measure.measurement import Key, Measurement, Status
from toolkit.measure.plan import BASELINE, EFFORTS, SERVED, Effort
from toolkit.measure.server import path_to
from toolkit.measure.statistics import Interval, break_even

SCHEMA = 1
KIND = "tfx-export bench"
# Settings that make a row another thing to measure: of paths in one process, and of served ones.
_LOCAL, _REMOTE = ("device", "device_inputs"), ("server",)


@dataclass(frozen=True)
class Report:
    """What was measured, where, and how hard.

    Args:
        created: when, as ISO 8601 in UTC.
        machine: what `machine_facts` found.
        effort: the name of the effort; rounds and limits follow from it.
        settings: what was asked for, as the command line's options.
        seed: of the order of rounds.
        models: model to facts of its graph, its bundle, and the signature that was called.
        interrupted: whether a person ended it early.
    """

    created: str
    machine: Mapping[str, Any]
    effort: Effort
    settings: Mapping[str, Any]
    seed: int
    measurements: tuple[Measurement, ...]
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    interrupted: bool = False

    def find(self, key: Key) -> Measurement | None:
        """The measurement of a row."""
        return next((found for found in self.measurements if found.key == key), None)

    def baseline_of(self, measurement: Measurement) -> Measurement | None:
        """Eager in the same setting, if it has a time."""
        found = self.find(replace(measurement.key, path=BASELINE))
        return found if found is not None and found.timed else None

    def speedup(self, measurement: Measurement) -> Interval | None:
        """How many times as fast as eager, by rounds side by side."""
        baseline = self.baseline_of(measurement)
        if baseline is None or not measurement.timed:
            return None
        return Interval(1.0, 1.0, 1.0) if baseline is measurement else measurement.times_as_fast_as(baseline)

    def break_even(self, measurement: Measurement) -> int | None:
        """Calls after which trace and first call have paid for themselves; None where they never do."""
        baseline = self.baseline_of(measurement)
        if baseline is None or baseline is measurement or not measurement.timed:
            return None
        return break_even(measurement.once_s - baseline.once_s, baseline.mean_s, measurement.mean_s)

    def fastest(self, key: Key) -> Measurement | None:
        """The path with the least median of one setting, among those whose answers are right and whose times count."""
        rows = [found for found in self.measurements if replace(found.key, path="") == replace(key, path="")]
        valid = [found for found in rows if found.status(self.effort)[0] is Status.VALID]
        return min(valid, key=lambda found: found.median_s, default=None)

    @property
    def unmet(self) -> list[tuple[Key, Status, str]]:
        """The rows that do not give what was asked for, and why: INVALID, WRONG, or n/a though asked for.

        A path that nobody asked for by name, and that the bundle does not have, lacks nothing.
        """
        found = [(row.key, *row.status(self.effort)) for row in self.measurements]
        return [
            (key, status, why)
            for key, status, why in found
            if status in {Status.INVALID, Status.WRONG}
            or (status is Status.UNAVAILABLE and key.path in self._asked_for(key.model))
        ]

    def _asked_for(self, model: str) -> set[str]:
        """The paths of a model that a person named, and the baseline, which everything is held against."""
        server = str(self.settings.get("server") or "")
        named = {*self.settings.get("paths", ()), *([path_to(server)] if server else [])}
        # A SavedModel has no eager form to measure.
        restored = self.models.get(model, {}).get("baseline") == "restored"
        return named if restored else {*named, BASELINE}

    @property
    def invalid(self) -> list[str]:
        """The same as sentences."""
        return [f"{key}: {status.value}: {why}" for key, status, why in self.unmet]

    def to_json(self) -> dict[str, Any]:
        """The document of a report's file."""
        return {
            "schema": SCHEMA,
            "kind": KIND,
            "created": self.created,
            "machine": dict(self.machine),
            "effort": self.effort.name,
            "settings": dict(self.settings),
            "seed": self.seed,
            "models": {name: dict(facts) for name, facts in self.models.items()},
            "interrupted": self.interrupted,
            "measurements": [found.to_json() for found in self.measurements],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Report":
        """The report that `to_json` wrote.

        Raises:
            BenchError: the document is none, or of another schema.
        """
        try:
            # `--json` wraps the report into the answer that every verb gives.
            document = document.get("result", document)
            if document["kind"] != KIND or document["schema"] != SCHEMA:
                raise BenchError(
                    f"a report of schema {document['schema']!r}, this release reads {SCHEMA}", hint="measure again"
                )
            measurements = tuple(Measurement.from_json(entry) for entry in document["measurements"])
            for found in measurements:
                _refuse_impossible(found)
            return cls(
                created=document["created"],
                machine=document["machine"],
                effort=EFFORTS[document["effort"]].capped(document["settings"]["max_seconds_per_path"]),
                settings=document["settings"],
                seed=document["seed"],
                measurements=measurements,
                models=document["models"],
                interrupted=document["interrupted"],
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise BenchError(
                f"no benchmark report: {error!r:.80}", hint="`tfx-export bench --json` makes one"
            ) from error

    def _repr_html_(self) -> str:
        from toolkit.measure.page import fragment  # late: a report is read without one, too

        return fragment(self)


def read_report(path: Path) -> Report:
    """The report in a file.

    Raises:
        BenchError: it holds none.
    """
    with storage_errors(path):
        content = path.read_bytes()
    try:
        return Report.from_json(json.loads(content))
    except ValueError as error:
        raise BenchError(f"{path} is no JSON: {error}", hint="`tfx-export bench --json` makes one") from error
    except BenchError as error:
        raise BenchError(f"{path}: {error.message}", hint=error.hint) from error


def _refuse_impossible(found: Measurement) -> None:
    """ValueError where no benchmark could have found this."""
    if len(found.samples_ns) and found.samples_ns.min() <= 0:
        raise ValueError(f"{found.key} has a call that took no time")
    if found.processes and len(found.processes) != len(found.rounds):
        raise ValueError(f"{found.key} has rounds of no process")


def unlike_settings(one: Report, other: Report, key: Key) -> list[str]:
    """In what two reports were asked for unlike things, so that one row of them is not the same row.

    What an older report does not say counts as like.
    """
    return _unlike(one, other, _REMOTE if key.path in SERVED else _LOCAL, [key.model])


def _unlike(one: Report, other: Report, names: Iterable[str], models: Iterable[str]) -> list[str]:
    pairs = [(name, one.settings.get(name), other.settings.get(name)) for name in names]
    pairs += [(f"signature of {model}", _signature(one, model), _signature(other, model)) for model in models]
    return [
        f"{name}: {first or 'none'} and {second or 'none'}"
        for name, first, second in pairs
        if first is not None and second is not None and first != second
    ]


def _signature(report: Report, model: str) -> Any:
    return report.models.get(model, {}).get("signature")


def merged(reports: Iterable[Report]) -> Report:
    """Several reports of one machine as one; a row that stands in several is taken from the last.

    Raises:
        BenchError: they come from unlike machines, or were measured with unlike effort or other unlike settings.
    """
    first, *others = reports
    rows = {found.key: found for found in first.measurements}
    models = dict(first.models)
    for other in others:
        differences = unlike(first.machine, other.machine)
        if first.effort != other.effort:
            differences.append(f"effort: {first.effort.name} and {other.effort.name}")
        differences += _unlike(replace(first, models=models), other, (*_LOCAL, *_REMOTE), other.models)
        if differences:
            raise BenchError(
                f"these reports are not merged: {'; '.join(differences)}",
                hint="measure on one machine, with the same options",
            )
        rows |= {found.key: found for found in other.measurements}
        models |= other.models
    return replace(first, measurements=tuple(rows.values()), models=models)
