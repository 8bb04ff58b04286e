"""Loops of fixed and growing state, conditions and scans; random numbers with and without a state."""

from typing import Any

import tensorflow as tf

from tests.zoo.specimen import Specimen, floats
from toolkit import ModelSpec, TensorSpec


def while_fixed(x: Any) -> Any:
    _, settled = tf.while_loop(lambda at, _: at < 5, lambda at, y: (at + 1, tf.tanh(y) * 1.5 + x), (0, x))
    return {"settled": settled}


def while_growing(x: Any) -> Any:
    def longer(at: Any, rows: Any) -> Any:
        return at + 1, tf.concat([rows, rows[:, -1:] * 0.5 + 1.0], axis=1)

    shapes = (tf.TensorShape(()), tf.TensorShape((None, None)))
    _, grown = tf.while_loop(lambda at, _: at < 4, longer, (0, x), shape_invariants=shapes)
    return {"grown": grown}


def conditional(x: Any, flag: Any) -> Any:
    doubled = tf.cond(flag, lambda: x * 2.0, lambda: tf.nn.relu(x) - 1.0)
    return {"chosen": tf.cond(tf.reduce_sum(x) > 0.0, lambda: doubled + 1.0, lambda: doubled)}


def scanned(x: Any) -> Any:
    running = tf.scan(lambda state, step: 0.5 * state + step, tf.transpose(x, (1, 0, 2)))
    return {"running": tf.transpose(running, (1, 0, 2))}


def mapped(x: Any) -> Any:
    return {"sorted": tf.map_fn(lambda row: tf.sort(row) / (1.0 + tf.reduce_max(tf.abs(row))), x)}


class Newton(tf.Module):
    """A Python loop that AutoGraph makes a graph of, ended by a condition on the values."""

    def __call__(self, values: Any) -> Any:
        root = tf.ones_like(values)
        steps = 0
        while tf.reduce_max(tf.abs(root * root - tf.abs(values))) > 1e-4 and steps < 30:
            root = 0.5 * (root + tf.abs(values) / root)
            steps += 1
        return {"root": root}


def stateless_random(x: Any, seed: Any) -> Any:
    shape = tf.shape(x)
    uniform = tf.random.stateless_uniform(shape, seed)
    normal = tf.random.stateless_normal(shape, seed + 1)
    whole = tf.random.stateless_uniform((3,), seed, 0, 10, dtype=tf.int32)
    return {"noisy": x + normal, "dropped": tf.where(uniform < 0.3, 0.0, x / 0.7), "whole": whole}


def stateful_random(x: Any) -> Any:
    return {"noise": x + tf.random.normal(tf.shape(x)), "double": x * 2.0}


SEED = TensorSpec("int32", (2,))
BOOL = TensorSpec("bool", ())
ROW = floats(4)
ZOO = (
    Specimen(ModelSpec("while_fixed", lambda: while_fixed, {"x": ROW}), "tf.while, fixed state", fast=True),
    Specimen(ModelSpec("while_growing", lambda: while_growing, {"x": ROW}), "tf.while, growing state"),
    Specimen(ModelSpec("while_by_autograph", Newton, {"values": ROW}), "tf.while, fixed state"),
    Specimen(ModelSpec("cond", lambda: conditional, {"x": ROW, "flag": BOOL}), "cond"),
    Specimen(ModelSpec("scan", lambda: scanned, {"x": floats(5, 3)}), "scan"),
    Specimen(ModelSpec("map_fn", lambda: mapped, {"x": ROW}), "scan"),
    Specimen(ModelSpec("stateless_random", lambda: stateless_random, {"x": ROW, "seed": SEED}), "stateless random"),
    Specimen(ModelSpec("stateful_random", lambda: stateful_random, {"x": ROW}), "stateful random"),
)
