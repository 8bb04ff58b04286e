"""Stateless random numbers, bit for bit those of TensorFlow: the Philox generator in 32 bit whole numbers.

J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011); tensorflow/core/lib/random/philox_random.h
and random_distributions.h for how bits become numbers, and stateless_random_ops.cc for how a seed becomes a key.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step

_ROUNDS = 10
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_SCRAMBLE = (0x3EC8F720, 0x02461E29)
_HALF = 1 << 16
_LEAST = 1e-7  # what the logarithm of Box and Muller's transform may see


@dataclass(frozen=True)
class Keys:
    """A generator's key and counter as 32 bit words, in place of a tensor of 64 bit ones."""

    words: Any


def _signed(word: int) -> int:
    return word - (1 << 32) if word >= 1 << 31 else word


def _upper(word: Any) -> Any:
    """The upper 16 of 32 bits, as a number from 0."""
    import tensorflow as tf

    low = tf.math.floormod(word, _HALF)
    # Exact, as the difference is a multiple; shifting is what runtimes lack.
    return tf.math.floormod(tf.math.floordiv(word - low, _HALF), _HALF)


def _round(counter: Any, key: Any) -> Any:
    """One round on counters [groups, 4] with a key [2]: long multiplication in halves, which wraps around."""
    import tensorflow as tf

    words = tf.stack([counter[:, 0], counter[:, 2]], 1)
    low, high = tf.math.floormod(words, _HALF), _upper(words)
    factor_low, factor_high = (
        tf.constant([_parts(factor)[part] for factor in _MULTIPLIERS]) for part in ("low", "high")
    )
    first = high * factor_low + _upper(low * factor_low)
    second = low * factor_high + tf.math.floormod(first, _HALF)
    upper = high * factor_high + _upper(first) + _upper(second)
    lower = words * tf.constant([_signed(factor) for factor in _MULTIPLIERS])
    mixed = tf.bitwise.bitwise_xor(tf.bitwise.bitwise_xor(upper[:, ::-1], counter[:, 1::2]), key)
    return tf.stack([mixed[:, 0], lower[:, 1], mixed[:, 1], lower[:, 0]], 1)


def _parts(factor: int) -> dict[str, int]:
    return {"high": factor // _HALF, "low": factor % _HALF}


def _scrambled(counter: Any, key: Any) -> Any:
    """Four random words for each counter of four; a loop, since ten rounds written out take five hundred ops."""
    import tensorflow as tf

    def again(at: Any, counter: Any, key: Any) -> Any:
        return at + 1, _round(counter, key), key + tf.constant([_signed(step) for step in _KEY_STEPS])

    return tf.while_loop(lambda at, *_: at < _ROUNDS, again, (0, counter, key))[1]


def _keys(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    (seed,) = step.inputs
    words = []
    for at in range(2):
        if seed.dtype == tf.int32:
            low = seed[at]
            words += [low, tf.where(low < 0, -1, 0)]
        else:
            low64 = tf.math.floormod(seed[at], 1 << 32)
            high64 = tf.math.floormod((seed[at] - low64) // (1 << 32), 1 << 32)
            words += [_as_word(low64), _as_word(high64)]
    mixed = _scrambled(tf.expand_dims(tf.stack(words), 0), tf.constant([_signed(word) for word in _SCRAMBLE]))
    return [Keys(mixed[0, :2]), Keys(tf.concat([[0, 0], mixed[0, 2:]], 0))]


def _as_word(value: Any) -> Any:
    """A number from 0 to 2^32 - 1 in 64 bits as the 32 bit word of the same bits."""
    import tensorflow as tf

    return tf.cast(tf.where(value >= 1 << 31, value - (1 << 32), value), tf.int32)


def _words(step: Step) -> tuple[Any, Any] | None:
    """(random words [groups of 4, 4], the shape that is asked for)."""
    import tensorflow as tf

    shape, key, counter = step.inputs[:3]
    if not isinstance(key, Keys) or not isinstance(counter, Keys):
        return None
    count = tf.reduce_prod(tf.cast(shape, tf.int32))
    groups = tf.expand_dims(tf.range(tf.math.floordiv(count + 3, 4)), 1)
    # Counters start from zero, and no tensor has so many elements that a sum would carry into the next word.
    counters = groups * tf.constant([[1, 0, 0, 0]]) + counter.words
    return _scrambled(counters, key.words), shape


def _shaped(values: Any, shape: Any) -> Any:
    import tensorflow as tf

    count = tf.reduce_prod(tf.cast(shape, tf.int32))
    return tf.reshape(tf.reshape(values, [-1])[:count], shape)


def _fraction(words: Any) -> Any:
    """The lowest 23 bits as a number from 0 to below 1."""
    import tensorflow as tf

    return tf.cast(tf.math.floormod(words, 1 << 23), tf.float32) * (1.0 / (1 << 23))


def _is_float32(step: Step) -> bool:
    return step.op.outputs[0].dtype.name == "float32"


def _uniform(step: Step) -> Sequence[Any] | None:
    found = _words(step) if _is_float32(step) else None
    return None if found is None else [_shaped(_fraction(found[0]), found[1])]


def _normal(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    found = _words(step) if _is_float32(step) else None
    if found is None:
        return None
    fractions = tf.reshape(_fraction(found[0]), [-1, 2, 2])
    # Box and Muller: a length and an angle make two normal numbers.
    length = tf.sqrt(-2.0 * tf.math.log(tf.maximum(fractions[:, :, 0], _LEAST)))
    angle = 2.0 * math.pi * fractions[:, :, 1]
    return [_shaped(tf.stack([tf.sin(angle) * length, tf.cos(angle) * length], -1), found[1])]


def _whole(step: Step) -> Sequence[Any] | None:
    import tensorflow as tf

    found = _words(step) if step.op.outputs[0].dtype == tf.int32 else None
    if found is None:
        return None
    low, high = (tf.cast(value, tf.int64) for value in step.inputs[4:6])
    unsigned = tf.math.floormod(tf.cast(found[0], tf.int64), 1 << 32)
    return [_shaped(tf.cast(low + tf.math.floormod(unsigned, high - low), tf.int32), found[1])]


def _algorithm(step: Step) -> Sequence[Any]:
    import tensorflow as tf

    return [tf.constant(1)]  # RNG_ALG_PHILOX, which is what a CPU chooses


TABLE: dict[str, Replacement] = {
    "StatelessRandomGetKeyCounter": _keys,
    "StatelessRandomGetAlg": _algorithm,
    "StatelessRandomUniformV2": _uniform,
    "StatelessRandomNormalV2": _normal,
    "StatelessRandomUniformIntV2": _whole,
}
REWRITE = replacing("philox", ("tflite", "onnx"), TABLE, "the Philox generator in whole numbers")
