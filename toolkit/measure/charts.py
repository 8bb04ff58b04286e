"""Draws charts as inline SVG: numbers in, text out. Colours are the page's, so that light and dark both work."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from toolkit.measure.statistics import Interval

WIDTH, LEFT, RIGHT, ROW = 760, 150, 90, 22
_HEIGHT, _TOP, _BOTTOM = 300, 12, 44
_VANISHING = 50
_COLOURS = 12  # classes c0 to c11 of the page

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    """An axis: what it is called, and how a value on it is written."""

    title: str
    text: "Text"
    logarithmic: bool = True

    def scale(self, values: Sequence[float]) -> "Scale":
        """The scale that holds these values, with a little room."""
        if not self.logarithmic:
            return Scale(0.0, max(values) * 1.02, logarithmic=False)
        low, high = math.log10(min(values)), math.log10(max(values))
        room = 0.05 * (high - low) or 0.5
        return Scale(low - room, high + room)


@dataclass(frozen=True)
class Scale:
    """From a value to a share of an axis."""

    low: float
    high: float
    logarithmic: bool = True

    def place(self, value: float) -> float:
        """0 at the beginning of the axis, 1 at its end."""
        at = math.log10(max(value, 1e-300)) if self.logarithmic else value
        return max(0.0, (at - self.low) / (self.high - self.low))

    @property
    def ticks(self) -> list[float]:
        """Round values on it."""
        if not self.logarithmic:
            step = 10.0 ** math.floor(math.log10(self.high))
            step = step / 5 if self.high / step < 2 else step / 2 if self.high / step < 5 else step
            return [at * step for at in range(math.floor(self.high / step) + 1)]
        whole = [10.0**power for power in range(math.ceil(self.low), math.floor(self.high) + 1)]
        if len(whole) >= 3:
            return whole[:: math.ceil(len(whole) / 7)]
        powers = range(math.floor(self.low), math.ceil(self.high) + 1)
        fine = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
        inside = [value for value in fine if self.low <= math.log10(value) <= self.high]
        return inside if len(inside) > 1 else [10**self.low, 10**self.high]


class Text:
    """Writes a value with its unit."""

    def __init__(self, unit: str = "", *, seconds: bool = False) -> None:
        self._unit, self._seconds = unit, seconds

    def __call__(self, value: float) -> str:
        """`2.5 ms`, `1,200 rows/s`."""
        if self._seconds:
            for limit, factor, unit in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms"), (math.inf, 1.0, "s")):
                if value < limit * 0.9995:
                    return f"{value * factor:.3g} {unit}" if value < 1000 else f"{value:,.0f} {unit}"
        return f"{value:,.3g} {self._unit}".strip() if value < 1000 else f"{value:,.0f} {self._unit}".strip()


class Nines(Text):
    """Writes "one in N" as the percentile above which it lies: 100 as p99."""

    def __call__(self, value: float) -> str:
        """`p99.9`."""
        return f"p{100 * (1 - 1 / max(value, 1.0)):.6g}"


SECONDS, PERCENTILE = Text(seconds=True), Nines()


def bars(rows: Mapping[str, Mapping[str, Interval]], text: Text) -> str:
    """Groups of horizontal bars with the bounds of each as whiskers: row to series to interval.

    From zero unless some would vanish beside the longest.
    """
    series = list(dict.fromkeys(name for values in rows.values() for name in values))
    intervals = [one for values in rows.values() for one in values.values()]
    found = [end for one in intervals for end in (one.value, one.high) if end > 0]
    if not found:
        return ""
    wide_apart = max(found) > _VANISHING * min(found)
    scale = (
        Scale(math.log10(min(found)) - 1, math.log10(max(found)))
        if wide_apart
        else Scale(0, max(found), logarithmic=False)
    )
    parts, y = _legend(series)
    if wide_apart:
        parts.append(_text(8, 14, "logarithmic", "small"))
    left, height = _room(rows), max(6, ROW // max(1, len(series)))
    for name, values in rows.items():
        parts.append(_text(left - 8, y + height * len(values) / 2 + 3, name, "end"))
        for one, interval in values.items():
            parts += _bar((left, y, height), scale, (one, series.index(one)), interval, text)
            y += height
        y += 8
    return _svg(y + 4, parts)


def _bar(
    place: tuple[float, float, float], scale: Scale, series: tuple[str, int], found: Interval, text: Text
) -> list[str]:
    """A bar at (x, y) of a height, its whisker, and its value behind both."""
    (left, y, height), (name, at) = place, series
    low, end, high = (left + scale.place(one) * (WIDTH - left - RIGHT) for one in (found.low, found.value, found.high))
    bounds = f"{text(found.value)} (99 %: {text(found.low)} to {text(found.high)})"
    shape = (
        f'<rect x="{left}" y="{y}" width="{max(1.0, end - left):.1f}" height="{height - 1}" class="c{at % _COLOURS}"/>'
    )
    middle, cap = y + (height - 1) / 2, height / 4
    ends = "".join(f"M{x:.1f} {middle - cap:.1f}V{middle + cap:.1f}" for x in (low, high))
    whisker = f'<path d="M{low:.1f} {middle:.1f}H{high:.1f}{ends}" class="whisker"/>'
    return [
        f"<g><title>{escape(name)}: {escape(bounds)}</title>{shape}{whisker}</g>",
        _text(max(end, high) + 5, y + height - 2, text(found.value), "small"),
    ]


def stacks(rows: Mapping[str, Mapping[str, float]], text: Text) -> str:
    """Horizontal bars of parts that add up, on a linear scale."""
    series = list(dict.fromkeys(name for values in rows.values() for name in values))
    most = max((sum(values.values()) for values in rows.values()), default=0.0)
    if most <= 0:
        return ""
    parts, y = _legend(series)
    left = _room(rows)
    for name, values in rows.items():
        parts.append(_text(left - 8, y + ROW / 2 + 3, name, "end"))
        x = left
        for one, value in values.items():
            width = value / most * (WIDTH - left - RIGHT)
            shape = f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW - 4}"'
            parts.append(
                f'{shape} class="c{series.index(one) % _COLOURS}"><title>{escape(one)}: {text(value)}</title></rect>'
            )
            x += width
        parts.append(_text(x + 5, y + ROW - 8, text(sum(values.values())), "small"))
        y += ROW
    return _svg(y + 4, parts)


def lines(series: Mapping[str, Points], x: Axis, y: Axis) -> str:
    """Curves."""
    points = [point for found in series.values() for point in found if point[0] > 0 and point[1] > 0]
    if not points:
        return ""
    across, up = x.scale([point[0] for point in points]), y.scale([point[1] for point in points])
    legend, top = _legend(list(series))
    top += _TOP + 10
    wide, tall = WIDTH - LEFT - 20, _HEIGHT - _TOP - _BOTTOM
    parts = list(legend)
    for value in across.ticks:
        at = LEFT + across.place(value) * wide
        parts.append(f'<line x1="{at:.1f}" y1="{top}" x2="{at:.1f}" y2="{top + tall}" class="grid"/>')
        parts.append(_text(at, top + tall + 14, x.text(value), "small middle"))
    for value in up.ticks:
        at = top + tall - up.place(value) * tall
        parts.append(f'<line x1="{LEFT}" y1="{at:.1f}" x2="{LEFT + wide}" y2="{at:.1f}" class="grid"/>')
        parts.append(_text(LEFT - 6, at + 4, y.text(value), "small end"))
    for at_series, (name, found) in enumerate(series.items()):
        places = [
            f"{LEFT + across.place(px) * wide:.1f},{top + tall - up.place(py) * tall:.1f}"
            for px, py in found
            if px > 0 and py > 0
        ]
        line = f'<polyline points="{" ".join(places)}" class="line s{at_series % _COLOURS}">'
        parts.append(f"{line}<title>{escape(name)}</title></polyline>")
    parts.append(_text(LEFT + wide / 2, top + tall + 32, x.title, "middle"))
    parts.append(_text(8, top - 10, y.title, "small"))
    return _svg(top + tall + _BOTTOM, parts)


def _svg(height: float, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img">{"".join(parts)}</svg>'


def _legend(names: Sequence[str]) -> tuple[list[str], int]:
    """The boxes and names on top, in as many lines as they take, and where the chart begins."""
    parts, x, y = [], LEFT, 4
    for at, name in enumerate(names):
        width = 24 + 7 * len(name)
        if x + width > WIDTH:
            x, y = LEFT, y + 18
        parts.append(f'<rect x="{x}" y="{y}" width="11" height="11" class="c{at % _COLOURS}"/>')
        parts.append(_text(x + 16, y + 10, name, "small"))
        x += width
    return parts, y + 24


def _room(names: Iterable[str]) -> float:
    """Where bars begin: behind the longest of their names."""
    return max(float(LEFT), 14 + 6.6 * max(map(len, names), default=0))


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(text)}</text>'


def spaced(low: float, high: float, count: int) -> list[float]:
    """Numbers from low to high, evenly spaced by their logarithms."""
    first, last = math.log(low), math.log(high)
    return [math.exp(first + (last - first) * at / (count - 1)) for at in range(count)]
