"""Tries a server's batching parameters under one load, and says which serve it best, or that batching does not help."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from toolkit.measure.load.point import Point
from toolkit.measure.load.targets import Serving

OFF = "no batching"
# What a gain must exceed: two runs of one setting differ by about so much. So a setting is first asked for so much more
# than none holds, and is not searched any further where it does not hold that.
GAIN = 1.05


@dataclass(frozen=True)
class Batching:
    """Parameters of TensorFlow Serving's batching; no rows turns it off.

    Args:
        rows: max_batch_size.
        wait_us: batch_timeout_micros.
        threads: num_batch_threads.
    """

    rows: int = 0
    wait_us: int = 0
    threads: int = 2

    def __str__(self) -> str:
        return f"batches of {self.rows}, {self.wait_us} µs" if self.rows else OFF

    @property
    def text(self) -> str:
        """The parameters as a file holds them."""
        sizes, size = [], 1
        while size < self.rows:
            sizes.append(size)
            size *= 2
        values = {
            "max_batch_size": self.rows,
            "batch_timeout_micros": self.wait_us,
            "num_batch_threads": self.threads,
            "max_enqueued_batches": 1000,
        }
        lines = [f"{name} {{ value: {value} }}" for name, value in values.items()]
        return "\n".join([*lines, *(f"allowed_batch_sizes: {size}" for size in (*sizes, self.rows))]) + "\n"


TRIED: Sequence[Batching] = (
    Batching(),
    Batching(8, 0),
    Batching(8, 1000),
    Batching(32, 1000),
    Batching(32, 5000),
)


@contextmanager
def with_batching(serving: Serving, batching: Batching) -> Iterator[Serving]:
    """The serving with these parameters."""
    if not batching.rows:
        yield serving
        return
    with tempfile.TemporaryDirectory(prefix="tfx-export-batching-") as own:
        file = Path(own) / "batching.config"
        file.write_text(batching.text)
        flags = (*serving.flags, "--enable_batching", f"--batching_parameters_file={file}")
        yield replace(serving, flags=flags, most_rows=batching.rows)


@dataclass(frozen=True)
class Tried:
    """What one setting came to.

    Args:
        rate: the highest that holds the limit; None where none does, or where there was no limit.
        point: the load at that rate, or at the rate that was given, or one that does not hold the limit.
        short_of: a rate that it does not hold, where it was asked for no less.
        limited: whether there was a limit to hold.
    """

    batching: Batching
    rate: float | None
    point: Point | None
    short_of: float | None = None
    limited: bool = False

    @property
    def worth(self) -> float:
        """What is compared: the rate, or where there was no limit what one over p99 is."""
        if self.limited:
            return self.rate or 0.0
        found = self.point.percentile_s(99) if self.point is not None else None
        return 1 / found.value if found else 0.0

    @property
    def said(self) -> str:
        """`120.0/s`, `does not hold 126.0/s`, `no rate holds`, or the p99 at a given rate."""
        if self.limited:
            lost = "no rate holds" if self.short_of is None else f"does not hold {self.short_of:.1f}/s"
            return lost if self.rate is None else f"{self.rate:.1f}/s"
        return f"p99 {1e3 / self.worth:.3g} ms" if self.worth else "too few samples for p99"

    def to_json(self) -> dict[str, Any]:
        """The setting and what it came to."""
        return {
            "setting": str(self.batching),
            "max_batch_size": self.batching.rows,
            "batch_timeout_micros": self.batching.wait_us,
            "rate": self.rate,
            "said": self.said,
            "padding": self.point.padding if self.point is not None else None,
        }


def verdict(tried: Sequence[Tried]) -> dict[str, Any]:
    """Which setting is best, by how much against none, and all that were tried."""
    without = next((one for one in tried if not one.batching.rows), None)
    best = max(tried, key=lambda one: one.worth)
    gain = best.worth / without.worth if without is not None and without.worth else None
    helps = bool(best.batching.rows) and best.worth > 0 and (gain is None or gain >= GAIN)
    said = f"best: {best.batching}" if helps else "batching does not help here"
    if helps and gain is not None:
        said += f", {gain:.2f} times what it is without"
    return {"said": said, "helps": helps, "best": str(best.batching) if helps else OFF, "gain": gain,
            "tried": [one.to_json() for one in tried]}  # fmt: skip
