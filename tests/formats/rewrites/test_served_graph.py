"""What cleaning a SavedModel may change, and what it must leave for the converters of others."""

from collections.abc import Callable
from pathlib import Path

from toolkit.wire.protos import SavedModel


def test_variables_keep_the_names_by_which_converters_find_them(shipped: Callable[[str], Path]) -> None:
    content = (shipped("mlp") / "saved_model" / "saved_model.pb").read_bytes()
    graph = SavedModel.FromString(content).meta_graphs[0].graph_def
    names = {node.attr["shared_name"].s.decode() for node in graph.node if node.op == "VarHandleOp"}
    assert {"hidden_1/kernel", "probabilities/bias"} <= names
