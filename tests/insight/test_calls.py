"""The calls that `inspect` prints run as they stand against our server, for every signature of every shipped model."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import toolkit
from tests.insight import artifacts
from toolkit.insight.calls import ready_calls
from toolkit.insight.inspecting import read
from toolkit.insight.inspection import Call, Inspection, Tensor
from toolkit.serving.embedded import ServeRequest

# mobilenet's one signature is of the same kind as the cnn's, and its bundle takes as long to build as all the others.
MODELS = ("square", "mlp", "cnn", "text", "tabular", "sequence", "transformer", "detector")


@pytest.fixture(scope="module")
def server(shipped: Callable[[str], Path]) -> Iterator[tuple[Path, str, str]]:
    """The folder of all bundles, and where a server answers for them over gRPC and REST."""
    bundles = [shipped(name) for name in MODELS]
    folder = bundles[0].parents[1]
    flags = {"port": 0, "rest_api_port": 0}
    with toolkit.serve(folder, ServeRequest(flags=flags)) as serving:
        assert serving.grpc is not None
        assert serving.rest is not None
        yield folder, serving.grpc.address, serving.rest.address


def run(program: str) -> None:
    """Runs a program as it was printed, in this process, where TensorFlow is loaded already."""
    exec(compile(program, "call", "exec"), {})


@pytest.mark.parametrize("model", MODELS)
def test_every_call_is_answered(server: tuple[Path, str, str], capsys: pytest.CaptureFixture[str], model: str) -> None:
    folder, grpc, rest = server
    calls = ready_calls(read(next((folder / model).iterdir())), grpc, rest)
    assert calls
    for ready in calls.values():
        run(ready.grpc)
        assert "model_spec" in capsys.readouterr().out
        run(ready.python)
        assert "array(" in capsys.readouterr().out
        said = subprocess.run(["bash", "-c", ready.curl], capture_output=True, text=True, check=True, timeout=60).stdout
        assert '"error"' not in said
        assert any(word in said for word in ('"outputs"', '"results"')), said


def test_a_ragged_input_has_values_that_fit_together() -> None:
    tensors = {"x_values": Tensor("float32", (None,)), "x_row_splits": Tensor("int64", (None,))}
    ready = ready_calls(found(Call(tensors, {})))["serving_default"]
    assert '{"x_values": [0.5], "x_row_splits": [0, 1]}' in ready.curl


@pytest.mark.parametrize("dtype", ["resource", "complex64", "qint8"])
def test_what_no_client_can_write_has_no_call(dtype: str) -> None:
    assert ready_calls(found(Call({"x": Tensor(dtype, ())}, {}))) == {}


def test_names_are_quoted_for_the_shell() -> None:
    ready = ready_calls(found(Call({"it's; rm": Tensor("string", (2,))}, {}), "a b"))["serving_default"]
    body = subprocess.run(
        ["bash", "-c", ready.curl.replace("curl -s -d", "printf %s", 1)], capture_output=True, text=True, check=True
    ).stdout
    assert body.startswith('{"inputs": {"it\'s; rm": ["some text", "some text"]}}')


def test_a_keras_file_is_called_in_python() -> None:
    ready = ready_calls(read(artifacts.DATA / "small.keras"))["serving_default"]
    assert ready.python.endswith("(np.full((1, 4), 0.5, 'float32')))")
    assert ready.grpc == ""


def found(call: Call, model: str = "m") -> Inspection:
    facts: dict[str, Any] = {"path": "m", "format": "saved_model", "size_bytes": 0, "model": model}
    return Inspection(signatures={"serving_default": call}, **facts)


@pytest.mark.parametrize("model", [*MODELS, pytest.param("mobilenet", marks=pytest.mark.long)])
def test_a_shipped_model_has_no_finding_that_is_not_true(shipped: Callable[[str], Path], model: str) -> None:
    # square prints while it is traced, and the manifest says in which file.
    expected = ["path"] if model == "square" else []
    assert [finding.kind for _, finding in read(shipped(model)).all_findings] == expected
