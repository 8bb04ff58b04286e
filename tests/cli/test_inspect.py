"""`tfx-export inspect` and `doctor` as one types them: what they print, their documents, their exit codes."""

import json
from pathlib import Path

import pytest

from tests.insight import artifacts
from toolkit.cli.main import run
from toolkit.errors import ExitCode
from toolkit.insight.inspection import KINDS


@pytest.fixture
def unsafe(tmp_path: Path) -> Path:
    return artifacts.saved_model(
        tmp_path / "unsafe", lambda graph: artifacts.node(graph.graph_def.node, "n", "WriteFile")
    )


def said(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_model_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, "inspect", artifacts.RECORDED / "cls" / "1")
    assert (code, err) == (ExitCode.DONE, "")
    for words in (
        "saved_model",
        "serving_default (classify)",
        "of its Examples",
        "float32[3]",
        " weights ",
        "no findings",
    ):
        assert words in out, out


def test_the_ready_calls(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = said(capsys, "inspect", artifacts.DATA / "square.onnx", "--calls")
    assert "# serving_default: gRPC, in Python" in out
    assert """curl -s -d '{"inputs": {"x": [0.5]}}' http://localhost:8501/v1/models/square:predict""" in out
    assert "toolkit.predict('grpc://localhost:8500/square', {'x': np.full((1,), 0.5, 'float32')})" in out


def test_a_finding_is_shown_and_fails_where_that_is_asked(unsafe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "inspect", unsafe)
    assert code == ExitCode.DONE
    assert "  WriteFile writes files (n)" in out
    code, _, err = said(capsys, "inspect", unsafe, "--fail-on", "unsafe")
    assert code == ExitCode.WRONG_ARTIFACT
    assert "WriteFile writes files (n)" in err
    assert "docs/security.md" in err
    assert said(capsys, "inspect", artifacts.DATA / "square.onnx", "--fail-on", "unsafe")[0] == ExitCode.DONE


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_fail(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "inspect", artifacts.DATA / "square.tflite", "--fail-on", kind)[0] == ExitCode.DONE


def test_two_side_by_side(unsafe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clean = artifacts.saved_model(unsafe.parent / "clean")
    code, out, _ = said(capsys, "inspect", clean, unsafe)
    assert code == ExitCode.DONE
    assert out.splitlines()[-1].split() == ["op", "WriteFile", "0", "1"]
    assert said(capsys, "inspect", clean, unsafe, "--fail-on", "unsafe")[0] == ExitCode.WRONG_ARTIFACT


@pytest.mark.parametrize(("content", "code"), [(b"", ExitCode.WRONG_ARTIFACT), (b"\x08", ExitCode.WRONG_ARTIFACT)])
def test_a_cut_off_file_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, code: int
) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    found, out, err = said(capsys, "inspect", tmp_path / "m.onnx")
    assert (found, out) == (code, "")
    assert [line.partition(":")[0] for line in err.splitlines()] == ["error", "hint"]


def test_what_is_no_artifact_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "inspect", tmp_path)[0] == ExitCode.BAD_INPUT
    assert said(capsys, "inspect", tmp_path / "nothing")[0] == ExitCode.BAD_INPUT


def test_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = said(capsys, "inspect", artifacts.DATA / "trained.keras", "--json")
    found = json.loads(out)["result"]
    assert found["layers"] == {"hidden": 60, "scores": 32}
    assert [finding["kind"] for finding in found["findings"]] == ["leftover"]
    assert found["signatures"]["serving_default"]["inputs"]["image"] == {
        "dtype": "float32",
        "shape": [None, 4],
        "dynamic": [0],
    }
    assert found["calls"]["serving_default"]["python"].startswith("import keras")


def test_doctor_says_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "doctor")
    assert code == ExitCode.DONE
    for words in ("machine", "stack", "formats", "runtimes", "servers", "embedded", "fit to measure"):
        assert words in out


def test_doctor_ends_with_four_where_something_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = said(capsys, "doctor", "--server", "127.0.0.1:1", "--json")
    assert (code, err) == (ExitCode.MISSING, "")
    code, _, err = said(capsys, "doctor", "--formats", "onxn")
    assert code == ExitCode.MISSING
    assert "onxn: there is no such format" in err
