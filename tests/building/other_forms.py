"""Modules, functions and composite tensors in all the forms in which people have them."""

from typing import Any

from tests.building.keras_forms import ROW, subclassed
from toolkit.core.model import ModelSpec
from toolkit.core.tensors import Signature


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
