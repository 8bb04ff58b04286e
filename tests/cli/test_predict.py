"""One question to whatever was built, and its answer, in every dtype and from every kind of file."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

Write = Callable[[str, str], Path]
Cli = Callable[..., Any]
KINDS = """
import tensorflow as tf
from toolkit import ModelSpec, Signature, TensorSpec

def echo(x, whole, word, half):
    return {"x": 2 * x, "whole": whole + 1, "word": tf.strings.join([word, word]), "half": half}

ROWS = {
    "x": TensorSpec("float32", (None, 2)),
    "whole": TensorSpec("int64", (None,)),
    "word": TensorSpec("string", (None,)),
    "half": TensorSpec("bfloat16", (None,)),
}
MODEL = ModelSpec("kinds", lambda: echo, inputs=ROWS)
"""
PAIR = """
from toolkit import ModelSpec, Signature, TensorSpec

ROW = TensorSpec("float32", (None, 2))
MODEL = ModelSpec("pair", lambda: lambda inputs, y: {"sum": inputs + y}, signatures={
    "total": Signature({"inputs": ROW, "y": ROW}),
    "twice": Signature({"inputs": ROW}, call=lambda model, inputs: model(inputs, inputs)),
})
"""


@pytest.fixture(scope="module")
def bundles(child: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """exported/kinds/1 and exported/pair/1."""
    from toolkit.building.catalog import resolve
    from toolkit.building.pipeline import Options, build_bundle

    root = tmp_path_factory.mktemp("root")
    for name, text in (("kinds", KINDS), ("pair", PAIR)):
        file = root / f"{name}.py"
        file.write_text(text)
        outcome = build_bundle(resolve(str(file), root), Options(root / "exported"), child, lambda _: None)
        assert outcome.bundle is not None, outcome.error
    return root / "exported"


FEED: dict[str, Any] = {"x": [[1.0, 0.1]], "whole": [2**53 + 1], "word": ["žluť"], "half": [0.5]}


def ask(cli: Cli, target: Path, file: Path | None, *words: str) -> Any:
    """The outputs, asked for as a document."""
    said = cli("predict", target, *(["--input", file] if file else []), *words, "--json")
    document = said.document
    assert (document["command"], document["status"], said.code) == ("predict", "ok", 0)
    return document["result"]["outputs"]


def test_a_json_feed_is_answered(cli: Cli, write: Write, bundles: Path) -> None:
    file = write("feed.json", json.dumps(FEED))
    expected = {"x": [[2.0, 0.2]], "whole": [2**53 + 2], "word": ["žluťžluť"], "half": [0.5]}
    assert ask(cli, bundles / "kinds" / "1", file) == expected
    said = cli("predict", bundles / "kinds", "--input", file)
    assert (json.loads(said.out), said.err, said.code) == (expected, "", 0)


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ({"x": "[[NaN, -Infinity]]"}, {"x": [["NaN", "-Infinity"]]}),
        ({"x": "[[1e30, 3]]"}, {"x": [[2e30, 6.0]]}),
        ({"whole": "[-9223372036854775808]"}, {"whole": [-9223372036854775807]}),
        ({"word": '[{"b64": "/w=="}]'}, {"word": [{"b64": "//8="}]}),
        ({"word": '[{"b64": "YQ=="}]'}, {"word": ["aa"]}),
        ({"half": "[0.1]"}, {"half": [0.100097656]}),
    ],
)
def test_a_value_keeps_all_of_itself(
    cli: Cli, write: Write, bundles: Path, change: dict[str, str], answer: dict[str, Any]
) -> None:
    written = {name: json.dumps(value) for name, value in FEED.items()} | change
    file = write("feed.json", "{" + ", ".join(f'"{name}": {text}' for name, text in written.items()) + "}")
    found = ask(cli, bundles / "kinds", file)
    assert {name: found[name] for name in answer} == answer


def test_an_npz_feed_is_answered(cli: Cli, project: Path, bundles: Path) -> None:
    arrays: dict[str, Any] = {
        "x": np.array([[1.0, 2.0]], np.float32),
        "whole": np.array([2**62], np.int64),
        "word": np.array(["až"]),
        "half": np.array([0.5], ml_dtypes.bfloat16),
    }
    np.savez(project / "feed.npz", allow_pickle=False, **arrays)
    expected = {"x": [[2.0, 4.0]], "whole": [2**62 + 1], "word": ["ažaž"], "half": [0.5]}
    assert ask(cli, bundles / "kinds", project / "feed.npz") == expected


def test_standard_input_is_answered(cli: Cli, bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO('{"inputs": [[1, 2]]}'))
    assert ask(cli, bundles / "pair", Path("-"), "--signature", "twice") == {"sum": [[2.0, 4.0]]}


@pytest.mark.parametrize("text", ['{"inputs": [[1, 2]]}', '{"inputs": {"inputs": [[1, 2]]}}'])
def test_an_input_may_be_called_inputs(cli: Cli, write: Write, bundles: Path, text: str) -> None:
    assert ask(cli, bundles / "pair", write("feed.json", text), "--signature", "twice") == {"sum": [[2.0, 4.0]]}


@pytest.mark.parametrize(
    ("target", "words", "alone"),
    [
        ("pair", [], False),
        ("pair/1", ["--artifact", "onnx"], False),
        ("pair/1", ["--artifact", "tflite"], False),
        ("pair/1/onnx", [], False),
        ("pair/1/saved_model", [], False),
        ("pair/1/onnx/twice.onnx", [], False),
        ("pair/1/tflite/twice.tflite", [], False),
        ("pair/1", [], True),
        ("pair/1/saved_model", [], True),
        ("pair/1/onnx/twice.onnx", [], True),
        ("pair/1/tflite/twice.tflite", [], True),
    ],
)
def test_every_kind_of_target_is_asked(
    cli: Cli, write: Write, bundles: Path, tmp_path: Path, *, target: str, words: list[str], alone: bool
) -> None:
    path = bundles / target
    names = ["--signature", "twice"] if path.is_dir() else []
    if alone:
        path = Path((shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / path.name))
    file = write("feed.json", '{"inputs": [[1, 2], [3, 4]]}')
    assert ask(cli, path, file, *names, *words) == {"sum": [[2.0, 4.0], [6.0, 8.0]]}


@pytest.mark.parametrize("target", ["pair", "pair/1/onnx/twice.onnx", "pair/1/saved_model"])
def test_without_a_feed_a_golden_one_is_asked_and_said(cli: Cli, bundles: Path, target: str) -> None:
    words = [] if target.endswith(".onnx") else ["--signature", "twice"]
    said = cli("predict", bundles / target, *words)
    assert said.code == 0
    assert np.asarray(json.loads(said.out)["sum"]).shape == (1, 2)
    assert said.err == "no --input: asking with a golden feed of the bundle's, or else with made-up values\n"
    assert cli("predict", bundles / target, *words, "-q").err == ""


FEEDS = [
    (
        "feed.json",
        '{"x": [[1]]}',
        "missing input 'inputs', 'y'; unknown input 'x'",
        "the signature wants inputs: float32",
    ),
    ("feed.json", '{"inputs": [[1, 2]], "y": [["a", "b"]]}', "input 'y': a tensor of float32 cannot hold 'a'", "give"),
    ("feed.json", '{"inputs": [[1, 2]], "y": [[1, null]]}', "input 'y': a tensor of float32 cannot hold", "give"),
    ("feed.json", '{"inputs": [[1, 2]], "y": [[1, 2], [3]]}', "input 'y': no tensor of float32", "check nesting"),
    (
        "feed.json",
        '{"inputs": [[1, 2]], "y": [[1, 2, 3]]}',
        "input 'y' has shape [1, 3], the signature wants",
        "any size",
    ),
    (
        "feed.json",
        '{"inputs": [[1, 2]], "y": 3}',
        "input 'y' has shape [], the signature wants float32[*, 2]",
        "any size",
    ),
    (
        "feed.json",
        '{"inputs": [[1, 2], [3, 4]], "y": [[1, 2], [3, 4], [5, 6]]}',
        "ncompatible shapes: [2,2] vs. [3,2]",
        "",
    ),
    ("feed.json", "[1, 2]", "feed.json holds a list", '{"input name": values}'),
    ("feed.json", "{", "feed.json holds no feed: Expecting property name", "give JSON"),
    ("feed.json", "[" * 100_000, "feed.json holds no feed: ", "give JSON"),
    ("feed.json", '{"inputs": [{"b64": "!"}]}', "not base64: '!'", '{"b64": "..."}'),
    ("feed.npz", "no archive", "feed.npz holds no feed: ", "give JSON"),
    ("feed.npz", "", "feed.npz holds no feed: ", "give JSON"),
    ("other.json", "{}", "feed.json holds no feed: [Errno 2] No such file", "give JSON"),
]


@pytest.mark.parametrize(("file", "text", "message", "hint"), FEEDS)
def test_a_feed_that_does_not_fit_is_said_in_one_line(
    cli: Cli, write: Write, bundles: Path, *, file: str, text: str, message: str, hint: str
) -> None:
    write(file, text)
    asked = file.replace("other", "feed")
    words = ("predict", bundles / "pair", "--input", asked, "--signature", "total")
    said = cli(*words)
    assert (said.code, said.out) == (2, "")
    told = said.err.splitlines()
    assert [line.partition(": ")[0] for line in told] == ["error", "hint"]
    assert message in told[0]
    assert hint in told[1]
    assert cli(*words, "--json").document["error"]["message"] == told[0].removeprefix("error: ")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"inputs": np.ones((1, 2)), "y": np.ones((1, 2), np.float32)},
            "input 'inputs' is float64, the signature wants",
        ),
        ({"inputs": np.ones((1, 2), np.float32)}, "missing input 'y'"),
    ],
)
def test_an_array_of_another_dtype_is_not_cast_in_silence(
    cli: Cli, project: Path, bundles: Path, arrays: dict[str, Any], message: str
) -> None:
    np.savez(project / "feed.npz", **arrays)
    said = cli("predict", bundles / "pair", "--input", "feed.npz", "--signature", "total")
    assert said.code == 2
    assert f"error: {message}" in said.err


def test_an_npz_of_objects_is_not_unpickled(cli: Cli, project: Path, bundles: Path) -> None:
    np.savez(project / "feed.npz", inputs=np.array([{"a": 1}], dtype=object))
    said = cli("predict", bundles / "pair", "--input", "feed.npz", "--signature", "total")
    assert (said.code, "holds no feed: Object arrays cannot be loaded" in said.err) == (2, True)


@pytest.mark.parametrize(
    ("target", "words", "message", "hint"),
    [
        ("pair", [], "which signature of saved_model?", "--signature total | twice"),
        ("pair", ["--signature", "twce"], "'saved_model' has no signature 'twce'", "did you mean twice?"),
        ("pair/1/saved_model", ["--signature", "twce"], "'saved_model' has no signature 'twce'", "did you mean twice?"),
        ("pair", ["--artifact", "onxx"], "the bundle of pair has no artifact 'onxx'", "did you mean onnx?"),
        ("kinds", ["--artifact", "onnx"], "'onnx' of kinds was not made: onnxruntime's", "it has saved_model"),
        ("pair/1/saved_model", ["--artifact", "onnx"], "saved_model is one artifact", "leave it out"),
        ("pair/1/manifest.json", [], "manifest.json is neither a bundle nor an artifact", "give a bundle"),
        ("gone/1", [], "gone/1 is no bundle", "give exported/<model>/<version>"),
    ],
)
def test_a_target_that_cannot_be_asked_is_said_in_one_line(
    cli: Cli, bundles: Path, *, target: str, words: list[str], message: str, hint: str
) -> None:
    said = cli("predict", bundles / target, "-q", *words)
    told = said.err.splitlines()
    assert (said.code, len(told)) == (2, 2)
    assert message in told[0]
    assert hint in told[1]


def test_a_name_of_a_model_leads_to_its_bundle(cli: Cli, write: Write, bundles: Path, project: Path) -> None:
    (project / "exported").symlink_to(bundles)
    said = cli("predict", "pair", "-q")
    assert (said.code, f"hint: did you mean {project / 'exported' / 'pair'}?" in said.err) == (2, True)


def test_an_onnx_file_alone_has_no_signature_to_choose(cli: Cli, bundles: Path, tmp_path: Path) -> None:
    file = tmp_path / "net.onnx"
    file.write_bytes((bundles / "pair/1/onnx/twice.onnx").read_bytes())
    said = cli("predict", file, "--signature", "twice", "-q")
    assert (said.code, "which has no named signatures" in said.err) == (2, True)


def test_a_damaged_artifact_is_exit_3(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"no model")
    assert cli("predict", tmp_path / "net.onnx", "-q").code == 3
