"""Whatever a user can cause is one line with a hint and an exit code, for people and for programs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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
    ("net.py", model(), ["net", "--formats", "saved_model,onx"], 2, "there is no format 'onx'", "did you mean onnx"),
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
