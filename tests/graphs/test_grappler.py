"""What each pass did is counted; one that had nothing to do shows 0."""

from typing import Any

import numpy as np
import tensorflow as tf

from toolkit.formats.rewrites.frozen import freeze
from toolkit.graphs.grappler import PASSES, Optimized, optimize


def optimized(function: Any, *specs: Any) -> Optimized:
    frozen = freeze(tf.function(function).get_concrete_function(*specs), "serving_default")
    return optimize(frozen.graph_def, list(frozen.inputs.values()), list(frozen.outputs.values()))


def changes(found: Optimized) -> dict[str, dict[str, int]]:
    return {done.name: dict(done.changes) for done in found.passes if done.changes}


def test_constants_are_folded_and_twins_are_merged() -> None:
    def twice(x: Any) -> dict[str, Any]:
        number = tf.constant([1.0, 2.0]) * tf.constant([3.0, 4.0])
        return {"y": tf.exp(x) * number + tf.exp(x)}

    found = optimized(twice, tf.TensorSpec([None, 2], name="x"))
    assert changes(found)["constfold"]["Mul"] == -1
    assert changes(found)["common_subgraph_elimination"]["Exp"] == -1
    assert found.ops[1] < found.ops[0]


def test_a_dense_layer_is_fused() -> None:
    weights = tf.constant(np.ones((4, 3), np.float32))

    def dense(x: Any) -> dict[str, Any]:
        return {"y": tf.nn.relu(tf.nn.bias_add(tf.matmul(x, weights), tf.ones(3)))}

    found = changes(optimized(dense, tf.TensorSpec([None, 4], name="x")))
    assert found["remap"] == {"BiasAdd": -1, "MatMul": -1, "Relu": -1, "_FusedMatMul": 1}


def test_a_pass_with_nothing_to_do_shows_nothing() -> None:
    found = optimized(lambda x: {"y": tf.exp(x)}, tf.TensorSpec([None], name="x"))
    assert [done.name for done in found.passes] == list(PASSES)
    assert {done.name for done in found.passes if done.ops_after != done.ops_before} <= {"pruning", "dependency"}
    assert {"remap", "constfold", "arithmetic", "loop"}.isdisjoint(changes(found))


def test_every_pass_goes_on_from_the_one_before() -> None:
    found = optimized(lambda x: {"y": x * 2.0 + 0.0}, tf.TensorSpec([None], name="x"))
    for before, after in zip(found.passes, found.passes[1:], strict=False):
        assert before.ops_after == after.ops_before
    assert found.to_json()["ops"] == list(found.ops)
