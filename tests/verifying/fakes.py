"""A model of one line, its signature and cases, and runners that are Python functions."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from toolkit.core.artifact import Behaviour
from toolkit.core.golden import Case
from toolkit.core.parity import Check
from toolkit.core.runner import FunctionRunner, Runner
from toolkit.core.tensors import Array, Feed, Outputs, Signature, TensorSpec
from toolkit.verifying.parity import Expectation, check_runner

ROWS = TensorSpec("float32", (None, 2))
SIGNATURE = Signature({"x": ROWS}, {"double": ROWS, "sum": TensorSpec("float32", (None,))})


def right(feed: Feed) -> dict[str, Array]:
    """The model of these tests: every row for itself."""
    return {"double": feed["x"] * 2, "sum": feed["x"].sum(axis=1)}


def feed_of(size: int, seed: int = 0) -> dict[str, Array]:
    return {"x": np.random.default_rng(seed).normal(size=(size, 2)).astype("float32")}


def expectation(
    signature: Signature = SIGNATURE, model: Callable[[Feed], Outputs] = right, **named: Any
) -> Expectation:
    feeds = {f"batch{size}": feed_of(size, seed=size) for size in (1, 7)}
    cases = [Case("serving_default", name, feed, model(feed)) for name, feed in feeds.items()]
    return Expectation("serving_default", signature, cases, Behaviour(), **named)


WANTED = expectation()


def opener(
    run: Callable[[Feed], Any], signature: Signature = SIGNATURE
) -> Callable[[], AbstractContextManager[Runner]]:
    return lambda: FunctionRunner("fake", signature, run)


def verdict(run: Callable[[Feed], Any], wanted: Expectation = WANTED, signature: Signature = SIGNATURE) -> Check:
    return check_runner("fake", opener(run, signature), wanted)


def problems(check: Check) -> list[str]:
    return [*check.problems, *(found.problem for found in check.outputs.values() if found.problem)]


def changed(feed: Feed, **outputs: Any) -> dict[str, Array]:
    return right(feed) | outputs


def one_weight_off(feed: Feed) -> Outputs:
    outputs = right(feed)
    outputs["double"][-1, 1] += 0.01
    return outputs


def nan_in_a_row(feed: Feed) -> Outputs:
    outputs = right(feed)
    outputs["sum"][0] = np.nan
    return outputs
