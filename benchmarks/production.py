"""From eager to production, hop by hop: python -m benchmarks.production [MODEL...]; prints the tables of a document.

In process by `bench`; served by `load`, at rest (one caller) and at 70 % of what four callers get, by Poisson arrivals.
"""

import argparse
from collections.abc import Iterator, Sequence

import toolkit
from benchmarks.rounds import machine
from toolkit.measure.load.point import Point
from toolkit.measure.load.request import LoadRequest
from toolkit.measure.load.session import measure_load
from toolkit.measure.load.tables import WHERE
from toolkit.measure.load.targets import Serving
from toolkit.measure.report import Report
from toolkit.measure.table import readable_s

PATHS = ("eager", "graph", "saved_model")
SHARE = 0.7
Row = tuple[str, ...]


def main() -> None:
    """Print a table of latencies and one of hops for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["mlp", "transformer", "mobilenet"])
    parser.add_argument("--over", nargs="+", default=["grpc", "rest"])
    given = parser.parse_args()
    print(*machine(), sep="\n")
    for model in given.models:
        rows = list(_in_process(toolkit.bench(model, paths=PATHS)))
        hops: list[Row] = []
        for over in given.over:
            rest, busy = served(model, over)
            rows += [_row(f"{over}, at rest", rest), _row(f"{over}, {busy.shape.rate:.0f}/s ({SHARE:.0%})", busy)]
            hops += [_hops(f"{over}, at rest", rest), _hops(f"{over}, {SHARE:.0%}", busy)]
        _print(f"{model}: latency", ("path", "p50", "p90", "p99", "verdict"), rows)
        _print(f"{model}: where the median goes", ("path", *WHERE), hops)


def served(model: str, over: str) -> tuple[Point, Point]:
    """The load of one caller, and that at a share of what many get."""
    serving = Serving(over)
    alone, many = measure_load(LoadRequest((model,), callers=(1, 4), duration_s=4.0, serving=serving)).points
    rate = round(many.records.rate_achieved * SHARE)
    asked = LoadRequest((model,), rates=(rate,), arrival="poisson", duration_s=8.0, serving=serving)
    return alone, measure_load(asked).points[0]


def _in_process(report: Report) -> Iterator[Row]:
    for found in report.measurements:
        times = (found.percentile_s(wanted) for wanted in (50, 90, 99))
        status = found.status(report.effort)[0].value
        yield (f"in process: {found.key.path}", *(readable_s(one.value) if one else "-" for one in times), status)


def _row(name: str, point: Point) -> Row:
    times = (point.percentile_s(wanted) for wanted in (50, 90, 99))
    return (name, *(readable_s(one.value) if one else "-" for one in times), point.status[0].value)


def _hops(name: str, point: Point) -> Row:
    medians = point.medians_s()
    return (name, *(readable_s(medians[hop]) if hop in medians else "-" for hop in WHERE))


def _print(title: str, headings: Row, rows: Sequence[Row]) -> None:
    print(f"\n### {title}\n")
    for line in (headings, ("---", *["---:"] * (len(headings) - 1)), *rows):
        print(f"| {' | '.join(line)} |")


if __name__ == "__main__":
    main()
