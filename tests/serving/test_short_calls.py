"""Short calls in groups, on two threads where they are worth it."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tests.serving.running import PATIENCE_S
from toolkit.serving.paces import Pace
from toolkit.serving.short_calls import TOGETHER_NS, WORTH_SHARING_NS, Short, ShortCalls

QUICK, SLOW = Pace(usual_ns=WORTH_SHARING_NS // 4), Pace(usual_ns=WORTH_SHARING_NS)


@dataclass
class Answers:
    """Who answered what; each thread's first group waits until it is let."""

    groups: list[tuple[str, list[int]]] = field(default_factory=list)
    breaks: bool = False
    held: threading.Event = field(default_factory=threading.Event)
    came: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def __call__(self, group: Sequence[Short[int]]) -> None:
        self.groups.append((threading.current_thread().name, [short.call for short in group]))
        self.came.release()
        if threading.current_thread().name == "rpc-help":
            assert self.held.wait(PATIENCE_S)
        if self.breaks:
            raise RuntimeError("this group is lost")

    def by(self, helper: bool) -> list[int]:
        return [call for name, group in self.groups for call in group if (name == "rpc-help") is helper]


@contextmanager
def short_calls(answers: Answers) -> Iterator[ShortCalls[int]]:
    calls = ShortCalls(answers)
    try:
        yield calls
    finally:
        answers.held.set()
        calls.stop()


def until(done: Callable[[], bool]) -> None:
    event, end = threading.Event(), time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < end
        event.wait(0.001)


def test_quick_calls_stay_where_they_arrive_group_by_group() -> None:
    answers = Answers()
    with short_calls(answers) as calls:
        fit = TOGETHER_NS // QUICK.usual_ns
        for number in range(fit * 5 // 2):
            calls.add(number, QUICK)
        while calls:
            calls.answer_some()
    assert answers.by(helper=True) == []
    assert answers.by(helper=False) == list(range(fit * 5 // 2))
    assert {len(group) for _, group in answers.groups[:-1]} == {fit}


def test_one_call_alone_is_never_handed_over() -> None:
    answers = Answers()
    with short_calls(answers) as calls:
        calls.add(1, SLOW)
        calls.answer_some()
    assert answers.by(helper=False) == [1]


def test_calls_that_are_worth_it_are_answered_on_two_threads() -> None:
    answers = Answers()
    with short_calls(answers) as calls:
        for number in range(8):
            calls.add(number, SLOW)
        calls.answer_some()
        for _ in range(2):
            assert answers.came.acquire(timeout=PATIENCE_S)
        first = len(answers.by(helper=True))
        assert first == 4, "half of what waits"
        while calls:
            calls.answer_some()  # the other thread is held: this one does the rest
        assert sorted(answers.by(helper=True) + answers.by(helper=False)) == list(range(8))
        assert len(answers.by(helper=True)) == first


def test_the_other_thread_goes_on_with_what_came_meanwhile() -> None:
    answers = Answers()
    with short_calls(answers) as calls:
        for number in range(TOGETHER_NS // SLOW.usual_ns * 5):
            calls.add(number, SLOW)
        calls.answer_some()
        answers.held.set()
        until(lambda: not calls)
        assert answers.came.acquire(timeout=PATIENCE_S)
    assert len(answers.by(helper=True)) > TOGETHER_NS // SLOW.usual_ns


def test_a_group_that_breaks_does_not_end_the_other_thread(caplog: pytest.LogCaptureFixture) -> None:
    answers = Answers()
    with short_calls(answers) as calls:
        answers.breaks = True
        answers.held.set()
        for number in range(4):
            calls.add(number, SLOW)
        with pytest.raises(RuntimeError):
            calls.answer_some()
        until(lambda: not calls._helping)
        answers.breaks = False
        before = len(answers.by(helper=True))
        for number in range(4, 12):
            calls.add(number, SLOW)
        while calls:
            calls.answer_some()
        until(lambda: not calls._helping)
        assert len(answers.by(helper=True)) > before
    assert "a gRPC call was lost" in caplog.text
