"""Keras models in all the forms in which people have them."""

from typing import Any

import numpy as np

from toolkit.core.model import ModelSpec
from toolkit.core.tensors import TensorSpec

ROW = TensorSpec("float32", (None, 3))


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
