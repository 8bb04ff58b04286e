"""Every form of model gives the signature that its author meant, traced once, with the eager model's answers."""

from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from toolkit.core.model import ModelSpec, TracedModel
from toolkit.core.tensors import Signature, TensorSpec, sample_feed

Trace = Callable[[ModelSpec], TracedModel]
ROW = TensorSpec("float32", (None, 3))
Pair = namedtuple("Pair", ["first", "second"])  # as TensorFlow programs write it


@dataclass
class Answer:
    """Outputs as some libraries return them."""

    logits: Any
    nothing: Any = None


def functional_of_one() -> ModelSpec:
    import keras

    image = keras.Input((3,), name="image")
    return ModelSpec("m", lambda: keras.Model(image, keras.layers.Dense(2, name="label")(image)))


def functional_of_a_list() -> ModelSpec:
    import keras

    left, right = keras.Input((3,), name="left"), keras.Input((3,), name="right-one")
    total = keras.layers.Dense(2)(left) + right[:, :2]
    return ModelSpec("m", lambda: keras.Model([right, left], [keras.layers.Identity(name="a-b")(total), left]))


def functional_of_a_dict() -> ModelSpec:
    import keras

    left, right = keras.Input((3,), name="left"), keras.Input((2,), name="right", dtype="int64")
    joined = keras.ops.concatenate([left, keras.ops.cast(right, "float32")], axis=1)
    return ModelSpec("m", lambda: keras.Model({"right": right, "left": left}, {"z": joined, "a": left}))


def functional_of_nested_inputs() -> ModelSpec:
    import keras

    one, two, three = (keras.Input((3,), name=name) for name in ("one", "two", "more"))
    return ModelSpec("m", lambda: keras.Model({"pair": [one, two], "more": three}, one - 2 * two + 3 * three))


def functional_with_declared_inputs_in_another_order() -> ModelSpec:
    import keras

    left, right = keras.Input((3,), name="left"), keras.Input((3,), name="right")
    inputs = {"right": ROW, "left": TensorSpec("float32", (None, 3))}
    return ModelSpec("m", lambda: keras.Model([left, right], left - right), inputs=inputs)


def functional_under_another_name() -> ModelSpec:
    import keras

    image = keras.Input((3,), name="image")
    return ModelSpec("m", lambda: keras.Model(image, 2 * image), inputs={"pixels": ROW})


def functional_with_an_optional_input() -> ModelSpec:
    import keras

    image, mask = keras.Input((3,), name="image"), keras.Input((3,), name="mask", optional=True)
    return ModelSpec("m", lambda: keras.Model([image, mask], 2 * image), inputs={"image": ROW})


def functional_of_a_sparse_input() -> ModelSpec:
    import keras

    counts = keras.Input((5,), name="counts", sparse=True)
    return ModelSpec("m", lambda: keras.Model(counts, keras.layers.Dense(2, name="out")(counts)))


def functional_of_a_ragged_input() -> ModelSpec:
    import keras

    words = keras.Input((None,), name="words", dtype="int64", ragged=True)
    return ModelSpec("m", lambda: keras.Model(words, keras.layers.Embedding(8, 2, name="out")(words)))


def sequential() -> ModelSpec:
    import keras

    return ModelSpec("m", lambda: keras.Sequential([keras.Input((3,), name="x"), keras.layers.Dense(2, name="y")]))


def sequential_that_was_trained_without_an_input() -> ModelSpec:
    import keras

    def build() -> Any:
        model = keras.Sequential([keras.layers.Dense(2), keras.layers.Dropout(0.5), keras.layers.BatchNormalization()])
        model.compile("adam", "mse")
        model.fit(np.ones((8, 3), np.float32), np.ones((8, 2)), batch_size=4, verbose=0)
        return model

    return ModelSpec("m", build)


def sequential_that_is_not_built() -> ModelSpec:
    import keras

    return ModelSpec("m", lambda: keras.Sequential([keras.layers.Dense(2)]), inputs={"x": ROW})


def subclassed() -> Any:
    import keras

    class Doubled(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(2)
            self.drop = keras.layers.Dropout(0.5)

        def call(self, inputs: Any, training: bool = False) -> Any:
            if isinstance(inputs, dict):
                inputs = inputs["left"] + inputs["right"]
            return {"scores": self.drop(self.dense(inputs), training=training)}

    return Doubled()


def subclassed_that_is_not_built() -> ModelSpec:
    return ModelSpec("m", subclassed, inputs={"x": ROW})


def subclassed_that_was_called() -> ModelSpec:
    def build() -> Any:
        model = subclassed()
        model(np.ones((4, 3), np.float32))
        return model

    return ModelSpec("m", build)


def subclassed_of_a_dict() -> ModelSpec:
    def build() -> Any:
        model = subclassed()
        model({"left": np.ones((4, 3), np.float32), "right": np.ones((4, 3), np.float32)})
        return model

    return ModelSpec("m", build)


def subclassed_with_declared_dict() -> ModelSpec:
    return ModelSpec("m", subclassed, inputs={"left": ROW, "right": ROW})


def subclassed_of_several_arguments() -> ModelSpec:
    import keras

    class Sum(keras.Model):
        def call(self, ids: Any, weight: Any, scale: float = 2.0) -> Any:
            return scale * ids * weight, ids

    return ModelSpec("m", Sum, inputs={"weight": ROW, "ids": ROW})


def layer() -> ModelSpec:
    import keras

    return ModelSpec("m", lambda: keras.layers.Rescaling(0.5), inputs={"x": ROW})


def module(signature: bool) -> Any:
    import tensorflow as tf

    class Scale(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = tf.Variable(3.0)

        def __call__(self, x: Any) -> Any:
            return self.factor * x

        def serve(self, x: Any, y: Any) -> Any:
            return {"sum": self.factor * x + y}

    class Declared(Scale):
        @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32)])
        def __call__(self, x: Any) -> Any:
            return self.factor * x

    return Declared() if signature else Scale()


def module_with_input_signature() -> ModelSpec:
    return ModelSpec("m", lambda: module(signature=True))


def module_with_declared_inputs() -> ModelSpec:
    return ModelSpec("m", lambda: module(signature=False), inputs={"x": ROW})


def signature_that_names_a_method() -> ModelSpec:
    signature = Signature({"x": ROW, "y": ROW}, call="serve")
    return ModelSpec("m", lambda: module(signature=False), signatures={"serving_default": signature})


def signature_of_a_callable() -> ModelSpec:
    def call(model: Any, *, rows: Any) -> Any:
        return model.serve(rows, rows), 2 * rows

    signature = Signature({"rows": ROW}, call=call)
    return ModelSpec("m", lambda: module(signature=False), signatures={"serving_default": signature})


def module_that_makes_its_variables_when_called() -> ModelSpec:
    import tensorflow as tf

    class Late(tf.Module):
        factor = None

        def __call__(self, x: Any) -> Any:
            if self.factor is None:
                self.factor = tf.Variable(3.0)
            return self.factor * x

    return ModelSpec("m", Late, inputs={"x": ROW})


def module_of_keras_layers() -> ModelSpec:
    import keras
    import tensorflow as tf

    class Holder(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(2)

        def __call__(self, x: Any) -> Any:
            return self.dense(x)

    return ModelSpec("m", Holder, inputs={"x": ROW})


def plain_function() -> ModelSpec:
    def total(x: Any, y: Any) -> Any:
        return x + y

    return ModelSpec("m", lambda: total, inputs={"y": ROW, "x": ROW})


def function_over_an_unbuilt_keras_model() -> ModelSpec:
    def build() -> Any:
        model = subclassed()
        return lambda x: model(x)["scores"]

    return ModelSpec("m", build, inputs={"x": ROW})


def graph_function() -> ModelSpec:
    import tensorflow as tf

    specs = [tf.TensorSpec((None, 3), tf.float32), tf.TensorSpec((), tf.int32)]
    return ModelSpec(
        "m", lambda: tf.function(lambda rows, power: rows ** tf.cast(power, tf.float32), input_signature=specs)
    )


def graph_function_of_nested_inputs() -> ModelSpec:
    import tensorflow as tf

    row = tf.TensorSpec((None, 3), tf.float32)

    @tf.function(input_signature=[{"left": row, "right": [row, row]}])
    def total(features: Any) -> Any:
        return features["left"] + 2 * features["right"][0] - features["right"][1]

    return ModelSpec("m", lambda: total)


def specs_of_tensorflow() -> ModelSpec:
    import tensorflow as tf

    inputs = {"x": tf.TensorSpec((None, 3), tf.bfloat16), "words": tf.TensorSpec(None, tf.string)}
    return ModelSpec("m", lambda: lambda x, words: {"x": x + x, "words": words}, inputs=inputs)


def ragged_and_sparse() -> ModelSpec:
    import tensorflow as tf

    inputs = {
        "words": tf.RaggedTensorSpec((None, None), tf.float32),
        "deep": tf.RaggedTensorSpec((None, None, None), tf.int32, ragged_rank=2, row_splits_dtype=tf.int32),
        "counts": tf.SparseTensorSpec((None, 5), tf.float32),
    }

    def call(words: Any, deep: Any, counts: Any) -> Any:
        return {"w": words * 2.0, "d": deep, "c": counts, "sum": tf.sparse.reduce_sum(counts, axis=1)}

    return ModelSpec("m", lambda: call, inputs=inputs)


def outputs_of(result: Callable[[Any], Any]) -> Callable[[], ModelSpec]:
    return lambda: ModelSpec("m", lambda: result, inputs={"x": ROW})


ONE, OUT = {"x": "float32[*, 3]"}, {"output_0": "float32[*, 3]"}
TWO = {"left": "float32[*, 3]", "right": "float32[*, 3]"}
FORMS: list[tuple[Callable[[], ModelSpec], dict[str, str], dict[str, str]]] = [
    (functional_of_one, {"image": "float32[*, 3]"}, {"label": "float32[*, 2]"}),
    (
        functional_of_a_list,
        {"right_one": "float32[*, 3]", "left": "float32[*, 3]"},
        {"a_b": "float32[*, 2]", "left": "float32[*, 3]"},
    ),
    (
        functional_of_a_dict,
        {"left": "float32[*, 3]", "right": "int64[*, 2]"},
        {"a": "float32[*, 3]", "z": "float32[*, 5]"},
    ),
    (functional_of_nested_inputs, dict.fromkeys(("more", "one", "two"), "float32[*, 3]"), {"add": "float32[*, 3]"}),
    (functional_with_declared_inputs_in_another_order, TWO, {"subtract": "float32[*, 3]"}),
    (functional_under_another_name, {"pixels": "float32[*, 3]"}, {"multiply": "float32[*, 3]"}),
    (functional_with_an_optional_input, {"image": "float32[*, 3]"}, {"multiply": "float32[*, 3]"}),
    (
        functional_of_a_sparse_input,
        {"counts_indices": "int64[*, 2]", "counts_values": "float32[*]", "counts_dense_shape": "int64[2]"},
        {"out": "float32[*, 2]"},
    ),
    (
        functional_of_a_ragged_input,
        {"words_values": "int64[*]", "words_row_splits": "int64[*]"},
        {"out_values": "float32[*, 2]", "out_row_splits": "int64[*]"},
    ),
    (sequential, ONE, {"y": "float32[*, 2]"}),
    (
        sequential_that_was_trained_without_an_input,
        {"keras_tensor": "float32[*, 3]"},
        {"batch_normalization": "float32[*, 2]"},
    ),
    (sequential_that_is_not_built, ONE, {"dense": "float32[*, 2]"}),
    (subclassed_that_is_not_built, ONE, {"scores": "float32[*, 2]"}),
    (subclassed_that_was_called, {"input_0": "float32[*, 3]"}, {"scores": "float32[*, 2]"}),
    (subclassed_of_a_dict, TWO, {"scores": "float32[*, 2]"}),
    (subclassed_with_declared_dict, TWO, {"scores": "float32[*, 2]"}),
    (
        subclassed_of_several_arguments,
        {"ids": "float32[*, 3]", "weight": "float32[*, 3]"},
        {"output_0": "float32[*, 3]", "output_1": "float32[*, 3]"},
    ),
    (layer, ONE, OUT),
    (module_with_input_signature, ONE, OUT),
    (module_with_declared_inputs, ONE, OUT),
    (signature_that_names_a_method, {"x": "float32[*, 3]", "y": "float32[*, 3]"}, {"sum": "float32[*, 3]"}),
    (
        signature_of_a_callable,
        {"rows": "float32[*, 3]"},
        {"output_0_sum": "float32[*, 3]", "output_1": "float32[*, 3]"},
    ),
    (module_that_makes_its_variables_when_called, ONE, OUT),
    (module_of_keras_layers, ONE, {"output_0": "float32[*, 2]"}),
    (plain_function, {"x": "float32[*, 3]", "y": "float32[*, 3]"}, OUT),
    (function_over_an_unbuilt_keras_model, ONE, {"output_0": "float32[*, 2]"}),
    (graph_function, {"rows": "float32[*, 3]", "power": "int32[]"}, OUT),
    (
        graph_function_of_nested_inputs,
        dict.fromkeys(("features_left", "features_right_0", "features_right_1"), "float32[*, 3]"),
        OUT,
    ),
    (specs_of_tensorflow, {"x": "bfloat16[*, 3]", "words": "string[?]"}, {"x": "bfloat16[*, 3]", "words": "string[?]"}),
    (
        ragged_and_sparse,
        {
            "words_values": "float32[*]",
            "words_row_splits": "int64[*]",
            "deep_values": "int32[*]",
            "deep_row_splits_0": "int32[*]",
            "deep_row_splits_1": "int32[*]",
            "counts_indices": "int64[*, 2]",
            "counts_values": "float32[*]",
            "counts_dense_shape": "int64[2]",
        },
        {
            "w_values": "float32[*]",
            "w_row_splits": "int64[*]",
            "d_values": "int32[*]",
            "d_row_splits_0": "int32[*]",
            "d_row_splits_1": "int32[*]",
            "c_indices": "int64[*, 2]",
            "c_values": "float32[*]",
            "c_dense_shape": "int64[2]",
            "sum": "float32[?]",
        },
    ),
    (outputs_of(lambda x: x), ONE, OUT),
    (outputs_of(lambda x: [x, x]), ONE, {"output_0": "float32[*, 3]", "output_1": "float32[*, 3]"}),
    (outputs_of(lambda x: Pair(x, 1)), ONE, {"first": "float32[*, 3]", "second": "int32[]"}),
    (outputs_of(lambda x: Answer(logits=x)), ONE, {"logits": "float32[*, 3]"}),
    (
        outputs_of(lambda x: {"a b": x, 7: {"in": [x, None], "out": Pair(x, x)}}),
        ONE,
        dict.fromkeys(("a b", "7_in_0", "7_out_first", "7_out_second"), "float32[*, 3]"),
    ),
]


@pytest.mark.parametrize(("form", "inputs", "outputs"), FORMS, ids=[form[0].__name__ for form in FORMS])
def test_a_form_of_model_has_its_signature(
    trace: Trace, form: Callable[[], ModelSpec], inputs: dict[str, str], outputs: dict[str, str]
) -> None:
    traced = trace(form())
    signature = traced.signatures["serving_default"]
    found = ({name: str(spec) for name, spec in side.items()} for side in (signature.inputs, signature.outputs))
    assert list(found) == [inputs, outputs]
    assert (traced.facts.count, traced.baseline) == (1, "eager")
    for batch_size in (1, 7):
        feed = traced.samples["serving_default"](batch_size, batch_size)
        assert_same(traced, feed)


def assert_same(traced: TracedModel, feed: dict[str, Any]) -> None:
    """The concrete function gives what the eager model gives."""
    import tensorflow as tf

    signature = traced.signatures["serving_default"]
    tensors = {name: tf.constant(value, signature.inputs[name].dtype) for name, value in feed.items()}
    graph = {name: tensor.numpy() for name, tensor in traced.functions["serving_default"](**tensors).items()}
    eager = traced.eager["serving_default"](feed)
    assert set(graph) == set(eager) == set(signature.outputs)
    for name, value in eager.items():
        if signature.outputs[name].dtype == "string":
            assert value.tolist() == graph[name].tolist()
        else:
            np.testing.assert_allclose(
                np.asarray(graph[name], np.float64), np.asarray(value, np.float64), rtol=1e-5, atol=1e-6
            )


def test_several_signatures_are_each_traced_once(trace: Trace) -> None:
    spec = ModelSpec(
        "m",
        lambda: module(signature=False),
        signatures={
            "serving_default": Signature({"x": ROW}),
            "sum": Signature({"x": ROW, "y": ROW}, call="serve"),
            "regress": Signature({"x": ROW}, call=lambda model, x: {"outputs": model(x)[:, :1]}, method="regress"),
        },
    )
    traced = trace(spec)
    assert (traced.facts.count, list(traced.signatures)) == (3, ["serving_default", "sum", "regress"])
    assert traced.signatures["regress"].method == "regress"


def test_names_of_a_keras_model_do_not_depend_on_what_was_built_before(trace: Trace) -> None:
    def build() -> Any:
        import keras

        return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(2)])

    found = [trace(ModelSpec("m", build)).signatures["serving_default"] for _ in range(2)]
    assert found[0] == found[1]
    assert list(found[0].outputs) == ["dense_1"]


def test_names_that_a_program_has_given_out_are_not_given_out_again(trace: Trace) -> None:
    import keras

    before = [keras.layers.Dense(1).name for _ in range(3)]
    trace(ModelSpec("m", lambda: keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])))
    assert keras.layers.Dense(1).name not in before


def test_dropout_stays_off(trace: Trace) -> None:
    traced = trace(sequential_that_was_trained_without_an_input())
    feed = sample_feed(traced.signatures["serving_default"], 7, 0)
    first, second = (traced.eager["serving_default"](feed)["batch_normalization"] for _ in range(2))
    np.testing.assert_array_equal(first, second)
