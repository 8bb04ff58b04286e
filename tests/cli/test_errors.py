"""Whatever a user can cause is one line with a hint and an exit code, for people and for programs."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toolkit.errors import StoreError

Write = Callable[[str, str], Path]
Cli = Callable[..., Any]
HEAD = "import tensorflow as tf\nfrom toolkit import ModelSpec, Signature, TensorSpec\n"
ROW = 'inputs={"x": TensorSpec("float32", (None, 3))}'


def model(*lines: str, options: str = ROW, build: str = "lambda: double") -> str:
    """A model file: twice its input, but for what is given."""
    return "\n".join(
        (HEAD, "def double(x):\n    return 2 * x", *lines, f'MODEL = ModelSpec("net", {build}, {options})\n')
    )


RAISES = "def build():\n    raise OSError('no weights here')"
EVALUATE = "def evaluate(predict):\n    return predict({'x': [[1.0, 2.0, 3.0]]})['y'].sum()"
GAMMA = "def gamma(x):\n    with tf.name_scope('rare'):\n        return tf.math.igamma(x, x)"
ERRORS: list[tuple[str, str, list[str], int, str, str]] = [
    ("net.py", model(), ["nte"], 2, "there is no model 'nte' in", "did you mean net?"),
    ("net.py", HEAD + "1 / 0\n", ["net"], 2, "net.py does not import: ZeroDivisionError: division by zero", "net.py:3"),
    ("net.py", HEAD + "def f(:\n", ["net"], 2, "net.py does not import: SyntaxError: invalid syntax", "net.py:3"),
    ("net.py", HEAD, ["net"], 2, "'net' has no MODEL", "MODEL = ModelSpec(...)"),
    (
        "net.py",
        model(RAISES, build="build"),
        ["net"],
        2,
        "building model 'net' failed: OSError: no weights here",
        "net.py:7",
    ),
    ("net.py", model(options=""), ["net"], 2, "nothing says what the inputs of model 'net' are", "inputs={"),
    (
        "net.py",
        model(options='inputs={"y": TensorSpec("float32", (None, 3))}'),
        ["net"],
        2,
        "signature 'serving_default' of 'net' cannot be traced with y: float32[*, 3]: TypeError:",
        "do the declared inputs fit the model?",
    ),
    (
        "net.py",
        model(options='inputs={"x": tf.RaggedTensorSpec((None, None)), "x_values": TensorSpec("float32")}'),
        ["net"],
        2,
        "two inputs of 'net' (serving_default) are named 'x_values'",
        "rename one",
    ),
    (
        "net.py",
        model(options=f"{ROW}, signatures={{}}"),
        ["net"],
        2,
        "model 'net' declares inputs and signatures",
        "net.py:6",
    ),
    ("net.py", model(), ["net", "--formats", "saved_model,onx"], 2, "there is no format 'onx'", "did you mean onnx?"),
    (
        "net.py",
        model(options=f"{ROW}, samples=lambda size, seed: {{'x': [[1.0]] * size}}"),
        ["net"],
        2,
        "samples of 'net' do not fit signature 'serving_default': input 'x' has shape [1, 1]",
        "the first dimension counts the rows",
    ),
    (
        "net.py",
        model(EVALUATE, options=f"{ROW}, evaluate=evaluate"),
        ["net", "--formats", "saved_model"],
        2,
        "evaluate of 'net' failed: KeyError: 'y'",
        "net.py:7",
    ),
    (
        "net.py",
        model(GAMMA, build="lambda: gamma"),
        ["net", "--formats", "onnx"],
        5,
        "nothing could be made: onnx: ONNX has no Igamma (layer",
        "--formats",
    ),
    (
        "net.py",
        model(GAMMA, build="lambda: gamma"),
        ["net", "--formats", "tflite"],
        5,
        "nothing could be made: tflite: TFLite has no Igamma (layer",
        "--formats",
    ),
    (
        "net.py",
        model(),
        ["net", "--allow-diff", "y"],
        2,
        "--allow-diff y is not OUTPUT=VALUE",
        "--allow-diff logits=0.01",
    ),
    ("net.py", model(), ["net", "--allow-diff", "=1"], 2, "--allow-diff =1 is not OUTPUT=VALUE", "logits=0.01"),
    ("net.py", model(), ["net", "--allow-diff", "y=much"], 2, "--allow-diff y=much is not OUTPUT=VALUE", "logits=0.01"),
    ("net.py", model(), ["net", "--allow-diff", "y=-1"], 2, "--allow-diff y=-1 is not OUTPUT=VALUE", "logits=0.01"),
    ("net.py", model(), ["net", "--allow-diff", "y=nan"], 2, "--allow-diff y=nan is not OUTPUT=VALUE", "logits=0.01"),
    ("net.py", model(), ["net", "--allow-diff", "output_0=1"], 2, "--allow-diff needs a reason", "--reason"),
    (
        "net.py",
        model(),
        ["net", "--allow-diff", "otput_0=1", "--reason", "x"],
        2,
        "'net' has no output 'otput_0' to allow a difference of",
        "did you mean output_0?",
    ),
    ("net.py", model(), ["net", "net", "--out", "here"], 2, "--out is one bundle's directory", "one at a time"),
    (
        "net.py",
        model(),
        ["net", "net", "--allow-diff", "y=1", "--reason", "x"],
        2,
        "--allow-diff is about one model",
        "by itself",
    ),
    ("net.py", model(), ["net", "--out", "models"], 2, "models is already there", "name another place"),
    ("net.py", model(), ["net", "--out", "."], 2, "is the current folder", "name a new folder"),
    (
        "net.py",
        model(),
        ["net", "--out", "models/net.py/below"],
        4,
        "models/net.py",
        "a file is where a folder should be",
    ),
    ("net.py", model(), ["net", "--timeout", "soon"], 2, "'soon' is no duration", "`tfx-export build --help`"),
    ("net.py", model(), ["net", "--fromats", "onnx"], 2, "Did you mean '--formats'?", "`tfx-export build --help`"),
    ("net.py", model(), ["net", "--import", "gone_layers"], 2, "there is no module 'gone_layers'", "PYTHONPATH"),
    ("net.keras", "no zip", ["models/net.keras"], 2, "net.keras is no whole .keras file", "again"),
    ("_data.py", "", [], 2, "there are no models in", "path/file.py"),
]


@pytest.mark.parametrize(("file", "text", "words", "code", "message", "hint"), ERRORS, ids=[row[4] for row in ERRORS])
def test_a_build_that_cannot_be_is_said_in_one_line(
    write: Write, cli: Cli, *, file: str, text: str, words: list[str], code: int, message: str, hint: str
) -> None:
    write(f"models/{file}", text)
    said = cli("build", "-q", *words)
    told = [line for line in said.err.splitlines() if line.startswith(("error: ", "hint: "))]
    assert said.code == code
    assert [line.partition(": ")[0] for line in told] == ["error", "hint"]
    assert message in told[0]
    assert hint in told[1]
    assert "Traceback" not in said.err + said.out
    document = cli("build", *words, "--json").document
    assert list(document) == ["schema", "command", "status", "exit_code", "result", "error"]
    assert (document["schema"], document["command"], document["status"]) == (1, "build", "error")
    assert document["exit_code"] == code
    assert message in document["error"]["message"]
    assert hint in document["error"]["hint"]
    assert not document["error"]["type"].startswith("_")


@pytest.mark.parametrize(
    ("words", "command", "message", "hint"),
    [
        (["biuld"], "biuld", "there is no command 'biuld'; did you mean build?", "`tfx-export --help`"),
        (["predict"], "predict", "Missing argument 'TARGET'", "`tfx-export predict --help`"),
        (["verify", "gone"], "verify", "gone is no bundle", "give exported/<model>/<version>"),
        (["predict", "gone"], "predict", "gone is no bundle", "give exported/<model>/<version>"),
        (["models", "more"], "models", "Got unexpected extra argument", "`tfx-export models --help`"),
    ],
)
def test_any_verb_says_what_it_cannot_do(cli: Cli, words: list[str], command: str, message: str, hint: str) -> None:
    said = cli(*words)
    assert (said.code, said.out) == (2, "")
    assert f"error: {message}" in said.err
    assert f"hint: {hint}" in said.err
    document = cli(*words, "--json").document
    assert (document["command"], document["exit_code"], document["result"]) == (command, 2, None)


def test_a_failure_leaves_nothing_behind(write: Write, cli: Cli, project: Path) -> None:
    write("models/net.py", model(options=""))
    assert cli("build", "net").code == 2
    assert not (project / "exported").exists()


def test_a_place_that_cannot_be_written_is_exit_4(write: Write, cli: Cli) -> None:
    write("models/net.py", model())
    write("exported", "a file")
    said = cli("build", "net")
    assert said.code == 4
    assert "exported/net: not a directory" in said.err
    assert "hint: a file is where a folder should be: move it away" in said.err


def full_for_python(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def full_for_tensorflow(*_: Any) -> None:
    import tensorflow as tf

    raise tf.errors.UnknownError(None, None, "{{node SaveV2}} part-00000; No space left on device [Op:SaveV2]")


@pytest.mark.parametrize(
    ("place", "full"),
    [
        ("toolkit.building.pipeline.write_golden", full_for_python),
        ("toolkit.formats.saved_model.write", full_for_tensorflow),
        ("toolkit.formats.saved_model.write", full_for_python),
    ],
)
def test_a_full_disk_is_exit_4(
    write: Write, cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch, *, place: str, full: Callable[..., None]
) -> None:
    write("models/net.py", model())
    monkeypatch.setattr(place, full)
    said = cli("build", "net")
    assert said.code == 4
    assert "no space left on device" in said.err
    assert "bytes free)" in said.err
    assert "hint: free some space" in said.err
    assert not (project / "exported").exists()


def test_a_disk_that_is_full_for_a_converter_is_no_fault_of_the_format(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toolkit.building import jobs

    monkeypatch.setattr(jobs, "_reopen", full_for_python)
    with pytest.raises(StoreError, match=r"onnx: no space left on device \(.* bytes free\)"):
        jobs.convert("onnx", project, project / "onnx", {})


@pytest.mark.parametrize(
    ("name", "error", "code"),
    [("ValueError", ValueError("a\nb"), 1), ("EOFError", EOFError(), 1), ("SystemExit", SystemExit(0), 1)],
)
def test_a_bug_is_one_line_too(
    write: Write, cli: Cli, monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException, code: int
) -> None:
    from toolkit.building import pipeline

    def bug(*_: Any) -> None:
        raise error

    write("models/net.py", model())
    monkeypatch.setattr(pipeline, "record_baseline", bug)
    said = cli("build", "net")
    assert said.code == code
    assert f"error: {name}: " in said.err
    assert "hint: this is a bug of tfx-export; -v shows more" in said.err
    assert "Traceback" not in said.err
    assert "Traceback" in cli("build", "net", "-v").err
    assert cli("build", "net", "--json").document["error"]["type"] == "UnexpectedError"


def test_an_interrupt_is_exit_130(write: Write, cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from toolkit.building import pipeline

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    write("models/net.py", model())
    monkeypatch.setattr(pipeline, "record_baseline", interrupt)
    said = cli("build", "net")
    assert said.code == 130
    assert "error: interrupted" in said.err
    assert not (project / "exported").exists()
    assert cli("build", "net", "--json").document["error"]["type"] == "InterruptedError"


def test_one_model_that_fails_does_not_stop_the_others(write: Write, cli: Cli) -> None:
    write("models/broken.py", "1 / 0")
    write("models/net.py", model())
    write("models/vague.py", model(options="").replace('"net"', '"vague"'))
    said = cli("build", "--formats", "saved_model")
    assert said.code == 2
    assert said.out.startswith("net: 1 trace, ")
    errors = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 3
    assert "broken.py does not import" in errors[0]
    assert "nothing says what the inputs of model 'vague' are" in errors[1]
    assert errors[2] == "error: 2 of 3 models failed"
    document = cli("build", "--formats", "saved_model", "--json").document
    assert [manifest["model"] for manifest in document["result"]] == ["net"]
    assert "broken.py does not import" in document["error"]["message"]
    assert "nothing says what the inputs" in document["error"]["message"]


def test_two_models_of_one_name_are_not_built_as_one(write: Write, cli: Cli, project: Path) -> None:
    write("models/net.py", model())
    write("other/net.py", model())
    said = cli("build", "net", "other/net.py", "--formats", "saved_model")
    assert said.code == 2
    assert "error: net and other/net.py are both named 'net'" in said.err
    assert [path.name for path in (project / "exported" / "net").iterdir() if path.name.isdigit()] == ["1"]


def test_a_keras_file_that_lacks_its_classes_names_them(write: Write, cli: Cli, project: Path) -> None:
    import keras

    class Unknown(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x

    x = keras.Input((3,), name="x")
    keras.Model(x, Unknown()(x)).save(project / "own.keras")
    said = cli("build", "own.keras")
    assert said.code == 2
    assert "error: own.keras needs the class 'Unknown', which is not registered" in said.err
    assert "hint: import the module that defines it: --import " in said.err


def test_a_saved_model_that_does_not_load_is_said(write: Write, cli: Cli, project: Path) -> None:
    write("saved/saved_model.pb", "no graph")
    said = cli("build", "saved")
    assert said.code == 2
    assert "error: the SavedModel saved does not load: Cannot parse file" in said.err
    shutil.rmtree(project / "saved")
