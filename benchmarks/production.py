"""From eager to production, hop by hop: python -m benchmarks.production [MODEL...]; prints the tables of a document.

In process by `bench`; served by `load`, at rest (one caller) and at 70 % of capacity, by Poisson arrivals. Capacity is
the highest rate at which p99 stays within ten times the median at rest; only loads that are valid count.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import toolkit
from benchmarks.rounds import ROOT, machine
from toolkit.core.artifact import GOLDEN, read_manifest
from toolkit.core.golden import read_golden
from toolkit.core.store import newest
from toolkit.measure.load.crew import Crew
from toolkit.measure.load.point import Point
from toolkit.measure.load.report import LoadReport
from toolkit.measure.load.request import LoadRequest
from toolkit.measure.load.session import measure_load
from toolkit.measure.load.tables import WHERE
from toolkit.measure.report import Report
from toolkit.measure.server import serve_bundle
from toolkit.measure.table import readable_s

PATHS = ("eager", "graph", "saved_model")
SHARE, SLACK = 0.7, 10
Row = tuple[str, ...]


@dataclass(frozen=True)
class Served:
    """What came of a model over one protocol: one caller, the search for its capacity in words, and a share of it."""

    rest: Point
    capacity: str
    busy: Point


def main() -> None:
    """Print a table of latencies and one of hops for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["mlp", "transformer", "mobilenet"])
    parser.add_argument("--over", nargs="+", default=["grpc", "rest"])
    given = parser.parse_args()
    print(*machine(), sep="\n")
    for model in given.models:
        rows = list(_in_process(toolkit.bench(model, paths=PATHS, max_seconds_per_path=8.0)))
        hops: list[Row] = []
        for over, found in _served(model, given.over):
            print(f"{model}, {over}: {found.capacity}", flush=True)
            busy = f"{over}, {found.busy.shape.rate:.0f}/s ({SHARE:.0%})"
            rows += [_row(f"{over}, at rest", found.rest), _row(busy, found.busy)]
            hops += [_hops(f"{over}, at rest", found.rest), _hops(f"{over}, {SHARE:.0%}", found.busy)]
        _print(f"{model}: latency", ("path", "p50", "p90", "p99", "late", "client CPU", "verdict"), rows)
        _print(f"{model}: where the median goes", ("path", *WHERE), hops)


def _served(model: str, overs: Sequence[str]) -> Iterator[tuple[str, Served]]:
    """By protocol; one server and one worker for all of a model's loads."""
    bundle = newest(ROOT / "exported", model)
    if bundle is None:
        raise SystemExit(f"build {model} first")
    with serve_bundle(bundle, model, 0, ("--runtime=saved_model",)) as server, Crew(1) as crew:
        for over in overs:
            yield over, _one(server.url(over, "serving_default"), _feeds(bundle), crew)


def _one(url: str, feeds: list[dict[str, Any]], crew: Crew) -> Served:
    def load(**options: Any) -> LoadReport:
        asked = LoadRequest((url,), feeds={"": feeds}, batch_sizes=(1,), arrival="poisson", **options)
        return measure_load(asked, lambda said: print(said, file=sys.stderr), crew=crew)

    rest = load(callers=(1,), duration_s=6.0).points[0]
    median = rest.percentile_s(50)
    assert median is not None, "six seconds have a median"
    found = load(slo=("p99", SLACK * median.value), duration_s=4.0, warm_up_s=0.5).found["slo"]
    if found["rate"] is None:
        raise SystemExit(f"{url}: {found['said']}")
    return Served(rest, found["said"], load(rates=(round(found["rate"] * SHARE),), duration_s=10.0).points[0])


def _feeds(bundle: Path) -> list[dict[str, Any]]:
    """One row at a time of the golden feeds: requests as a bundle would be loaded with."""
    signatures = read_manifest(bundle).signatures
    cases = [case for case in read_golden(bundle / GOLDEN, signatures) if case.signature == "serving_default"]
    return [dict(case.feed) for case in cases]


def _in_process(report: Report) -> Iterator[Row]:
    for found in report.measurements:
        times = (found.percentile_s(wanted) for wanted in (50, 90, 99))
        status = found.status(report.effort)[0].value
        yield (
            f"in process: {found.key.path}",
            *(readable_s(one.value) if one else "-" for one in times),
            "",
            "",
            status,
        )


def _row(name: str, point: Point) -> Row:
    times = (point.percentile_s(wanted) for wanted in (50, 90, 99))
    late = "" if point.shape.callers else f"{point.records.late_share:.2%}"
    status = point.status[0].value
    return (name, *(readable_s(one.value) if one else "-" for one in times), late, f"{point.client_cpu:.0%}", status)


def _hops(name: str, point: Point) -> Row:
    medians = point.medians_s()
    return (name, *(readable_s(medians[hop]) if hop in medians else "-" for hop in WHERE))


def _print(title: str, headings: Row, rows: Sequence[Row]) -> None:
    print(f"\n### {title}\n")
    for line in (headings, ("---", *["---:"] * (len(headings) - 1)), *rows):
        print(f"| {' | '.join(line)} |")


if __name__ == "__main__":
    main()
