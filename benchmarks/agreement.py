"""Two reports of `bench --json` of one machine: every ratio to eager in both, and how far apart they are.

`python -m benchmarks.agreement ONE.json OTHER.json` ends with 1 where a ratio differs by more than 5 %.
"""

import sys
from pathlib import Path

from toolkit.measure.measurement import Measurement
from toolkit.measure.report import Report, read_report

LIMIT = 0.05


def apart(one: Report, other: Report) -> dict[str, tuple[float, float, str]]:
    """Row to its ratio in each report, and what each says of it; rows without a time in both are left out."""
    found = {}
    for first in one.measurements:
        second = other.find(first.key)
        if first.key.path == "eager" or second is None:
            continue
        ratios = one.speedup(first), other.speedup(second)
        if ratios[0] is not None and ratios[1] is not None:
            said = f"{_said(one, first)}, {_said(other, second)}"
            found[str(first.key)] = (ratios[0].value, ratios[1].value, said)
    return found


def _said(report: Report, row: Measurement) -> str:
    status, why = row.status(report.effort)
    return f"{status.value} ({why})" if why else status.value


def main() -> int:
    """Prints a line a ratio."""
    one, other = (read_report(Path(name)) for name in sys.argv[1:3])
    rows = apart(one, other)
    worst = max((max(first, second) / min(first, second) - 1 for first, second, _ in rows.values()), default=1.0)
    for name, (first, second, said) in rows.items():
        difference = max(first, second) / min(first, second) - 1
        print(
            f"{name:45} {first:8.2f} {second:8.2f}  {difference:6.1%} {'' if difference <= LIMIT else 'APART'} {said}"
        )
    print(f"{len(rows)} ratios, at most {worst:.1%} apart")
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
