"""The page of a graph: every op is in it, and a browser draws it offline, with 3 ops and with 3000."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from tests.measure.drawing import BROWSER, CHROMIUM, FLAGS, draw
from toolkit.insight.tracing.picture import drawing, page


def deep(layers: int) -> Any:
    weights = [tf.Variable(tf.ones([4, 4]), name=f"w{at}") for at in range(layers)]

    def model(x: Any) -> dict[str, Any]:
        for at, weight in enumerate(weights):
            with tf.name_scope(f"layer_{at}"), tf.name_scope("dense"):
                x = tf.nn.relu(tf.matmul(x, weight) + 1.0)
        return {"y": x}

    function = tf.function(model).get_concrete_function(tf.TensorSpec([None, 4], name="x"))
    function.kept = weights  # a graph does not keep its variables alive
    return function


def leaves(scope: dict[str, Any]) -> list[dict[str, Any]]:
    own = [scope] if "t" in scope else []
    return own + [leaf for part in scope.get("c", ()) for leaf in leaves(part)]


def test_every_op_is_in_the_tree_once_and_sums_add_up() -> None:
    function = deep(3)
    found = drawing(function, {"layer_1/dense/MatMul": 2e-6, "layer_1/dense/fused_by_grappler": 3e-6})
    ops = leaves(found["root"])
    assert sorted(leaf["i"] for leaf in ops) == list(range(len(function.graph.as_graph_def().node)))
    assert found["root"]["o"] == len(ops)
    layers = {scope["n"]: scope for scope in found["root"]["c"]}
    assert layers["layer_1"]["u"] == 5.0
    assert sum(leaf["s"] for leaf in ops if leaf["t"] == "Placeholder") == 3 * 64  # the weights, by their captures
    matmul = next(leaf for leaf in ops if leaf["n"] == "MatMul")
    assert (matmul["t"], matmul["h"]) == ("MatMul", "[?, 4]")


def test_edges_go_from_maker_to_taker() -> None:
    found = drawing(deep(1))
    names = {leaf["i"]: leaf["n"] for leaf in leaves(found["root"])}
    assert ("MatMul", "add") in {(names[a], names[b]) for a, b in found["edges"]}


def test_bodies_of_functions_are_below_their_name() -> None:
    def looping(x: Any) -> dict[str, Any]:
        return {"y": tf.while_loop(lambda v: tf.reduce_sum(v) < 9.0, lambda v: [tf.exp(v)], [x])[0]}

    function = tf.function(looping).get_concrete_function(tf.TensorSpec([2], name="x"))
    assert "Exp" in {leaf["t"] for leaf in leaves(drawing(function)["root"])}


def test_no_text_of_a_model_ends_the_script() -> None:
    text = page("</script><b>", {"serving_default": drawing(deep(1))})
    assert text.count("</script>") == 1
    assert "<title>&lt;/script&gt;&lt;b&gt;: the graph</title>" in text


@BROWSER
@pytest.mark.parametrize(("layers", "face"), [(1, "light"), (600, "dark")])
def test_a_browser_draws_it_offline(tmp_path: Path, layers: int, face: str) -> None:
    graph = drawing(deep(layers))
    assert len(leaves(graph["root"])) >= (3 if layers == 1 else 3000)
    draw(page("deep", {"serving_default": graph}), tmp_path, face)


@BROWSER
def test_three_thousand_ops_are_folded_into_layers_with_lines(tmp_path: Path) -> None:
    assert CHROMIUM is not None
    file = tmp_path / "graph.html"
    file.write_text(page("deep", {"serving_default": drawing(deep(600))}), encoding="utf-8")
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert 600 <= len(re.findall(r'class="box', done.stdout)) <= 700
    assert "<path" in done.stdout


def test_the_data_is_json() -> None:
    text = page("deep", {"serving_default": drawing(deep(1))})
    found = re.search(r"const data = (.*);\n", text)
    assert found is not None
    assert json.loads(found[1])["model"] == "deep"
