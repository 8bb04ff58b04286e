"""What is declared must fit what was built; where it does not, one line says what to declare instead."""

import re
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest

from toolkit.building.blame import first_line
from toolkit.core.model import ModelSpec, TracedModel
from toolkit.core.tensors import Signature, TensorSpec
from toolkit.errors import CatalogError, ExitCode, ToolkitError

Trace = Callable[[ModelSpec], TracedModel]
ROW = TensorSpec("float32", (None, 3))


def echo(x: Any) -> Any:
    return x


def keras_model() -> Any:
    import keras

    left, right = keras.Input((3,), name="left"), keras.Input((3,), name="right")
    return keras.Model([left, right], keras.layers.Dense(2)(left + right))


def unbuilt() -> Any:
    import keras

    return keras.Sequential([keras.layers.Dense(2)])


def clashing() -> Any:
    import keras

    left, right = keras.Input((3,), name="a-b"), keras.Input((3,), name="a.b")
    return keras.Model([left, right], left + right)


def matrix_product(x: Any) -> Any:
    import tensorflow as tf

    return x @ tf.ones((4, 2))


def ragged() -> Any:
    import tensorflow as tf

    return tf.RaggedTensorSpec((None, None), tf.int64)


def raises() -> Any:
    raise OSError("no disk")


class Server:
    def serve(self, x: Any) -> Any:
        return x


SPECS: list[tuple[Callable[[], ModelSpec], str, str]] = [
    (lambda: ModelSpec("m", lambda: echo), "nothing says what the inputs of model 'm' are", "declare them"),
    (lambda: ModelSpec("m", unbuilt), "nothing says what the inputs of model 'm' are", "declare them"),
    (
        lambda: ModelSpec("m", lambda: echo, inputs={"y": ROW}),
        "'serving_default' of 'm' cannot be traced with y: float32[*, 3]:",
        "do the declared inputs fit the model?",
    ),
    (
        lambda: ModelSpec("m", lambda: matrix_product, inputs={"x": ROW}),
        "cannot be traced with x: float32[*, 3]: ValueError: Dimensions must be equal, but are 3 and 4",
        "test_calling.py:",
    ),
    (
        lambda: ModelSpec("m", keras_model, inputs={"left": ROW, "rihgt": ROW}),
        "the declared inputs are left, rihgt, those of the Keras model left, right",
        "leave `inputs` out",
    ),
    (
        lambda: ModelSpec("m", keras_model, inputs={"left": ROW, "right": TensorSpec("float32", (None, 4))}),
        "cannot be traced with left: float32[*, 3], right: float32[*, 4]:",
        "do the declared inputs fit the model?",
    ),
    (lambda: ModelSpec("m", clashing), "two inputs of the Keras model are named 'a_b'", "name each: keras.Input("),
    (
        lambda: ModelSpec("m", lambda: echo, inputs={"x": ragged(), "x_values": ROW}),
        "two inputs of 'm' (serving_default) are named 'x_values'",
        "rename one",
    ),
    (
        lambda: ModelSpec("m", lambda: lambda x: {"y": (x, x), "y_0": x}, inputs={"x": ROW}),
        "two tensors are named 'y_0'",
        "rename",
    ),
    (lambda: ModelSpec("m", lambda: echo, inputs={"x": (3,)}), "input 'x_0' is declared as int", "toolkit.TensorSpec"),
    (
        lambda: ModelSpec("m", lambda: echo, inputs={"x": "float32"}),
        "input 'x' is declared as str",
        "toolkit.TensorSpec",
    ),
    (
        lambda: ModelSpec("m", lambda: 3, inputs={"x": ROW}),
        "model 'm' is a int, which cannot be called",
        "call='serve'",
    ),
    (
        lambda: ModelSpec("m", Server, signatures={"s": Signature({"x": ROW}, call="sreve")}),
        "model 'm' has no method 'sreve'",
        "did you mean serve?",
    ),
    (lambda: ModelSpec("m", lambda: lambda x: {}, inputs={"x": ROW}), "returns nothing", "return tensors"),
    (lambda: ModelSpec("m", lambda: lambda x: None, inputs={"x": ROW}), "returns nothing", "return tensors"),
    (
        lambda: ModelSpec("m", lambda: lambda x: {"y": object()}, inputs={"x": ROW}),
        "cannot be traced with x: float32[*, 3]:",
        "do the declared inputs fit the model?",
    ),
    (lambda: ModelSpec("m", raises), "building model 'm' failed: OSError: no disk", "test_calling.py:"),
    (lambda: ModelSpec("m", lambda: None), "the build function of 'm' returned nothing", "return model"),
    (
        lambda: ModelSpec("m", cast("Any", echo)),
        "the build function of 'm' cannot be called without arguments: missing a required argument: 'x'",
        "takes none",
    ),
]


@pytest.mark.parametrize(("spec", "message", "hint"), SPECS, ids=[row[1] for row in SPECS])
def test_a_declaration_that_does_not_fit_is_said_in_one_line(
    trace: Trace, spec: Callable[[], ModelSpec], message: str, hint: str
) -> None:
    with pytest.raises(ToolkitError) as caught:
        trace(spec())
    assert message in caught.value.message
    assert "\n" not in caught.value.message + caught.value.hint
    assert hint in caught.value.hint
    assert caught.value.exit_code == ExitCode.BAD_INPUT


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("a b", "a_b"),
        ("a-b", "a_b"),
        ("class", "class_"),
        ("self", "self_"),
        ("_x", "input_x"),
        ("1a", "input_1a"),
        ("größe", "gr__e"),
        ("", "input_"),
    ],
)
def test_a_name_that_not_every_format_can_have_is_refused_with_one_that_it_can(
    trace: Trace, name: str, better: str
) -> None:
    with pytest.raises(ToolkitError, match=re.escape(f"input '{name}' of 'm'")) as caught:
        trace(ModelSpec("m", lambda: lambda **tensors: tensors, inputs={name: ROW}))
    assert caught.value.hint == f"call it '{better}'"


@pytest.mark.parametrize("name", ["name", "training", "x", "X", "model", "tensors", "inputs", "function"])
def test_any_other_identifier_names_an_input(trace: Trace, name: str) -> None:
    def call(model: Any, /, **tensors: Any) -> Any:
        return {"output": tensors[name]}

    signature = Signature({name: ROW}, call=call)
    traced = trace(ModelSpec("m", lambda: echo, signatures={"serving_default": signature}))
    assert list(traced.signatures["serving_default"].inputs) == [name]


@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict")
def test_the_keys_of_a_keras_dict_name_its_inputs(trace: Trace) -> None:
    import keras

    one, two = keras.Input((3,), name="one"), keras.Input((3,), name="two")
    traced = trace(ModelSpec("m", lambda: keras.Model({"b": one, "a": two}, one - two)))
    feed = {"a": np.ones((1, 3), np.float32), "b": np.zeros((1, 3), np.float32)}
    assert traced.eager["serving_default"](feed)["subtract"].tolist() == [[-1.0, -1.0, -1.0]]


@pytest.mark.parametrize(
    ("samples", "message", "hint"),
    [
        (lambda size, seed: {"x": np.ones((size, 4), np.float32)}, "input 'x' has shape [1, 4]", "any size"),
        (lambda size, seed: {"y": np.ones((size, 3), np.float32)}, "missing input 'x'", "the signature wants x"),
        (lambda size, seed: {"x": [["a"] * 3] * size}, "input 'x'", "convert it to float32 first"),
        (lambda size, seed: [1.0], "samples of 'm' give a list", "return {input name: array}"),
        (lambda size, seed: raises(), "samples of 'm' failed for batch size 1: OSError: no disk", "test_calling.py:"),
        (dict, "samples of 'm' failed for batch size 1: TypeError", ""),
    ],
)
def test_samples_that_do_not_fit_are_said_in_one_line(trace: Trace, samples: Any, message: str, hint: str) -> None:
    traced = trace(ModelSpec("m", lambda: echo, inputs={"x": ROW}, samples=samples))
    with pytest.raises(CatalogError) as caught:
        traced.samples["serving_default"](1, 0)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.exit_code == ExitCode.BAD_INPUT


@pytest.mark.parametrize(
    "sample",
    [
        {"x": np.ones((2, 3)), "more": 1},
        {"x": np.ones((2, 3), np.float16)},
        {"x": [[1, 2, 3], [4, 5, 6]]},
    ],
    ids=["float64 and one more", "float16", "lists"],
)
def test_samples_may_be_wider_arrays_lists_and_more_than_is_taken(trace: Trace, sample: dict[str, Any]) -> None:
    traced = trace(ModelSpec("m", lambda: echo, inputs={"x": ROW}, samples=lambda size, seed: sample))
    feed = traced.samples["serving_default"](2, 0)
    assert {name: array.dtype.name for name, array in feed.items()} == {"x": "float32"}


def test_ragged_samples_become_their_dense_parts(trace: Trace) -> None:
    import tensorflow as tf

    def samples(_size: int, _seed: int) -> dict[str, Any]:
        return {"x": tf.ragged.constant([[1, 2], [3]], dtype=tf.int64)}

    feed = trace(ModelSpec("m", lambda: echo, inputs={"x": ragged()}, samples=samples)).samples["serving_default"](2, 0)
    assert {name: array.tolist() for name, array in feed.items()} == {"x_values": [1, 2, 3], "x_row_splits": [0, 2, 3]}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain", "plain"),
        ("", "ValueError"),
        ("first\nsecond", "first"),
        ('in user code:\n\n  File "x.py", line 3, in f  *\n    g()\n\n  TypeError: bad x\n', "TypeError: bad x"),
        (
            "Exception encountered when calling D.call().\n\n\x1b[1mno shape\x1b[0m\n\nArguments",
            "Exception encountered when calling D.call(): no shape",
        ),
        (
            "in user code:\n File\n ValueError: Exception encountered when calling D.call().\n\n \x1b[1mbad\x1b[0m",
            "ValueError: Exception encountered when calling D.call(): bad",
        ),
        ("x" * 1000, "x" * 400 + "..."),
    ],
)
def test_the_line_of_an_error_that_says_what_happened_is_found(text: str, line: str) -> None:
    assert first_line(ValueError(text)) == line
