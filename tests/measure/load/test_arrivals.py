"""Schedules keep their rate, their seed and their end."""

from pathlib import Path

import numpy as np
import pytest

from toolkit.errors import BenchError
from toolkit.measure.load.arrivals import Bounds, arrivals, mean_rate
from toolkit.measure.load.jobs import choose

S = 1_000_000_000


def test_a_constant_rate_is_due_at_even_moments() -> None:
    assert arrivals("constant", 4, Bounds(1.0), 1).tolist() == [0, S // 4, S // 2, 3 * S // 4]


def test_poisson_gaps_are_exponential_and_repeat_with_their_seed() -> None:
    due = arrivals("poisson", 1000, Bounds(100.0), 7)
    gaps = np.diff(due) / S
    assert mean_rate(due) == pytest.approx(1000, rel=0.02)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.02)  # of an exponential, both are the same
    assert (gaps > 3 / 1000).mean() == pytest.approx(np.exp(-3), rel=0.05)
    assert due[-1] < 100 * S
    assert np.array_equal(due, arrivals("poisson", 1000, Bounds(100.0), 7))
    assert not np.array_equal(due[:100], arrivals("poisson", 1000, Bounds(100.0), 8)[:100])


@pytest.mark.parametrize("kind", ["constant", "poisson"])
def test_requests_and_duration_both_end_a_schedule(kind: str) -> None:
    assert len(arrivals(kind, 100, Bounds(100.0, 30), 1)) == 30
    assert arrivals(kind, 100, Bounds(0.5, 10_000), 1)[-1] < 0.5 * S


@pytest.mark.parametrize("heading", ["", "at_s,what\n"])
def test_a_trace_is_replayed_from_its_first_moment(tmp_path: Path, heading: str) -> None:
    file = tmp_path / "trace.csv"
    file.write_text(f"{heading}10.5,a\n10.0,b\n\n12,c\n")
    assert arrivals(str(file), 0, Bounds(60.0), 1).tolist() == [0, S // 2, 2 * S]
    assert arrivals(str(file), 0, Bounds(1.0), 1).tolist() == [0, S // 2]


@pytest.mark.parametrize(
    ("kind", "rate", "content"),
    [
        ("sometimes", 10, None),
        ("constant", 0, None),
        ("poisson", -1, None),
        ("trace.csv", 0, "at_s\n1\nnoon\n"),
        ("trace.csv", 0, ""),
        ("trace.csv", 0, "at_s\n1\nnan\n"),
    ],
)
def test_what_is_no_schedule_is_refused(tmp_path: Path, kind: str, rate: float, content: str | None) -> None:
    if content is not None:
        (tmp_path / kind).write_text(content)
        kind = str(tmp_path / kind)
    with pytest.raises(BenchError):
        arrivals(kind, rate, Bounds(1.0), 1)


def test_mixed_traffic_keeps_its_weights_and_its_seed() -> None:
    choices = choose([3, 1], [2, 5], 100_000, 1)
    assert (choices.stream == 0).mean() == pytest.approx(0.75, abs=0.01)
    assert set(choices.payload[choices.stream == 0]) == {0, 1}
    assert set(choices.payload[choices.stream == 1]) == {0, 1, 2, 3, 4}
    assert np.array_equal(choices.stream, choose([3, 1], [2, 5], 100_000, 1).stream)
