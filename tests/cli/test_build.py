"""What `tfx-export build`, `verify` and `models` show, and that programs get the same facts."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from toolkit.building.pipeline import STEPS, STEPS_A_FORMAT
from toolkit.building.several import BuildRequest, Step, build_all
from toolkit.core.artifact import MANIFEST, Manifest, read_manifest

Write = Callable[[str, str], Path]
Cli = Callable[..., Any]
NET = """
import tensorflow as tf
from toolkit import ModelSpec, TensorSpec

def net(x):
    return {"label": tf.nn.softmax(x), "strange": tf.math.igamma(x * x, x * x)}

def evaluate(predict):
    import numpy as np
    rows = np.eye(3, dtype=np.float32)
    return {"hits": float((predict({"x": rows})["label"].argmax(-1) == np.arange(3)).mean())}

MODEL = ModelSpec("net", lambda: net, {"x": TensorSpec("float32", (None, 3))}, evaluate=evaluate, description="three")
"""


def test_a_table_says_what_became_of_each_artifact(write: Write, cli: Cli, project: Path) -> None:
    write("models/net.py", NET)
    said = cli("build", "net", "-q")
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0].startswith("net: 1 trace, ")
    assert lines[0].endswith(" s, eager hits 1.0000 -> exported/net/1")
    assert lines[1].split() == ["artifact", "size", "seconds", "max", "|Δ|", "argmax", "hits", "verdict"]
    assert {line.split()[0]: line.split()[-1] for line in lines[2:5]} == {
        "saved_model": "pass",
        "onnx": "skipped",
        "tflite": "skipped",
    }
    assert lines[2].split()[-3:] == ["100.0%", "1.0000", "pass"]
    assert max(map(len, lines[:5])) <= 80
    assert lines[5].startswith("onnx skipped: ONNX has no Igamma (layer ")
    assert lines[6].startswith("tflite skipped: TFLite has no Igamma (layer ")
    assert "serve the SavedModel" in lines[5]


def test_programs_get_the_manifests_and_where_the_bundles_are(write: Write, cli: Cli, project: Path) -> None:
    write("models/net.py", NET)
    said = cli("build", "net", "--json", "-q")
    document = said.document
    assert (said.err, said.out.count("\n")) == ("", 1)
    assert {key: document[key] for key in ("schema", "command", "status", "exit_code", "error")} == {
        "schema": 1,
        "command": "build",
        "status": "ok",
        "exit_code": 0,
        "error": None,
    }
    (found,) = document["result"]
    assert found.pop("bundle") == str(project / "exported" / "net" / "1")
    assert Manifest.from_json(found).to_json() == read_manifest(project / "exported" / "net" / "1").to_json()
    assert cli("build", "net", "--json").document["result"][0]["version"] == 2


def test_out_is_where_the_bundle_goes(write: Write, cli: Cli, project: Path) -> None:
    write("models/net.py", NET)
    said = cli("build", "net", "--formats", "saved_model", "--formats", "onnx", "--out", "here/there")
    assert " -> here/there\n" in said.out
    assert [artifact.name for artifact in read_manifest(project / "here" / "there").artifacts] == [
        "saved_model",
        "onnx",
    ]
    assert not (project / "exported").exists()


def test_an_allowed_difference_is_written_down(write: Write, cli: Cli, project: Path) -> None:
    write("models/net.py", NET.replace("softmax(x)", "softmax(x) + (0.01 if tf.executing_eagerly() else 0.0)"))
    refused = cli("build", "net", "--formats", "saved_model", "-q")
    assert refused.code == 3
    assert refused.out.splitlines()[0].endswith("-> not published")
    assert refused.err.startswith("error: net as saved_model, signature 'serving_default' in ")
    assert "hint: mend the model or the export; --allow-diff OUTPUT=VALUE" in refused.err
    assert not (project / "exported").exists()
    said = cli("build", "net", "--formats", "saved_model", "--allow-diff", "label=0.5", "--reason", "known since May")
    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[2].endswith("allowed")
    assert lines[3] == "saved_model allowed: 'label' up to 0.5: known since May"
    document = cli("build", "net", "--json", "--formats", "saved_model", "--keep-going").document
    assert (document["exit_code"], document["result"][0]["bundle"]) == (3, None)


def test_steps_count_up_to_their_end(write: Write, child: Any, cli: Cli) -> None:
    write("models/net.py", NET)
    write("models/other.py", NET.replace('"net"', '"other"'))
    seen: list[Step] = []
    build_all(BuildRequest(formats=("saved_model", "onnx")), seen.append)
    total = 2 * (STEPS + 2 * STEPS_A_FORMAT)
    assert {step.of for step in seen} == {total}
    assert [step.at for step in seen if step.model == "other"] == list(range(total // 2, total))


def test_verify_shows_the_same_table(write: Write, cli: Cli, project: Path) -> None:
    write("models/net.py", NET)
    built = cli("build", "net", "-q").out
    shutil.rmtree(project / "models")
    said = cli("verify", "exported/net", "-q")
    assert (said.code, said.err) == (0, "")
    assert said.out == built
    document = cli("verify", "exported/net/1", "--json").document
    assert (document["result"]["model"], document["status"]) == ("net", "ok")


def test_verify_names_the_file_that_was_changed(write: Write, cli: Cli, project: Path) -> None:
    write("models/net.py", NET)
    cli("build", "net", "-q", "--formats", "saved_model")
    graph = project / "exported/net/1/saved_model/saved_model.pb"
    graph.write_bytes(graph.read_bytes() + b"\0")
    said = cli("verify", "exported/net")
    assert said.code == 3
    assert "exported/net/1: saved_model/saved_model.pb was changed" in said.err
    assert cli("verify", "exported/net", "--json").document["error"]["type"] == "ParityError"


def test_models_lists_what_can_be_built(write: Write, cli: Cli, project: Path) -> None:
    write("models/net.py", NET)
    write("models/broken.py", "1 / 0")
    write("models/_data.py", "1 / 0")
    assert cli("models").out.splitlines()[2].split() == ["net", "-", "three"]
    cli("build", "net", "-q", "--formats", "saved_model")
    said = cli("models")
    lines = [line.split(maxsplit=2) for line in said.out.splitlines()]
    assert lines[1][:2] == ["broken", "-"]
    assert "does not import: ZeroDivisionError" in lines[1][2]
    assert lines[2] == ["net", "exported/net/1", "three"]
    assert cli("models", "--json").document["result"][1] == {
        "name": "net",
        "bundle": str(project / "exported" / "net" / "1"),
        "description": "three",
    }
    assert (project / "exported/net/1" / MANIFEST).exists()


def test_models_of_an_empty_project_is_an_empty_table(cli: Cli) -> None:
    assert cli("models").out == "model  newest bundle  description\n"


def test_what_a_model_prints_is_not_on_stdout(write: Write, cli: Cli) -> None:
    write("models/net.py", NET.replace("def net(x):", "def net(x):\n    print('tracing now')"))
    said = cli("build", "net", "--formats", "saved_model", "--json")
    assert said.document["status"] == "ok"
    assert "tracing now" in said.err
    assert any("print(...) runs at trace time only" in note for note in said.document["result"][0]["notes"])


LAYERS = """
import keras

class Triple(keras.layers.Layer):
    def call(self, x):
        return 3 * x
"""


def test_a_keras_file_is_built_with_its_classes_and_with_its_lambdas(write: Write, cli: Cli, project: Path) -> None:
    import keras

    class Triple(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return 3 * x

    write("own_layers.py", LAYERS)
    x = keras.Input((2,), name="x")
    keras.Model(x, Triple()(x)).save(project / "own.keras")
    keras.Model(x, keras.layers.Lambda(lambda x: x + 1)(x)).save(project / "plus.keras")
    for file, words in (("own.keras", ["--import", "own_layers"]), ("plus.keras", ["--unsafe-lambda"])):
        assert cli("build", file, "-q", "--formats", "saved_model").code == 2
        assert cli("build", file, "-q", "--formats", "saved_model", *words).code == 0
    keras.saving.get_custom_objects().clear()
