"""Loops and recurrences: rewritten graphs in TensorFlow itself, and their files in the runtimes, held against eager."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.formats.rewrites.one_op import NAME, answers, differences
from tests.zoo import flow, recurrences
from tests.zoo.specimen import Specimen
from toolkit import ModelSpec, TensorSpec
from toolkit.building.load import build_model
from toolkit.building.trace import trace_model
from toolkit.core.model import TracedModel
from toolkit.formats.rewrites import unroll
from toolkit.formats.rewrites.frozen import Frozen, freeze
from toolkit.formats.rewrites.resaved import concrete
from toolkit.formats.rewrites.rewrite import rewritten
from toolkit.graphs.census import ops_by_type

SPECIMENS: dict[str, Specimen] = {one.name: one for one in (*flow.ZOO, *recurrences.ZOO)}
STEPS = 4


def traced(spec: ModelSpec) -> TracedModel:
    return trace_model(spec, build_model(spec))


def function_of(body: Callable[..., Any], *inputs: tuple[int | None, ...]) -> TracedModel:
    specs = {name: TensorSpec("float32", shape) for name, shape in zip("xyz", inputs, strict=False)}
    return traced(ModelSpec("body", lambda: body, specs))


def frozen_of(model: TracedModel) -> Frozen:
    return freeze(model.functions[NAME], NAME)


def has_lists(frozen: Frozen) -> bool:
    return any("TensorList" in kind for kind in ops_by_type(frozen.graph_def))


@pytest.mark.parametrize(
    ("name", "note", "whiles"),
    [
        ("while_fixed", "unrolled StatelessWhile (layer while): 5 times its body", 0),
        ("while_growing", "unrolled StatelessWhile (layer while): 4 times its body", 0),
        ("scan", "unrolled StatelessWhile (layer scan): 4 times its body", 0),
        ("own_lstm", "unrolled While (layer while): 6 times its body", 0),
        ("map_fn", "StatelessWhile (layer map) carries its lists as plain tensors", 1),
        ("scan_open_time", "StatelessWhile (layer scan) carries its lists as plain tensors", 1),
        ("until_small", "StatelessWhile (layer while) carries its lists as plain tensors", 1),
        ("loop_in_branch", "unrolled StatelessWhile (layer cond/scan): 3 times its body", 0),
        ("loop_in_loop", "unrolled StatelessWhile (layer map/while/scan): 3 times its body", 1),
    ],
)
def test_a_loop_loses_its_lists_and_answers_as_before(name: str, note: str, whiles: int) -> None:
    model = traced(SPECIMENS[name].spec)
    after = rewritten(frozen_of(model), "tflite")
    assert note in after.notes
    assert not has_lists(after)
    kinds = ops_by_type(after.graph_def)
    assert kinds["While"] + kinds["StatelessWhile"] == whiles
    again = concrete(after)
    for size in (1, 7):
        feed = model.samples[NAME](size, size)
        found = again(**{key: tf.constant(value) for key, value in feed.items()})
        for key, expected in model.eager[NAME](feed).items():
            np.testing.assert_allclose(found[key], expected, rtol=1e-6, atol=1e-6, err_msg=key)


def test_a_loop_that_would_become_too_many_ops_stays_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unroll, "MOST_OPS", 5)
    after = rewritten(frozen_of(traced(SPECIMENS["scan"].spec)), "tflite")
    assert after.notes == ("StatelessWhile (layer scan) carries its lists as plain tensors",)


def test_inputs_of_one_shape_stay_two_inputs() -> None:
    def body(x: Any, y: Any) -> Any:
        return {"difference": tf.while_loop(lambda at, _: at < 2, lambda at, z: (at + 1, z - y), (0, x))[1]}

    after = concrete(rewritten(frozen_of(function_of(body, (None, 2), (None, 2))), "tflite"))
    found = after(x=tf.constant([[5.0, 7.0]]), y=tf.constant([[1.0, 2.0]]))
    assert found["difference"].numpy().tolist() == [[3.0, 3.0]]


def test_what_is_the_same_in_every_step_is_computed_once() -> None:
    kernel = tf.Variable(np.eye(3, dtype="float32"))

    def body(x: Any) -> Any:
        return {"y": tf.while_loop(lambda at, _: at < 9, lambda at, y: (at + 1, y + x @ kernel), (0, x))[1]}

    after = rewritten(frozen_of(function_of(body, (None, 3))), "tflite")
    assert ops_by_type(after.graph_def)["MatMul"] == 1


def every_mask() -> np.ndarray:
    """A row for each of the masks that there are over four steps."""
    return np.array([[row >> step & 1 for step in range(STEPS)] for row in range(2**STEPS)], bool)


def masked_layer(kind: str, options: dict[str, Any]) -> ModelSpec:
    def build() -> Any:
        import keras

        keras.utils.set_random_seed(3)
        stack = [keras.layers.Masking(), getattr(keras.layers, kind)(3, **options)]
        return keras.Sequential([keras.layers.Input((STEPS, 2), name="signal"), *stack])

    def samples(batch_size: int, seed: int) -> dict[str, Any]:
        # Alone goes the row of which every step is masked.
        masks = every_mask()[: 1 if batch_size == 1 else None, :, None]
        signal = np.random.default_rng(seed).normal(size=(len(masks), STEPS, 2))
        return {"signal": np.where(masks, signal, 0).astype("float32")}

    return ModelSpec("masked", build, samples=samples)


@pytest.mark.parametrize(
    ("kind", "options", "note"),
    [
        ("LSTM", {}, "became one LSTM, each row's masked steps moved to its end"),
        ("LSTM", {"return_sequences": True, "go_backwards": True}, "became one LSTM, each row's masked steps"),
        ("GRU", {"return_sequences": True, "reset_after": False}, "became one GRU, each row's masked steps"),
        ("SimpleRNN", {"return_sequences": True}, "became one RNN, each row's masked steps"),
        ("GRU", {"return_sequences": True, "zero_output_for_mask": True}, "unrolled While"),
    ],
)
def test_a_recurrence_is_right_for_every_mask(kind: str, options: dict[str, Any], note: str, tmp_path: Path) -> None:
    notes, pairs = answers(traced(masked_layer(kind, options)), "onnx", tmp_path)
    assert [note in found for found in notes if "While" in found] == [True]
    assert differences(pairs, 1e-6) == []


@pytest.mark.parametrize(
    ("name", "fused"),
    [("own_lstm", ["LSTM"]), ("almost_gru", []), ("stacked_cells", []), ("masked_open_time", ["LSTM", "GRU"])],
)
def test_a_recurrence_is_known_by_what_it_computes(name: str, fused: list[str], tmp_path: Path) -> None:
    model = traced(SPECIMENS[name].spec)
    notes, pairs = answers(model, "onnx", tmp_path)
    assert [note.split("one ")[1].split(",")[0] for note in notes if "became one" in note] == fused
    assert differences(pairs, 1e-6) == []


def nearly_lstm(*, last: int, squash: Callable[[Any], Any]) -> Callable[[Any], Any]:
    kernel = tf.constant(np.random.default_rng(1).normal(0, 0.5, (2 + 3, 12)).astype("float32"))

    def body(x: Any) -> Any:
        rows = tf.TensorArray(tf.float32, STEPS).unstack(tf.transpose(x, (1, 0, 2)))

        def step(at: Any, hidden: Any, cell: Any) -> Any:
            i, f, g, o = tf.split(tf.concat([rows.read(at), hidden], 1) @ kernel, 4, 1)
            cell = tf.sigmoid(f) * cell + tf.sigmoid(i) * tf.tanh(g)
            return at + 1, tf.sigmoid(o) * squash(cell), cell

        zeros = tf.zeros((tf.shape(x)[0], 3))
        return {"hidden": tf.while_loop(lambda at, *_: at < last, step, (0, zeros, zeros))[1]}

    return body


@pytest.mark.parametrize(
    ("last", "squash", "fused"),
    [(STEPS, tf.tanh, True), (STEPS - 1, tf.tanh, False), (STEPS, tf.nn.relu, False), (STEPS, tf.sigmoid, False)],
)
def test_what_is_nearly_an_lstm_is_not_taken_for_one(
    last: int, squash: Callable[[Any], Any], fused: bool, tmp_path: Path
) -> None:
    notes, pairs = answers(function_of(nearly_lstm(last=last, squash=squash), (None, STEPS, 2)), "onnx", tmp_path)
    assert any("became one LSTM" in note for note in notes) is fused
    assert differences(pairs, 1e-6) == []


def test_a_choice_ignores_what_was_not_chosen(tmp_path: Path) -> None:
    model = function_of(lambda x: {"log": tf.where(x > 0, tf.math.log(x), -np.inf)}, (None, 4))
    _, pairs = answers(model, "onnx", tmp_path)
    for expected, actual in pairs:
        np.testing.assert_allclose(actual["log"], expected["log"], rtol=1e-5)
