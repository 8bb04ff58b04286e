"""Functions as models have them: those with a side effect, marked `# found` where it stands, and those without."""

# ruff: noqa: T201, PLW0603, B010, PERF403, A001  # doing such things is what these functions are for

import datetime
import functools
import itertools
import logging
import random
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

SEEN: list[Any] = []
CACHE: dict[str, Any] = {}
LAST: deque[Any] = deque()
CALLS = itertools.count()
GENERATOR = np.random.default_rng(0)
LOGGER = logging.getLogger(__name__)
total = 0


class Scale:
    """Has everything that a model's own object has: attributes, methods, another object that is called."""

    def __init__(self, inner: Any = None) -> None:
        self.factor, self.calls = 2, 0
        self.seen: list[Any] = []
        self.by_name: dict[str, Any] = {}
        self.inner = inner

    def plain(self, x: Any) -> Any:
        return x * self.factor

    def writes(self, x: Any) -> Any:
        self.calls += 1  # found
        self.by_name["x"] = x  # found
        self.calls, rest = 0, 1  # found
        return x * rest

    def appends(self, x: Any) -> Any:
        self.seen.append(x)  # found
        return x

    def makes_once(self, x: Any) -> Any:
        if self.inner is None:
            self.inner = Clean()
        if not self.calls:
            self.factor = 3
            self.calls = 1
        return self.inner(x)

    def makes_again(self, x: Any) -> Any:
        if self.inner is None:
            self.factor = 3  # found
        if not self.calls:
            self.calls += 1  # found
        return x

    def deletes(self, x: Any) -> Any:
        del self.by_name["x"]  # found
        return x

    def goes_on(self, x: Any) -> Any:
        return self.appends(x)

    def asks_inner(self, x: Any) -> Any:
        return self.inner(x)

    def __call__(self, x: Any) -> Any:
        print("called")  # found
        return x

    @staticmethod
    def static(x: Any) -> Any:
        print("static")  # found
        return x

    def asks_static(self, x: Any) -> Any:
        return self.static(x)


class Clean:
    """Called by another object, and does nothing beside."""

    def __call__(self, x: Any) -> Any:
        parts = [x]
        parts.append(x)
        return parts


def prints(x: Any) -> Any:
    print(x)  # found
    return x


def asks_prints(x: Any) -> Any:
    return helper_of_helper(x)


def helper_of_helper(x: Any) -> Any:
    return prints(x)


def hands_on(x: Any) -> Any:
    return list(map(prints, x))


def appends_to_a_global(x: Any) -> Any:
    SEEN.append(x)  # found
    CACHE.update(x=x)  # found
    LAST.appendleft(x)  # found
    CACHE["x"] = x  # found
    return x


def counts(x: Any) -> Any:
    global total  # found
    total += 1
    return x


def advances(x: Any) -> Any:
    return x + next(CALLS)  # found


def reads_the_world(x: Any) -> Any:
    started = time.perf_counter()  # found
    today = datetime.datetime.now(datetime.UTC)  # found
    noise = random.random() + np.random.normal() + GENERATOR.normal()  # found
    LOGGER.info("%s %s", today, noise)  # found
    return x + started


def imports_inside(x: Any) -> Any:
    from time import monotonic

    return x + monotonic()  # found


def closes_over_a_list() -> Callable[[Any], Any]:
    seen: list[Any] = []
    number = 0

    def traced(x: Any) -> Any:
        nonlocal number  # found
        number += 1
        seen.append(x)  # found
        return x

    return traced


def wraps(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(function)
    def traced(x: Any) -> Any:
        print("wrapped")  # found
        return function(x)

    return traced


@wraps
def wrapped(x: Any) -> Any:
    SEEN.append(x)  # found
    return x


def sets(x: Any) -> Any:
    setattr(sys.modules[__name__], "total", x)  # found
    setattr(LOGGER, "total", x)  # found
    return x


def only_locals(x: Any, parts: list[Any]) -> Any:
    found, by_name = [], {}
    found.append(x)
    parts.append(x)
    by_name["x"] = x
    by_name.setdefault("y", []).append(x)

    def body(at: int) -> Any:
        nonlocal x
        x = found[at]
        found.append(at)
        return x

    scale = Scale()
    scale.calls = 1
    for item in found:
        by_name[item] = item
    return body(0), scale


def adds(x: Any) -> Any:
    # Names of modules and mutators that stand for something else here.
    time = random = next = x
    return np.add(time.append, random.random()) + next(x) + SEEN.index(x) + CACHE.get("x", x)


LAZY: Any = None


def asks_a_lazy_library(x: Any) -> Any:
    return LAZY.part(x)


def reads_a_sequence(x: Any) -> Any:
    return [value for value in sorted(SEEN) if value in CACHE] + next(iter([x]))


def lambda_over_locals() -> Callable[[Any], Any]:
    return lambda x: [x].append(x)


FOUND: list[tuple[Any, list[str]]] = [
    (prints, ["print(...)"]),
    (asks_prints, ["print(...)"]),
    (hands_on, ["print(...)"]),
    (appends_to_a_global, ["SEEN.append(...)", "CACHE.update(...)", "LAST.appendleft(...)", "writing CACHE['x']"]),
    (counts, ["writing total"]),
    (advances, ["next(...)"]),
    (
        reads_the_world,
        [
            *("time.perf_counter(...)", "datetime.datetime.now(...)", "random.random(...)", "np.random.normal(...)"),
            *("GENERATOR.normal(...)", "LOGGER.info(...)"),
        ],
    ),
    (imports_inside, ["monotonic(...)"]),
    (closes_over_a_list(), ["seen.append(...)", "writing number"]),
    (wrapped, ["print(...)", "SEEN.append(...)"]),
    (sets, ["setattr(...)", "setattr(...)"]),
    (functools.partial(prints), ["print(...)"]),
    (lambda x: [SEEN.pop(), x], ["SEEN.pop(...)"]),  # found
    (Scale(), ["print(...)"]),
    (Scale().writes, ["writing self.calls", "writing self.by_name['x']", "writing self.calls"]),
    (Scale().appends, ["self.seen.append(...)"]),
    (Scale().makes_again, ["writing self.factor", "writing self.calls"]),
    (Scale().deletes, ["writing self.by_name['x']"]),
    (Scale().goes_on, ["self.seen.append(...)"]),
    (Scale().asks_static, ["print(...)"]),
    (Scale(Scale()).asks_inner, ["print(...)"]),
]

CLEAN: list[Any] = [
    *(only_locals, adds, reads_a_sequence, lambda_over_locals(), len),
    *(Scale().plain, Scale().makes_once, Scale(Clean()).asks_inner, Clean()),
]
