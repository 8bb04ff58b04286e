"""Each signature is traced once, whatever makes its variables when, and what tracing alone runs is reported."""

# ruff: noqa: T201  # a print in a model is what is looked for

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from toolkit import ModelSpec, Signature, TensorSpec
from toolkit.building.load import build_model
from toolkit.building.trace import trace_model
from toolkit.core.model import TracedModel
from toolkit.errors import TraceError
from toolkit.graphs.census import count_ops

ROWS = TensorSpec("float32", (None, 2))
LINES = Path(__file__).read_text(encoding="utf-8").splitlines()


class Lazy(tf.Module):
    """Makes its variable when it is first called, as the TensorFlow guides do."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: Any = None
        self.calls = 0

    def __call__(self, x: Any) -> Any:
        if self.weights is None:
            self.weights = tf.Variable(tf.random.normal([2, 2]))
        return x @ self.weights


class Holder(tf.Module):
    """Holds a Keras layer that has no weights yet, in an object that Keras knows nothing of."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = keras.layers.Dense(2)

    def __call__(self, x: Any) -> Any:
        return self.layer(x)


class Graph(tf.Module):
    """A tf.function of the user's own, which tracing runs through."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = tf.Variable(tf.ones([2, 2]))

    @tf.function
    def __call__(self, x: Any) -> Any:
        return tf.cond(tf.reduce_sum(x) > 0, lambda: x @ self.weights, lambda: x)

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32)])
    def other(self, x: Any) -> Any:
        return {"sum": tf.reduce_sum(x, axis=1)}


class Subclassed(keras.Model):
    """Has no weights and knows no input before it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = keras.layers.Dense(2)

    def call(self, x: Any) -> Any:
        return self.hidden(x)


class Careless(tf.Module):
    """Makes a new variable on every call."""

    def __call__(self, x: Any) -> Any:
        return x @ tf.Variable(tf.ones([2, 2]))  # made here


def sequential() -> Any:
    return keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(2)])


def unbuilt() -> Any:
    return keras.Sequential([keras.layers.Dense(2)])


def plain(x: Any) -> Any:
    return tf.nn.relu(x)


def traced(build: Callable[[], Any], **declared: Any) -> TracedModel:
    spec = ModelSpec("m", build=build, **(declared or {"inputs": {"x": ROWS}}))
    return trace_model(spec, build_model(spec))


@pytest.mark.parametrize("build", [Lazy, Holder, Graph, Subclassed, sequential, unbuilt, lambda: plain])
def test_each_model_is_traced_once_and_agrees_with_itself(build: Callable[[], Any]) -> None:
    model = traced(build)
    function = model.functions["serving_default"]
    x = np.array([[1, -2], [3, 4]], "float32")
    facts = model.facts
    assert (facts.count, facts.ops, facts.side_effects) == (1, count_ops(function), ())
    assert facts.seconds > 0
    (name,) = model.signatures["serving_default"].outputs
    expected = model.eager["serving_default"]({"x": x})[name]
    np.testing.assert_allclose(function(x=tf.constant(x))[name], expected, rtol=1e-6)


def test_every_signature_counts_once() -> None:
    model = traced(
        Graph, signatures={"serving_default": Signature({"x": ROWS}), "other": Signature({"x": ROWS}, call="other")}
    )
    assert model.facts.count == 2
    assert model.facts.ops == sum(count_ops(function) for function in model.functions.values())
    assert list(model.signatures["other"].outputs) == ["sum"]


def test_tracing_again_is_done_only_where_variables_come_late() -> None:
    # A first look may have to stop at a variable; where none comes late the user's Python runs once.
    seen: list[Any] = []

    def traced_once(x: Any) -> Any:
        seen.append(x)
        return x

    traced(lambda: traced_once)
    assert len(seen) == 1


def test_a_model_that_makes_variables_on_every_call_is_an_error_that_says_where() -> None:
    with pytest.raises(TraceError, match="'serving_default' of 'm' makes new variables on every call") as found:
        traced(Careless)
    line = int(found.value.hint.rpartition(":")[2])
    assert LINES[line - 1].endswith("# made here")


SEEN: list[Any] = []


def noisy(x: Any) -> Any:
    print("tracing", x)  # found
    return x


class NoisyLayer(keras.layers.Layer):
    """Counts its calls, which a graph does once."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.history: list[Any] = []

    def call(self, x: Any) -> Any:
        self.calls += 1  # found
        self.history.append(x)  # found
        kept = [x]
        kept.append(noisy(x))
        return tf.add(kept[0], kept[1])


class NoisyModule(tf.Module):
    """Does the same in a tf.function and in a method that it calls."""

    @tf.function
    def __call__(self, x: Any) -> Any:
        SEEN.append(x)  # found
        return self.scaled(x)

    @tf.function
    def scaled(self, x: Any) -> Any:
        print("scaled")  # found
        return x * 2


def noisy_sequential() -> Any:
    return keras.Sequential([keras.layers.Input((2,)), NoisyLayer(), keras.layers.Dense(2)])


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda: noisy, ["print(...)"]),
        (noisy_sequential, ["writing self.calls", "self.history.append(...)", "print(...)"]),
        (NoisyModule, ["SEEN.append(...)", "print(...)"]),
    ],
)
def test_side_effects_are_reported_as_running_at_trace_time_only(
    build: Callable[[], Any], expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    facts = traced(build).facts
    assert [text.split(": ", 1)[1] for text in facts.side_effects] == [
        f"{what} runs at trace time only" for what in expected
    ]
    places = [text.split(": ", 1)[0].rsplit(":", 1) for text in facts.side_effects]
    assert all(file == __file__ and LINES[int(line) - 1].endswith("# found") for file, line in places)


def test_a_signature_that_is_a_callable_is_looked_into() -> None:
    def serve(model: Any, x: Any) -> Any:
        return noisy(model(x))

    found = traced(sequential, signatures={"serving_default": Signature({"x": ROWS}, call=serve)}).facts.side_effects
    assert [text.split(": ", 1)[1] for text in found] == ["print(...) runs at trace time only"]
