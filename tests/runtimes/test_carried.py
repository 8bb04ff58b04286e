"""State that goes from call to call."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.runtimes.inprocess.carried import carried


def counting(names: Sequence[str], feed: Mapping[str, Any]) -> Sequence[Any]:
    """Adds what it is fed to its state, which starts at 100."""
    total = feed.get("total", 100) + feed["x"]
    found = {"seen": total, "total_next": total}
    return [found[name] for name in names]


def test_a_call_takes_what_the_one_before_it_gave() -> None:
    run = carried(counting, {"total": "total_next"})
    assert [run(["seen"], {"x": step}) for step in (1, 2, 3)] == [[101], [103], [106]]


def test_each_has_its_own_state() -> None:
    one, other = (carried(counting, {"total": "total_next"}) for _ in range(2))
    assert (one(["seen"], {"x": 1}), other(["seen"], {"x": 5})) == ([101], [105])


def test_calls_from_many_threads_come_one_after_the_other() -> None:
    inside = threading.Lock()

    def alone(names: Sequence[str], feed: Mapping[str, Any]) -> Sequence[Any]:
        assert inside.acquire(blocking=False), "two calls at once"
        try:
            return counting(names, feed)
        finally:
            inside.release()

    run = carried(alone, {"total": "total_next"})
    threads = [threading.Thread(target=lambda: [run(["seen"], {"x": 1}) for _ in range(200)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert run(["seen"], {"x": 0}) == [100 + 8 * 200]
