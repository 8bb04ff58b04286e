"""Variables that a loop or a branch picks from, which TensorFlow's freezing leaves behind."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.formats.rewrites.one_op import NAME, answers, differences
from toolkit import ModelSpec, TensorSpec
from toolkit.building.load import build_model
from toolkit.building.trace import trace_model
from toolkit.formats.rewrites.frozen import freeze
from toolkit.graphs.census import ops_by_type


class Walk(tf.Module):
    """Steps from row to row of a table, in a loop whose number of steps only running tells, and in a branch."""

    def __init__(self) -> None:
        super().__init__()
        self.table = tf.Variable(np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32))

    def __call__(self, x: Any) -> Any:
        at = tf.cast(tf.abs(x[:, 0]) * 3.0, tf.int32) % 6
        total = tf.zeros_like(x)
        while tf.reduce_max(tf.abs(total)) < 3.0:
            row = tf.gather(self.table, at)
            total += tf.abs(row) + tf.gather_nd(self.table, tf.stack([at, at % 4], 1))[:, None]
            at = (at + 1) % 6
        chosen = tf.cond(tf.reduce_sum(x) > 0.0, lambda: tf.gather(self.table, at), lambda: total * 2.0)
        return {"total": total, "chosen": chosen}


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_what_picks_from_a_variable_agrees_with_eager(kind: str, tmp_path: Path) -> None:
    spec = ModelSpec("walk", Walk, {"x": TensorSpec("float32", (None, 4))})
    traced = trace_model(spec, build_model(spec))
    assert not [op for op in ops_by_type(freeze(traced.functions[NAME], NAME).graph_def) if "Resource" in op]
    _, pairs = answers(traced, kind, tmp_path)
    assert differences(pairs, 1e-5) == []
