"""Latencies in Gil Tene's HdrHistogram: three digits from a microsecond to an hour, in the format its tools read."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

LOWEST_NS, HIGHEST_NS, DIGITS = 1_000, 3_600 * 10**9, 3


def histogram_of(latencies_ns: npt.NDArray[np.int64]) -> Any:
    """The histogram of some latencies in ns."""
    from hdrh.histogram import HdrHistogram

    made = HdrHistogram(LOWEST_NS, HIGHEST_NS, DIGITS)
    # Rounded to its own precision first: equal values are recorded together.
    values, counts = np.unique(np.clip(latencies_ns, LOWEST_NS, HIGHEST_NS), return_counts=True)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        made.record_value(value, count)
    return made


def encoded(latencies_ns: npt.NDArray[np.int64]) -> str:
    """HdrHistogram's V2 compressed form, in base64."""
    text: bytes = histogram_of(latencies_ns).encode()
    return text.decode("ascii")


def log_of(parts: Sequence[tuple[float, npt.NDArray[np.int64]]], created_s: float) -> str:
    """An HdrHistogram log: one line for each second of a run.

    Args:
        parts: for each line, seconds since the start and the latencies in ns.
        created_s: when the run began, in seconds since 1970.
    """
    from hdrh.log import HistogramLogWriter

    text = io.StringIO()
    writer = HistogramLogWriter(text)
    writer.output_log_format_version()
    # The library's own writer of this line calls a method that datetime does not have.
    writer.output_comment(f"[StartTime: {created_s:.3f} (seconds since epoch)]")
    writer.output_legend()
    for start_s, latencies in parts:
        writer.output_interval_histogram(histogram_of(latencies), start_s, start_s + 1.0, 1e6)
    return text.getvalue()
