"""Signals, linear algebra, and dtypes other than float32, inside and at the inputs."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tests.zoo.specimen import Specimen, floats, seeded
from toolkit import ModelSpec, TensorSpec

layers = keras.layers


def spectrum(wave: Any) -> Any:
    spectra = tf.signal.stft(wave, frame_length=16, frame_step=8, fft_length=16)
    return {"magnitude": tf.abs(spectra), "power": tf.square(tf.math.real(spectra)) + tf.square(tf.math.imag(spectra))}


class Mel(tf.Module):
    """Logarithmic mel bands and cepstral coefficients of a wave of open length."""

    def __init__(self) -> None:
        super().__init__()
        self.bands = tf.signal.linear_to_mel_weight_matrix(8, 17, 8000, 80.0, 3800.0)

    def __call__(self, wave: Any) -> Any:
        magnitudes = tf.abs(tf.signal.stft(wave, frame_length=32, frame_step=16, fft_length=32, pad_end=True))
        mel = tf.math.log(tf.tensordot(magnitudes, self.bands, 1) + 1e-3)
        return {"mel": mel, "cepstrum": tf.signal.mfccs_from_log_mel_spectrograms(mel)[..., :4]}


def algebra(x: Any) -> Any:
    square = tf.matmul(x, x, transpose_a=True) + 2.0 * tf.eye(3)
    factor = tf.linalg.cholesky(square)
    return {
        "factor": factor,
        "solved": tf.linalg.solve(square, tf.ones_like(square)),
        "inverse": tf.linalg.inv(square),
        "determinant": tf.linalg.det(square),
        "lower": tf.linalg.triangular_solve(factor, tf.ones_like(square)),
        "trace": tf.linalg.trace(square),
        "diagonal": tf.linalg.diag_part(square),
    }


def decomposed(x: Any) -> Any:
    square = tf.matmul(x, x, transpose_a=True)
    orthogonal, upper = tf.linalg.qr(x)
    return {
        "eigenvalues": tf.linalg.eigvalsh(square),
        "singular": tf.linalg.svd(x, compute_uv=False),
        "rebuilt": orthogonal @ upper,
        "size": tf.linalg.logdet(square + tf.eye(3)),
    }


class Doubles(tf.Module):
    """Everything in float64."""

    def __init__(self) -> None:
        super().__init__()
        rng = np.random.default_rng(8)
        self.kernel = tf.Variable(rng.normal(size=(4, 3)))
        self.filter = tf.Variable(rng.normal(size=(3, 1, 2)))

    def __call__(self, x: Any) -> Any:
        waves = tf.nn.conv1d(x[:, :, None], self.filter, 1, "SAME")
        return {"logits": tf.nn.softmax(x @ self.kernel), "waves": tf.tanh(waves)}


def mixed(policy: str) -> Any:
    dtype = keras.mixed_precision.Policy(policy)
    source = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(6, 3, activation="relu", dtype=dtype)(source)
    x = layers.GlobalAveragePooling2D(dtype=dtype)(layers.BatchNormalization(dtype=dtype)(x))
    return keras.Model(source, layers.Dense(4, activation="softmax", dtype="float32", name="classes")(x))


class Halves(tf.Module):
    """Takes and gives bfloat16."""

    def __init__(self) -> None:
        super().__init__()
        kernel = np.random.default_rng(8).normal(size=(4, 3))
        self.kernel = tf.Variable(tf.cast(kernel, tf.bfloat16))

    def __call__(self, x: Any) -> Any:
        return {"y": tf.nn.relu(tf.matmul(x, self.kernel))}


def tiny_whole(x: Any) -> Any:
    return {"sum": tf.reduce_sum(tf.cast(x, tf.int32), 1), "scaled": tf.cast(x, tf.float32) * 0.1, "same": x}


def bytes_of_image(image: Any) -> Any:
    x = tf.image.resize(tf.cast(image, tf.float32) / 255.0, (4, 4))
    return {"mean": tf.reduce_mean(x, [1, 2]), "flipped": image[:, ::-1]}


def identifiers(user: Any, item: Any) -> Any:
    rng = np.random.default_rng(9)
    table = tf.constant(rng.normal(size=(8, 4)).astype(np.float32))
    score = tf.reduce_sum(tf.gather(table, user % 8) * tf.gather(table, item), -1)
    return {"score": score, "next": (user * 31 + item) % 1000, "same": tf.equal(user, item)}


def strings(text: Any) -> Any:
    return {"joined": tf.strings.join([text, text], "-"), "length": tf.strings.length(text)}


def waves(batch_size: int, seed: int) -> dict[str, Any]:
    return {"wave": np.random.default_rng(seed).normal(size=(batch_size, 160))}


NO_BFLOAT16 = {"onnx": "takes no bfloat16, which Placeholder (layer x) is"}
ZOO = (
    Specimen(ModelSpec("stft", lambda: spectrum, {"wave": floats(64)}), "stft", fast=True),
    Specimen(ModelSpec("mel", Mel, {"wave": floats(None)}, samples=waves), "mel"),
    Specimen(ModelSpec("linear_algebra", lambda: algebra, {"x": floats(5, 3)}), "linear algebra"),
    Specimen(ModelSpec("decompositions", lambda: decomposed, {"x": floats(5, 3)}), "linear algebra"),
    Specimen(ModelSpec("float64", Doubles, {"x": TensorSpec("float64", (None, 4))}), "float64"),
    Specimen(ModelSpec("mixed_float16", seeded(lambda: mixed("mixed_float16"))), "mixed float16", fast=True),
    Specimen(ModelSpec("mixed_bfloat16", seeded(lambda: mixed("mixed_bfloat16"))), "mixed bfloat16"),
    Specimen(ModelSpec("bfloat16", Halves, {"x": TensorSpec("bfloat16", (None, 4))}), "bfloat16", NO_BFLOAT16),
    Specimen(ModelSpec("int8_input", lambda: tiny_whole, {"x": TensorSpec("int8", (None, 4))}), "int8 input"),
    Specimen(
        ModelSpec("uint8_input", lambda: bytes_of_image, {"image": TensorSpec("uint8", (None, 8, 6, 3))}),
        "uint8 input",
        fast=True,
    ),
    Specimen(
        ModelSpec(
            "int64_input",
            lambda: identifiers,
            {"user": TensorSpec("int64", (None,)), "item": TensorSpec("int64", (None,))},
        ),
        "int64 input",
    ),
    Specimen(
        ModelSpec("string_input", lambda: strings, {"text": TensorSpec("string", (None,))}),
        "string input",
        {"tflite": "StringJoin (layer StringJoin)", "onnx": "StringJoin (layer StringJoin)"},
    ),
)
