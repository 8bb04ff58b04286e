"""Every runtime that runs the model itself gives eager's answers, or says why it cannot."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolkit.building.load import build_model
from toolkit.building.trace import trace_model
from toolkit.core.model import ModelSpec, TracedModel
from toolkit.core.plugins import MODEL, RUNTIMES, TRACED, Opening
from toolkit.core.tensors import Outputs, TensorSpec
from toolkit.errors import ToolkitError, UnavailableError, UnsupportedError

NAMES = [name for name in RUNTIMES.names() if {MODEL, TRACED} & set(RUNTIMES.load(name).opens)]


def opening(traced: TracedModel) -> Opening:
    (name,) = traced.signatures
    return Opening(Path(), name, traced.signatures[name], traced=traced)


def ask(runtime: str, traced: TracedModel, feed: dict[str, Any]) -> Outputs:
    with RUNTIMES.load(runtime).open(opening(traced)) as runner:
        assert runner.signature == traced.signatures["serving_default"]
        return runner.run(feed)


def traced_of(function: Callable[[], Any], **inputs: TensorSpec) -> TracedModel:
    spec = ModelSpec("own", function, inputs=inputs)
    return trace_model(spec, build_model(spec))


def dense() -> Any:
    import tensorflow as tf

    weights = tf.Variable(np.arange(6, dtype=np.float32).reshape(3, 2))

    def call(b: Any, a: Any) -> Any:
        return {"sum": a @ weights + b, "a": tf.reduce_max(a, axis=1), "count": tf.shape(a)[0]}

    return call


def test_there_are_the_forms_that_the_benchmark_compares() -> None:
    assert NAMES == ["eager", "function", "graph", "graph-frozen", "graph-plain", "xla"]


@pytest.mark.parametrize("runtime", NAMES)
@pytest.mark.parametrize("rows", [1, 5])
def test_every_form_gives_eagers_answers(runtime: str, rows: int) -> None:
    traced = traced_of(dense, a=TensorSpec("float32", (None, 3)), b=TensorSpec("float32", (2,)))
    feed = {"a": np.arange(3 * rows, dtype=np.float32).reshape(rows, 3), "b": np.array([1, 2], np.float32)}
    expected = traced.eager["serving_default"](feed)
    found = ask(runtime, traced, feed)
    assert set(found) == {"sum", "a", "count"}
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6)
        assert np.asarray(found[name]).dtype == expected[name].dtype


@pytest.mark.parametrize("runtime", NAMES)
def test_one_that_was_left_open_can_close_while_python_ends(runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    traced = traced_of(dense, a=TensorSpec("float32", (None, 3)), b=TensorSpec("float32", (2,)))
    opened = RUNTIMES.load(runtime).open(opening(traced))
    runner = opened.__enter__()
    runner.run({"a": np.zeros((1, 3), np.float32), "b": np.zeros(2, np.float32)})

    def never(thread: threading.Thread) -> None:
        raise AssertionError(f"{thread.name} would never run, and Python wait for it for ever")

    monkeypatch.setattr(threading.Thread, "start", never)
    assert not opened.__exit__(GeneratorExit, GeneratorExit(), None)  # as when what was forgotten is freed


def counting() -> Any:
    import tensorflow as tf

    count = tf.Variable(0.0)

    def call(x: Any) -> Any:
        return x + count.assign_add(1.0)

    return call


@pytest.mark.parametrize("runtime", sorted({*NAMES} - {"graph-frozen"}))
def test_a_model_that_keeps_state_keeps_it(runtime: str) -> None:
    traced = traced_of(counting, x=TensorSpec("float32", (None,)))
    with RUNTIMES.load(runtime).open(opening(traced)) as runner:
        answers = [float(next(iter(runner.run({"x": np.zeros(1, np.float32)}).values()))[0]) for _ in range(3)]
    assert answers == [1.0, 2.0, 3.0]


def test_state_is_not_frozen() -> None:
    with pytest.raises(UnsupportedError, match="keeps state"):
        ask("graph-frozen", traced_of(counting, x=TensorSpec("float32", (None,))), {"x": np.zeros(1, np.float32)})


def words() -> Any:
    import tensorflow as tf

    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["a", "b"], [b"one", b"two"]), b"none")

    def call(word: Any) -> Any:
        return table.lookup(word)

    call.table = table  # type: ignore[attr-defined]  # kept alive by the model
    return call


@pytest.mark.parametrize("runtime", ["eager", "function", "graph", "graph-plain"])
def test_strings_and_tables(runtime: str) -> None:
    feed = {"word": np.array([b"b", b"x"], dtype=object)}
    found = ask(runtime, traced_of(words, word=TensorSpec("string", (None,))), feed)
    assert next(iter(found.values())).tolist() == [b"two", b"none"]


@pytest.mark.parametrize(("runtime", "reason"), [("graph-frozen", "table"), ("xla", "XLA cannot compile it")])
def test_what_cannot_run_says_so(runtime: str, reason: str) -> None:
    with pytest.raises(ToolkitError, match=reason):
        ask(runtime, traced_of(words, word=TensorSpec("string", (None,))), {"word": np.array([b"b"], dtype=object)})


@pytest.mark.parametrize("runtime", NAMES)
def test_a_file_is_not_for_these_runtimes(runtime: str) -> None:
    signature = traced_of(dense, a=TensorSpec("float32", (None, 3)), b=TensorSpec("float32", (2,))).signatures
    with (
        pytest.raises(UnavailableError, match="a model, not a file"),
        RUNTIMES.load(runtime).open(Opening(Path("x"), "serving_default", signature["serving_default"])),
    ):
        pass


def test_the_optimizer_is_on_again_afterwards() -> None:
    import tensorflow as tf

    traced = traced_of(dense, a=TensorSpec("float32", (None, 3)), b=TensorSpec("float32", (2,)))
    with RUNTIMES.load("graph-plain").open(opening(traced)):
        assert tf.config.optimizer.get_experimental_options()["disable_meta_optimizer"]
    assert not tf.config.optimizer.get_experimental_options().get("disable_meta_optimizer")
