"""`build --opset` and `--fixed-batch` reach the format that heeds them, and are checked before anything is built."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Write = Callable[[str, str], Path]

NET = """
import tensorflow as tf
from toolkit import ModelSpec, TensorSpec

def net(x, scale):
    return {"y": tf.nn.softmax(x * 2.0) * scale}

MODEL = ModelSpec("net", lambda: net, {"x": TensorSpec("float32", (None, 2)), "scale": TensorSpec("float32", ())})
"""


def test_a_later_opset_is_in_the_file_and_in_the_manifest(write: Write, cli: Any, project: Path) -> None:
    import onnx

    write("models/net.py", NET)
    said = cli("build", "net", "--opset", 20, "--formats", "onnx", "--json")
    artifact = said.document["result"][0]["artifacts"][0]
    assert artifact["parity"]["status"] == "pass"
    assert "ONNX opset 20, IR version 9" in artifact["notes"]
    model = onnx.load(project / "exported/net/1" / artifact["paths"]["serving_default"])
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [20]


def test_a_fixed_batch_is_proven_at_that_size_and_refuses_others(write: Write, cli: Any, project: Path) -> None:
    import toolkit

    write("models/net.py", NET)
    said = cli("build", "net", "--fixed-batch", 3, "--formats", "tflite,onnx", "--json")
    tflite, plain = sorted(said.document["result"][0]["artifacts"], key=lambda one: one["name"] != "tflite")
    assert (tflite["parity"]["status"], tflite["fixed_batch"]) == ("pass", 3)
    assert [check["batch_sizes"] for check in tflite["parity"]["checks"]] == [[3]]
    assert (plain["parity"]["status"], plain["fixed_batch"]) == ("pass", None)
    assert cli("verify", "exported/net").code == 0
    with toolkit.open_artifact("exported/net/1", "tflite") as runner:
        feed = {"x": np.zeros((3, 2), np.float32), "scale": np.array(1, np.float32)}
        assert runner.run(feed)["y"].tolist() == [[0.5, 0.5]] * 3
        assert runner.signature.inputs["x"].shape == (3, 2)


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["--opset", "17"], "ONNX opset 17 cannot be written", "--opset takes 18 to 23"),
        (["--opset", "99"], "ONNX opset 99 cannot be written", "--opset takes 18 to 23"),
        (["--opset", "x"], "'x' is not a valid integer", ""),
        (["--fixed-batch", "0"], "a batch of 0 rows cannot be", "from 1"),
        (["--fixed-batch", "2", "--formats", "onnx"], "--fixed-batch is nothing to onnx", "it is for tflite"),
        (["--opset", "20", "--formats", "tflite"], "--opset is nothing to tflite", "it is for onnx"),
        (["--int8-io", "--formats", "tflite"], "--int8-io is nothing to tflite", "it is for tflite-int8"),
    ],
)
def test_a_setting_that_cannot_be_heeded_is_said_at_once(
    write: Write, cli: Any, project: Path, words: list[str], message: str, hint: str
) -> None:
    write("models/net.py", "raise SystemExit('must not be read')")
    said = cli("build", "net", *words)
    assert said.code == 2
    assert message in said.err
    assert hint in said.err
    assert not (project / "exported").exists()


def test_settings_come_from_the_file_too(write: Write, cli: Any, project: Path) -> None:
    write("models/net.py", NET)
    write("tfx-export.toml", "[build]\nopset = 19\nformats = 'onnx'\n")
    artifact = cli("build", "net", "--json").document["result"][0]["artifacts"][0]
    assert "ONNX opset 19, IR version 9" in artifact["notes"]


def test_large_weights_stand_beside_the_file(
    write: Write, cli: Any, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toolkit.building.load import build_model
    from toolkit.building.trace import trace_model
    from toolkit.core.model import ModelSpec
    from toolkit.core.plugins import RUNTIMES, Opening
    from toolkit.core.tensors import TensorSpec
    from toolkit.formats import onnx
    from toolkit.formats.rewrites import onnx_file

    monkeypatch.setattr(onnx_file, "EXTERNAL_BYTES", 0)
    kernel = np.random.default_rng(1).normal(size=(40, 30)).astype(np.float32)
    spec = ModelSpec("large", lambda: lambda x: {"y": x @ kernel}, {"x": TensorSpec("float32", (None, 40))})
    traced = trace_model(spec, build_model(spec))
    onnx.export(traced, project)
    assert (project / "serving_default.onnx.data").stat().st_size >= kernel.nbytes
    assert (project / "serving_default.onnx").stat().st_size < kernel.nbytes
    opening = Opening(project / "serving_default.onnx", "serving_default", traced.signatures["serving_default"])
    runtime = RUNTIMES.load("onnx")
    assert list(runtime.faults(opening)) == []
    feed = traced.samples["serving_default"](2, 0)
    with runtime.open(opening) as runner:
        np.testing.assert_allclose(
            runner.run(feed)["y"], traced.eager["serving_default"](feed)["y"], rtol=1e-4, atol=1e-5
        )


WORDS = """
import tensorflow as tf
from toolkit import ModelSpec, TensorSpec

def words(text):
    return {"length": tf.strings.length(tf.strings.join([text, text], "-"))}

MODEL = ModelSpec("words", lambda: words, {"text": TensorSpec("string", (None,))})
"""


def test_a_file_with_ops_of_tensorflow_is_kept_but_never_called_proven(write: Write, cli: Any, project: Path) -> None:
    write("models/words.py", WORDS)
    said = cli("build", "words", "--allow-flex", "--formats", "saved_model,tflite", "-q")
    assert said.code == 0
    assert "tflite skipped: TFLite has no StringJoin (layer StringJoin), StringLength (layer StringLength)" in said.out
    assert "Select TF" in said.out
    assert "a plain runtime cannot open" in said.out
    assert (project / "exported/words/1/tflite/serving_default.tflite").stat().st_size > 500
    assert cli("verify", "exported/words").code == 0
    refused = cli("predict", "exported/words/1", "--artifact", "tflite")
    assert refused.code == 2
    assert "was not made" in refused.err


def test_without_leave_there_is_no_such_file(write: Write, cli: Any, project: Path) -> None:
    write("models/words.py", WORDS)
    said = cli("build", "words", "--formats", "saved_model,tflite", "-q")
    assert "tflite skipped" in said.out
    assert "Select TF" not in said.out
    assert not (project / "exported/words/1/tflite").exists()
