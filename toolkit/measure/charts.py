"""Draws charts as inline SVG: numbers in, text out. Colours are the page's, so that light and dark both work."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LEFT, RIGHT, ROW = 760, 150, 90, 22
_HEIGHT, _TOP, _BOTTOM = 300, 12, 44
_COLOURS = 12  # classes c0 to c11 of the page

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    """A logarithmic axis: what it is called, and how a value on it is written."""

    title: str
    text: "Text"


class Text:
    """Writes a value with its unit."""

    def __init__(self, unit: str = "", *, seconds: bool = False) -> None:
        self._unit, self._seconds = unit, seconds

    def __call__(self, value: float) -> str:
        """`2.5 ms`, `1,200 rows/s`."""
        if self._seconds:
            for limit, factor, unit in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms"), (math.inf, 1.0, "s")):
                if value < limit * 0.9995:
                    return f"{value * factor:.3g} {unit}"
        return f"{value:,.3g} {self._unit}".strip() if value < 1000 else f"{value:,.0f} {self._unit}".strip()


SECONDS = Text(seconds=True)


def bars(rows: Mapping[str, Mapping[str, float]], text: Text) -> str:
    """Groups of horizontal bars on a logarithmic scale: row to series to value."""
    series = list(dict.fromkeys(name for values in rows.values() for name in values))
    found = [value for values in rows.values() for value in values.values() if value > 0]
    if not found:
        return ""
    low, high = _decades(found)
    parts, y = _legend(series)
    height_of_bar = max(6, ROW // max(1, len(series)))
    for name, values in rows.items():
        parts.append(_label(name, y + height_of_bar * len(values) / 2))
        for one, value in values.items():
            width = _log_place(value, low, high, WIDTH - LEFT - RIGHT)
            shape = f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{height_of_bar - 1}"'
            parts.append(f'{shape} class="c{series.index(one)}"><title>{escape(one)}: {text(value)}</title></rect>')
            parts.append(_text(LEFT + width + 5, y + height_of_bar - 2, text(value), "small"))
            y += height_of_bar
        y += 8
    return _svg(y + 4, parts)


def stacks(rows: Mapping[str, Mapping[str, float]], text: Text) -> str:
    """Horizontal bars of parts that add up, on a linear scale."""
    series = list(dict.fromkeys(name for values in rows.values() for name in values))
    most = max((sum(values.values()) for values in rows.values()), default=0.0)
    if most <= 0:
        return ""
    parts, y = _legend(series)
    for name, values in rows.items():
        parts.append(_label(name, y + ROW / 2))
        x = float(LEFT)
        for one, value in values.items():
            width = value / most * (WIDTH - LEFT - RIGHT)
            shape = f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW - 4}"'
            parts.append(
                f'{shape} class="c{series.index(one) % _COLOURS}"><title>{escape(one)}: {text(value)}</title></rect>'
            )
            x += width
        parts.append(_text(x + 5, y + ROW - 8, text(sum(values.values())), "small"))
        y += ROW
    return _svg(y + 4, parts)


def lines(series: Mapping[str, Points], x: Axis, y: Axis) -> str:
    """Curves over logarithmic axes."""
    points = [point for found in series.values() for point in found if point[0] > 0 and point[1] > 0]
    if not points:
        return ""
    low_x, high_x = _decades([point[0] for point in points])
    low_y, high_y = _decades([point[1] for point in points])
    legend, top = _legend(list(series))
    top += _TOP
    wide, tall = WIDTH - LEFT - 20, _HEIGHT - _TOP - _BOTTOM
    parts = list(legend)
    for value in _ticks(low_x, high_x):
        at = LEFT + _log_place(value, low_x, high_x, wide)
        parts.append(f'<line x1="{at:.1f}" y1="{top}" x2="{at:.1f}" y2="{top + tall}" class="grid"/>')
        parts.append(_text(at, top + tall + 14, x.text(value), "small middle"))
    for value in _ticks(low_y, high_y):
        at = top + tall - _log_place(value, low_y, high_y, tall)
        parts.append(f'<line x1="{LEFT}" y1="{at:.1f}" x2="{LEFT + wide}" y2="{at:.1f}" class="grid"/>')
        parts.append(_text(LEFT - 6, at + 4, y.text(value), "small end"))
    for at_series, (name, found) in enumerate(series.items()):
        places = [
            f"{LEFT + _log_place(px, low_x, high_x, wide):.1f},{top + tall - _log_place(py, low_y, high_y, tall):.1f}"
            for px, py in found
            if px > 0 and py > 0
        ]
        line = f'<polyline points="{" ".join(places)}" class="line s{at_series % _COLOURS}">'
        parts.append(f"{line}<title>{escape(name)}</title></polyline>")
    parts.append(_text(LEFT + wide / 2, top + tall + 32, x.title, "middle"))
    parts.append(_text(8, top + 4, y.title, "small"))
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


def _label(name: str, y: float) -> str:
    return _text(LEFT - 8, y + 3, name, "end")


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(text)}</text>'


def _decades(values: Sequence[float]) -> tuple[float, float]:
    """The logarithms between which a scale goes; half a decade of room on either side of a single value."""
    low, high = math.log10(min(values)), math.log10(max(values))
    room = 0.05 * (high - low) or 0.5
    return low - room, high + room


def _log_place(value: float, low: float, high: float, width: float) -> float:
    return max(1.0, (math.log10(max(value, 1e-300)) - low) / (high - low) * width)


def _ticks(low: float, high: float) -> list[float]:
    """Powers of ten inside the scale; 1, 2 and 5 where that would leave fewer than three."""
    whole = [10.0**power for power in range(math.ceil(low), math.floor(high) + 1)]
    if len(whole) >= 3:
        step = math.ceil(len(whole) / 7)
        return whole[::step]
    span = range(math.floor(low), math.ceil(high) + 1)
    fine = [
        factor * 10.0**power
        for power in span
        for factor in (1, 2, 5)
        if low <= math.log10(factor * 10.0**power) <= high
    ]
    return fine if len(fine) > 1 else [10**low, 10**high]


def spaced(low: float, high: float, count: int) -> list[float]:
    """Numbers from low to high, evenly spaced by their logarithms."""
    first, last = math.log(low), math.log(high)
    return [math.exp(first + (last - first) * at / (count - 1)) for at in range(count)]
