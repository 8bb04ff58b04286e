"""Each finding has a model that shows it and says where; the same model without it is clean."""

from pathlib import Path

import numpy as np
import pytest

from tests.insight import artifacts
from tests.insight.makers import (
    Make,
    asset,
    beside,
    checkpoint,
    constant,
    custom,
    described,
    external,
    external_values,
    graph_with,
    keras,
    layer,
    nested_graph,
    onnx_node,
    onnx_text,
    onnx_weights,
    recorded,
    settings,
    table_from,
)
from toolkit.insight.inspecting import read

_OWN = {"module": None, "registered_name": "mine>Own", "class_name": "Own"}
_LONG = np.arange(300_000, dtype="float32").tobytes()
_DEVICE = b"/job:localhost/replica:0/task:0/device:CPU:0"

# What shows it, the kind of the finding, what it says; and what is the same but clean.
CASES: dict[str, tuple[Make, str, str, Make]] = {
    "reads files": (nested_graph("ReadFile"), "unsafe", "ReadFile reads files (outer/inner/n)", nested_graph("Relu")),
    "writes files": (
        nested_graph("WriteFile"),
        "unsafe",
        "WriteFile writes files (outer/inner/n)",
        nested_graph("Add"),
    ),
    "runs Python": (
        nested_graph("EagerPyFunc"),
        "unsafe",
        "EagerPyFunc runs Python (outer/inner/n)",
        nested_graph("If"),
    ),
    "prints": (nested_graph("PrintV2"), "unsafe", "PrintV2 prints (outer/inner/n)", nested_graph("StringFormat")),
    "network": (nested_graph("RpcCall"), "unsafe", "RpcCall opens the network (outer/inner/n)", nested_graph("Case")),
    "unknown": (
        nested_graph("MineOwn"),
        "unsafe",
        "MineOwn is not on the list of ops known to be harmless (outer/inner/n)",
        nested_graph("inner"),
    ),
    "aborts": (nested_graph("Abort"), "unsafe", "Abort is not on the list", nested_graph("Assert")),
    "table from a file": (
        table_from(b"/etc/words"),
        "unsafe",
        "InitializeTableFromTextFileV2 reads a file that is none of the assets, named by ",
        table_from(b"words.txt", asset=True),
    ),
    "asset outside": (asset("../../outside.txt"), "unsafe", "an asset lies outside of the folder", asset("words.txt")),
    "path in an attribute": (
        nested_graph("HashTableV2", shared_name=b"/srv/me/vocab.txt"),
        "path",
        "names /srv/me/vocab.txt (inner/n)",
        nested_graph("HashTableV2", shared_name=b"table_1"),
    ),
    "path in a constant": (
        nested_graph("Const", value=artifacts.text(b"gs://bucket/model/x")),
        "path",
        "names gs://bucket/model/x (inner/n)",
        nested_graph("Const", value=artifacts.text(b"and/or")),
    ),
    "path of a device": (
        nested_graph("Const", value=artifacts.text(b"C:\\Users\\me\\x.txt")),
        "path",
        "names C:\\Users\\me\\x.txt (inner/n)",
        nested_graph("Const", value=artifacts.text(_DEVICE)),
    ),
    "optimizer's variables": (
        checkpoint("w", "optimizer/_variables/1/.ATTRIBUTES/VARIABLE_VALUE"),
        "leftover",
        "1 variables of training, 100,000 bytes",
        checkpoint("w", "my_optimizer_like/w"),
    ),
    "slots": (checkpoint("w/.OPTIMIZER_SLOT/optimizer/m"), "leftover", "1 variables of training", checkpoint("w/m")),
    "training ops": (
        nested_graph("ResourceApplyAdam"),
        "leftover",
        "ops that change weights as training does: ResourceApplyAdam",
        nested_graph("AssignVariableOp"),
    ),
    "training graph": (
        graph_with(lambda graph: graph.meta_info_def.tags.__setitem__(0, "train")),
        "leftover",
        "a graph that is not for serving, with the tags train",
        graph_with(lambda graph: graph.meta_info_def.tags.append("gpu")),
    ),
    "debug info": (beside("debug/saved_model_debug_info.pb"), "leftover", "that no server reads", beside("x/y")),
    "doubled variables": (
        checkpoint("a", "b", crcs={"a": 1, "b": 1}),
        "doubled",
        "2 times the same values of float32[25000], 100,000 bytes extra (a, b)",
        checkpoint("a", "b", crcs={"a": 1, "b": 2}),
    ),
    "doubled constants": (constant(_LONG[:80_000], _LONG[:80_000]), "doubled", "(c0, c1)", constant(_LONG[:80_000])),
    "large constant": (constant(_LONG), "large", "a constant of 1,200,000 bytes", constant(_LONG[:80_000])),
    "Lambda": (
        recorded("lambda.keras"),
        "unsafe",
        "Lambda runs Python: its code is in the file (outer/inner/py)",
        recorded("small.keras"),
    ),
    "custom class": (layer(**_OWN), "unsafe", "mine>Own is not Keras' own", layer(class_name="Dropout")),
    "system call": (
        layer(module="os", class_name="system"),
        "unsafe",
        "system of os is not Keras' own",
        layer(module="keras.layers"),
    ),
    "download": (
        layer(module="keras.utils", class_name="get_file"),
        "unsafe",
        "get_file of keras.utils is not Keras' own",
        layer(module="keras.src.ops.numpy", class_name="Add"),
    ),
    "switch of safety": (
        layer(module="keras.config", class_name="enable_unsafe_deserialization"),
        "unsafe",
        "enable_unsafe_deserialization of keras.config is not",
        layer(module="keras.src.models.functional", class_name="Functional"),
    ),
    "own function": (
        settings(
            activation={"module": "builtins", "class_name": "function", "config": "mine", "registered_name": "mine"}
        ),
        "unsafe",
        "mine of builtins is not Keras' own",
        settings(activation="gelu"),
    ),
    "vocabulary file": (
        settings(vocabulary="/etc/passwd"),
        "unsafe",
        "its vocabulary is /etc/passwd (small/hidden)",
        settings(vocabulary=["a", "b"]),
    ),
    "path in a configuration": (settings(note="/data/mine/x"), "path", "names /data/mine/x", settings(note="a/b")),
    "optimizer's state": (recorded("trained.keras"), "leftover", "the optimizer's state", recorded("small.keras")),
    "name out of the archive": (
        keras(lambda config: None, **{"../../x": b""}),
        "unsafe",
        "a name leads out of the file: ../../x",
        keras(lambda config: None, **{"assets/x": b""}),
    ),
    "unknown ONNX op": (onnx_node("Erfcx"), "unsafe", "Erfcx is no op of ONNX (graph/n)", onnx_node("Erf")),
    "foreign ONNX op": (
        onnx_node("Own", "mine", inside=True),
        "unsafe",
        "Own is of mine, whose library would run (graph/choice/then_branch/n)",
        onnx_node("Erf", inside=True),
    ),
    "Python in ONNX": (
        onnx_node("PythonOp", "com.microsoft"),
        "unsafe",
        "PythonOp runs Python",
        onnx_node("Gelu", "com.microsoft"),
    ),
    "external data above": (
        external("../secret.bin"),
        "unsafe",
        "outside of its folder: ../secret.bin",
        external("w.bin"),
    ),
    "external data elsewhere": (
        external("/etc/passwd"),
        "unsafe",
        "outside of its folder: /etc/passwd",
        external("w.bin"),
    ),
    "external data by a link": (external("link.bin"), "unsafe", "outside of its folder: link.bin", external("w.bin")),
    "doubled initializers": (onnx_weights("a", "b"), "doubled", "120,000 bytes extra (a, b)", onnx_weights("a")),
    "source file in ONNX": (
        onnx_text(doc_string="File /srv/train/net.py, line 3"),
        "path",
        "names /srv/train/net.py (doc_string)",
        onnx_text(doc_string="a and/or b; see https://host/home/page"),
    ),
    "custom operator": (custom(b"Mine"), "unsafe", "Mine is an operator of somebody's own", custom(b"FlexAddV2")),
    "file in Flex": (
        custom(b"FlexReadFile"),
        "unsafe",
        "FlexReadFile reads files (subgraph 0/operator 0)",
        custom(b"FlexRelu"),
    ),
    "path in TFLite": (described(b"from /srv/me/x.h5"), "path", "names /srv/me/x.h5", described(b"MLIR Converted.")),
    "external values": (
        external_values(b"../x.bin"),
        "unsafe",
        "outside of its folder: ../x.bin",
        external_values(b"x.bin"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_found_with_its_place(tmp_path: Path, case: str) -> None:
    make, kind, words, _ = CASES[case]
    found = read(make(tmp_path)).findings
    assert [str(finding) for finding in found if finding.kind == kind and words in str(finding)] != [], found


@pytest.mark.parametrize("case", CASES)
def test_the_like_of_it_is_clean(tmp_path: Path, case: str) -> None:
    _, kind, _, clean = CASES[case]
    assert [str(finding) for finding in read(clean(tmp_path)).findings if finding.kind == kind] == []


@pytest.mark.parametrize(
    "path", sorted(artifacts.RECORDED.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name}"
)
def test_recorded_models_do_nothing_unsafe(path: Path) -> None:
    lite = path / "model.tflite"
    found = read(lite if lite.is_file() else path).findings
    assert [str(finding) for finding in found if finding.kind == "unsafe"] == []


def test_a_model_that_keras_saved_twice_is_seen() -> None:
    found = read(artifacts.RECORDED / "mlp" / "1").findings
    assert [finding.kind for finding in found] == ["doubled"] * 4
