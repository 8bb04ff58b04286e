"""Python statements that AutoGraph turned into graph ops are named by file and line; others are not."""

from pathlib import Path
from typing import Any

import tensorflow as tf

from toolkit.graphs.control_flow import watched_control_flow


def doubled(x: Any) -> Any:
    while tf.reduce_sum(x) < 10.0:
        x = x * 2.0
    return x


def branchy(x: Any, n: int = 3) -> Any:
    if tf.reduce_sum(x) > 0.0:
        x = x + 1.0
    for _ in range(n):
        x = x + 1.0
    for step in tf.range(n):
        x = x + tf.cast(step, tf.float32)
    if n > 2:
        x = x - 1.0
    return doubled(x)


def straight(x: Any) -> Any:
    for _ in range(3):
        x = x + 1.0
    return x if len(x.shape) else x + 1.0


def turned(function: Any) -> list[str]:
    with watched_control_flow() as found:
        tf.function(function).get_concrete_function(tf.TensorSpec([None]))
    return [statement.replace(str(Path(__file__)), "HERE") for statement in found.statements]


def test_statements_on_tensors_are_named_by_their_line() -> None:
    first = branchy.__code__.co_firstlineno
    wanted = [
        f"HERE:{first + 1}: if on a tensor became a conditional op",
        f"HERE:{first + 5}: for over tf.range became a loop op",
        f"HERE:{doubled.__code__.co_firstlineno + 1}: while on a tensor became a loop op",
    ]
    assert turned(branchy) == wanted
    assert turned(branchy) == wanted  # converted code is kept, and told again


def test_python_values_stay_python() -> None:
    assert turned(straight) == []


def test_autograph_is_as_it_was_afterwards() -> None:
    from tensorflow.python.autograph.operators import control_flow

    before = control_flow._tf_if_stmt
    turned(branchy)
    assert control_flow._tf_if_stmt is before
