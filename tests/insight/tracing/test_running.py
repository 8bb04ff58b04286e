"""Runs in Sessions: where ops went, their times, and effects with their bounds."""

from typing import Any

import numpy as np
import tensorflow as tf

from toolkit.formats.rewrites.frozen import freeze
from toolkit.insight.tracing.running import Effect, Runnable, of_frozen, pass_effects, placed, thread_effect
from toolkit.measure.statistics import Interval

FEED = {"x": np.ones((1, 4), np.float32)}


def frozen() -> Runnable:
    weights = tf.constant(np.ones((4, 3), np.float32))

    def dense(x: Any) -> dict[str, Any]:
        return {"y": tf.exp(tf.matmul(x, weights)) + tf.sin(tf.matmul(x, weights * 2.0))}

    function = tf.function(dense).get_concrete_function(tf.TensorSpec([None, 4], name="x"))
    return of_frozen(freeze(function, "serving_default"))


def test_every_op_has_a_place_and_a_time() -> None:
    found = placed(frozen(), FEED)
    assert set(found.devices) == {"CPU:0"}
    assert found.places["MatMul"] == "CPU:0"
    path = found.parallelism
    assert path.seconds is not None
    assert path.critical_seconds is not None
    assert 0 < path.critical_seconds < path.seconds
    assert path.critical_ops < path.ops


def test_passes_and_threads_have_an_effect_with_bounds() -> None:
    (effect,) = pass_effects(frozen(), FEED, ["constfold"])
    threads = thread_effect(frozen(), FEED)
    for found in (effect, threads):
        assert found.ratio is not None
        assert found.ratio.low < found.ratio.value < found.ratio.high
        assert found.verdict in {"faster", "slower", "no difference"}


def test_an_effect_is_told_as_a_verdict() -> None:
    assert Effect("remap", Interval(1.5, 1.2, 1.8)).to_json() == {
        "name": "remap",
        "times_as_fast": [1.5, 1.2, 1.8],
        "verdict": "faster",
    }
    assert Effect("remap", None).to_json()["times_as_fast"] is None
