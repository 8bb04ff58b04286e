"""Finds handwritten digits on a canvas: a tf.Module with a loop over the images and non-max suppression inside."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from models import _scenes
from models._data import digits, files, stored_weights
from models._scenes import SIZE, Scenes, Score, scenes
from toolkit import ModelSpec, Signature, TensorSpec
from toolkit.core.model import Predict
from toolkit.core.tensors import Array

# Kernel, stride and channels of each convolution; the last cell sees 33 pixels, more than the largest digit.
LAYERS = ((5, 2, 16), (3, 2, 32), (3, 1, 64), (3, 1, 64), (3, 1, 64))
CLASSES = 10
STRIDE = 4
GRID = SIZE // STRIDE
# A distance of 1 as the network gives it; digits are about twice as large.
REACH = 12.0 / SIZE
MOST = 8
SUPPRESSING_OVERLAP = 0.4
LEAST_SCORE = 0.4


def shapes() -> list[tuple[str, tuple[int, ...]]]:
    """Name and shape of each variable in its order."""
    found: list[tuple[str, tuple[int, ...]]] = []
    channels = 1
    for at, (kernel, _, filters) in enumerate((*LAYERS, (1, 1, CLASSES + 4)), start=1):
        found += [(f"kernel_{at}", (kernel, kernel, channels, filters)), (f"bias_{at}", (filters,))]
        channels = filters
    return found


def module(values: list[Array]) -> Any:
    """The detector over these values of its variables."""
    import tensorflow as tf  # late: listing models must not load TensorFlow

    class Detector(tf.Module):
        """Digits on a canvas: `propose` scores every cell of a grid, `detect` keeps the best that do not overlap."""

        def __init__(self) -> None:
            super().__init__(name="detector")
            names = [name for name, _ in shapes()]
            self.weights = [tf.Variable(value, name=name) for name, value in zip(names, values, strict=True)]

        def propose(self, image: Any) -> dict[str, Any]:
            """A box and the score of each class for every cell."""
            logits, sides = raw(self.weights, image)
            middles = tf.constant(cell_middles())
            corners = tf.concat([middles - REACH * sides[..., :2], middles + REACH * sides[..., 2:]], axis=-1)
            return {"boxes": tf.clip_by_value(corners, 0.0, 1.0), "scores": tf.sigmoid(logits)}

        def detect(self, image: Any) -> dict[str, Any]:
            """The digits found, best first: boxes, scores, classes and their count; unused places are 0, 0 and -1."""
            return best_of_each(**self.propose(image))

    return Detector()


def raw(weights: list[Any], image: Any) -> tuple[Any, Any]:
    """Logits of the classes, and distances to the four sides, for every cell."""
    import tensorflow as tf

    x = image[..., tf.newaxis]
    strides = [*(stride for _, stride, _ in LAYERS), 1]
    for at, stride in enumerate(strides):
        kernel, bias = weights[2 * at : 2 * at + 2]
        x = tf.nn.bias_add(tf.nn.conv2d(x, kernel, stride, "SAME"), bias)
        x = x if at == len(LAYERS) else tf.nn.relu(x)
    cells = tf.reshape(x, [-1, GRID * GRID, CLASSES + 4])
    return cells[..., :CLASSES], cells[..., CLASSES:]


def cell_middles() -> Array:
    """Where the cells of the grid are, row by row, from 0 to 1."""
    line = (np.arange(GRID, dtype=np.float32) + 0.5) / GRID
    return np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)


def best_of_each(boxes: Any, scores: Any) -> dict[str, Any]:
    """The best proposals of every image, one after the other, since the suppression op takes one at a time."""
    import tensorflow as tf

    batch = tf.shape(boxes)[0]
    kept = {
        "boxes": tf.TensorArray(tf.float32, batch, element_shape=(MOST, 4)),
        "scores": tf.TensorArray(tf.float32, batch, element_shape=(MOST,)),
        "classes": tf.TensorArray(tf.int32, batch, element_shape=(MOST,)),
        "count": tf.TensorArray(tf.int32, batch, element_shape=()),
    }

    def suppress(row: Any, found: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        one = best_of(boxes[row], scores[row])
        return row + 1, {name: found[name].write(row, value) for name, value in one.items()}

    _, kept = tf.while_loop(lambda row, _: row < batch, suppress, (tf.constant(0), kept))
    return {name: values.stack() for name, values in kept.items()}


def best_of(boxes: Any, scores: Any) -> dict[str, Any]:
    """The proposals of one image that are no worse copies of better ones."""
    import tensorflow as tf

    best = tf.reduce_max(scores, axis=-1)
    # The one op: tf.image's padded form is a nest of loops instead, which ONNX runtimes cannot open.
    picked, count = tf.raw_ops.NonMaxSuppressionV4(
        boxes=boxes,
        scores=best,
        max_output_size=MOST,
        iou_threshold=SUPPRESSING_OVERLAP,
        score_threshold=LEAST_SCORE,
        pad_to_max_output_size=True,
    )
    used = tf.range(MOST) < count
    classes = tf.gather(tf.argmax(scores, axis=-1, output_type=tf.int32), picked)
    return {
        "boxes": tf.where(used[:, tf.newaxis], tf.gather(boxes, picked), 0.0),
        "scores": tf.where(used, tf.gather(best, picked), 0.0),
        "classes": tf.where(used, classes, -1),
        "count": count,
    }


def build() -> Any:
    """The trained module."""
    return module(stored_weights("detector"))


def samples(batch_size: int, seed: int) -> dict[str, Array]:
    """Canvases of digits that training has not seen."""
    return {"image": scenes(digits().held_out, batch_size, seed).images}


def calibration() -> Iterator[dict[str, Array]]:
    """Canvases of digits that training has seen."""
    images = scenes(digits().train, 100, 0).images
    return ({"image": images[at : at + 1]} for at in range(len(images)))


@cache
def evaluated() -> Scenes:
    """The canvases that a detector is judged by."""
    return scenes(digits().held_out, 200, 1)


def evaluate(predict: Predict) -> dict[str, float]:
    """F1 of digits found with the right class and at least half of their box."""
    truth, score, at_once = evaluated(), Score(), 20
    for start in range(0, len(truth.images), at_once):
        outputs = predict({"image": truth.images[start : start + at_once]})
        for row in range(at_once):
            score.add(truth, start + row, outputs, row)
    return {"f1": score.f1}


IMAGE = {"image": TensorSpec("float32", (None, SIZE, SIZE))}
MODEL = ModelSpec(
    name="detector",
    build=build,
    signatures={
        "serving_default": Signature(IMAGE, call="detect"),
        "propose": Signature(IMAGE, call="propose"),
    },
    samples=samples,
    calibration=calibration,
    evaluate=evaluate,
    files=(*files("detector", "digits.npz"), Path(_scenes.__file__)),
    description="handwritten digits on a 64x64 canvas: boxes, scores, classes and count after non-max suppression",
)
