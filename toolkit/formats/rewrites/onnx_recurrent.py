"""Turns the call that stands for a fused recurrence into ONNX's LSTM, GRU or RNN."""

import json
from typing import Any

import numpy as np

# The TensorFlow op that carries the recurrence through the conversion; its token says what it stands for.
CARRIER = "PyFuncStateless"


def recurrent(context: Any, node: Any, name: str, _args: Any) -> None:
    """X [steps, batch, features], W, R, B, the rows' lengths and initial states where there are any."""
    form = json.loads(node.get_attr_value("token"))
    given, results = list(node.input), list(node.output)
    inputs = given[:4]
    inputs.append(given.pop(4) if form["lengths"] else "")
    inputs += given[4:]
    attributes: dict[str, Any] = {"hidden_size": form["units"]}
    if form["kind"] == "GRU":
        attributes["linear_before_reset"] = int(form["reset_after"])
    dtype = context.get_dtype(node.input[0])
    context.remove_node(name)
    made = context.make_node(
        form["kind"],
        inputs,
        attr=attributes,
        output_count=len(results),
        name=f"{name}_op",
        dtypes=[dtype] * len(results),
    )
    # One direction: [steps, 1, batch, units] and [1, batch, units].
    for at, (source, result) in enumerate(zip(made.output, results, strict=True)):
        axis = context.make_const(f"{name}_direction_{at}", np.array([1 if at == 0 else 0], np.int64))
        context.make_node("Squeeze", [source, axis.output[0]], outputs=[result], name=f"{name}_{at}", dtypes=[dtype])
