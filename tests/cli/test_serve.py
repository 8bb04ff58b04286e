"""`tfx-export serve` as a process: the ready line, signals, a taken port, a bad model, and the official client."""

import json
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.golden.replaying import DATA

PATIENCE_S = 120.0
HP2 = DATA / "models" / "saved_model_half_plus_two_cpu"


@dataclass(frozen=True)
class Server:
    """A process that serves."""

    process: "subprocess.Popen[str]"
    ready: Mapping[str, Any]

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signals it, and waits for its exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


@contextmanager
def serving(root: Path, *words: object) -> Iterator[Server]:
    """A server of its own process, with any free ports."""
    given = [str(word) for word in words]
    line = [sys.executable, "-m", "toolkit.cli.main", "serve", *given, "--port=0", "--rest_api_port=0"]
    process = subprocess.Popen(line, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    clock = threading.Timer(PATIENCE_S, process.kill)
    clock.start()
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        if not first:
            assert process.stderr is not None
            pytest.fail(process.stderr.read())
        yield Server(process, json.loads(first))
    finally:
        clock.cancel()
        process.kill()
        process.communicate()


def refused(root: Path, *words: object) -> tuple[int, str]:
    """The exit code and complaint of a server that does not start."""
    line = [sys.executable, "-m", "toolkit.cli.main", "serve", *map(str, words)]
    done = subprocess.run(line, cwd=root, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.stdout == ""
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def served(root: Path) -> Iterator[Server]:
    """One server of a public SavedModel, for the tests that only ask."""
    with serving(
        root, "--model_name", "hp2", f"--model_base_path={HP2}", "--enable_grpc_healthcheck_service"
    ) as server:
        yield server


def test_the_ready_line_has_the_ports_and_the_models(served: Server) -> None:
    assert served.ready["ready"] is True
    assert served.ready["models"] == {"hp2": {"123": "AVAILABLE"}}
    assert served.ready["grpc_port"] != served.ready["rest_api_port"]


OFFICIAL_CLIENT = """
import sys
import grpc
import tensorflow as tf
from tensorflow_serving.apis import classification_pb2, get_model_metadata_pb2, get_model_status_pb2
from tensorflow_serving.apis import inference_pb2, model_management_pb2, model_service_pb2_grpc
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc, regression_pb2

channel = grpc.insecure_channel(f"127.0.0.1:{sys.argv[1]}")
predictions = prediction_service_pb2_grpc.PredictionServiceStub(channel)
models = model_service_pb2_grpc.ModelServiceStub(channel)
request = predict_pb2.PredictRequest()
request.model_spec.name = "hp2"
request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0, 2.0, 5.0]))
answer = predictions.Predict(request, 60)
print(tf.make_ndarray(answer.outputs["y"]).tolist(), answer.model_spec.version.value)

status = get_model_status_pb2.GetModelStatusRequest()
status.model_spec.name = "hp2"
found = models.GetModelStatus(status, 60)
print([(one.version, one.state) for one in found.model_version_status])


def asked(request, signature):
    request.model_spec.name, request.model_spec.signature_name = "hp2", signature
    for value in (1.0, 2.0):
        request.input.example_list.examples.add().features.feature["x"].float_list.value.append(value)
    return request


answer = predictions.Classify(asked(classification_pb2.ClassificationRequest(), "classify_x_to_y"), 60)
print([[one.score for one in each.classes] for each in answer.result.classifications])
answer = predictions.Regress(asked(regression_pb2.RegressionRequest(), "regress_x_to_y"), 60)
print([each.value for each in answer.result.regressions])

request = inference_pb2.MultiInferenceRequest()
for method, signature in (("regress", "regress_x_to_y"), ("classify", "classify_x_to_y")):
    task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
    task.model_spec.name, task.model_spec.signature_name = "hp2", signature
request.input.example_list.examples.add().features.feature["x"].float_list.value.append(5.0)
first, second = predictions.MultiInference(request, 60).results
print(first.regression_result.regressions[0].value, second.classification_result.classifications[0].classes[0].score)

request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
request.model_spec.name = "hp2"
answer = predictions.GetModelMetadata(request, 60)
signatures = get_model_metadata_pb2.SignatureDefMap()
answer.metadata["signature_def"].Unpack(signatures)
print("classify_x_to_y" in signatures.signature_def, answer.model_spec.version.value)

config = model_management_pb2.ReloadConfigRequest()
for name in ("hp2", "again"):
    config.config.model_config_list.config.add(name=name, base_path=sys.argv[2], model_platform="tensorflow")
print(models.HandleReloadConfigRequest(config, 60).status.error_code)
request = predict_pb2.PredictRequest()
request.model_spec.name = "again"
request.inputs["x"].CopyFrom(tf.make_tensor_proto([8.0]))
print(tf.make_ndarray(predictions.Predict(request, 60).outputs["y"]).tolist())
del config.config.model_config_list.config[1]
print(models.HandleReloadConfigRequest(config, 60).status.error_code)
try:
    predictions.Predict(request, 60)
except grpc.RpcError as error:
    print(error.code().name)
"""


def test_the_official_client_is_answered_in_every_call(served: Server, root: Path) -> None:
    words = [sys.executable, "-c", OFFICIAL_CLIENT, str(served.ready["grpc_port"]), str(HP2)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.stdout.splitlines() == [
        "[2.5, 3.0, 4.5] 123",
        "[(123, 30)]",
        "[[2.5], [3.0]]",
        "[2.5, 3.0]",
        "4.5 4.5",
        "True 123",
        "0",
        "[6.0]",
        "0",
        "NOT_FOUND",
    ], done.stderr


def test_curl_is_answered(served: Server) -> None:
    url = f"http://127.0.0.1:{served.ready['rest_api_port']}/v1/models/hp2:predict"
    line = ["curl", "-sS", "-d", '{"instances": [1.0, 2.0, 5.0]}', "-X", "POST", url]
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    done = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert json.loads(done.stdout) == {"predictions": [2.5, 3.0, 4.5]}


def test_a_taken_port_ends_with_four_and_says_which(served: Server, root: Path) -> None:
    for flag in ("grpc_port", "rest_api_port"):
        taken = served.ready[flag]
        ports = ("--port=0", f"--rest_api_port={taken}") if flag == "rest_api_port" else (f"--port={taken}",)
        code, said = refused(root, f"--model_base_path={HP2}", *ports)
        assert (code, f"error: cannot listen on 127.0.0.1:{taken}" in said) == (4, True)
        assert "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_zero(number: signal.Signals, root: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    # Nothing to load: the process is all that is looked at.
    with serving(root, f"--model_base_path={tmp_path / 'empty'}") as server:
        assert server.end(number) == 0


END_AT_ONCE = """
import atexit
import sys
from toolkit.cli import main

atexit.register(print, "the interpreter was taken down", file=sys.stderr)
main.main(sys.argv[1:])
"""


def test_it_ends_without_taking_down_the_interpreter_and_all_was_said(root: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    words = ["serve", f"--model_base_path={tmp_path / 'empty'}", "--port=0", "--rest_api_port=0", "-v"]
    process = subprocess.Popen(
        [sys.executable, "-c", END_AT_ONCE, *words], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    clock = threading.Timer(PATIENCE_S, process.kill)
    clock.start()
    try:
        assert process.stdout is not None
        ready = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        rest, said = process.communicate()
    finally:
        clock.cancel()
        process.kill()
    assert (process.returncode, json.loads(ready)["ready"], rest) == (0, True, "")
    assert "drained in" in said
    assert "the interpreter was taken down" not in said


def test_an_error_of_serve_is_said_whole_through_pipes(root: Path) -> None:
    line = [sys.executable, "-m", "toolkit.cli.main", "serve", "nothere", "--json"]
    done = subprocess.run(line, cwd=root, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    document = json.loads(done.stdout)
    assert (done.returncode, document["exit_code"], document["status"]) == (2, 2, "error")


def test_one_bad_model_keeps_no_other_from_serving_but_with_strict_start(root: Path, tmp_path: Path) -> None:
    (tmp_path / "bad" / "1").mkdir(parents=True)
    config = tmp_path / "models.config"
    entry = 'config {{ name: "{}" base_path: "{}" model_platform: "tensorflow" }}'
    listed = " ".join(entry.format(name, path) for name, path in (("bad", tmp_path / "bad"), ("good", HP2)))
    config.write_text(f"model_config_list {{ {listed} }}")
    flags = (f"--model_config_file={config}", "--max_num_load_retries=0")
    with serving(root, *flags) as server:
        assert server.ready["models"] == {"bad": {"1": "END"}, "good": {"123": "AVAILABLE"}}
    code, said = refused(root, *flags, "--strict-start", "--port=0")
    assert code == 2
    assert "1 servable(s) did not become available: {{{name: bad version: 1} due to error: NOT_FOUND" in said


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["--prot=1"], "No such option '--prot'", "--help"),
        (["--port=abc"], "'abc' is not a valid integer", "--help"),
        (["nothere"], "there is no model 'nothere'", "known: "),
        (["mlp", "--model_base_path=/m"], "both say what to serve", "leave one out"),
        ([], "Both server_options.model_base_path and", "--model_config_file"),
        (["--model_base_path=gs://bucket/m"], "only local directories are served", "give its local path"),
    ],
)
def test_what_makes_no_sense_is_one_line_with_a_hint(words: list[str], error: str, hint: str, root: Path) -> None:
    code, said = refused(root, *words)
    first, second = said.splitlines()
    assert code == 2
    assert first.startswith("error: ")
    assert error in first
    assert re.match(r"hint: ", second)
    assert hint in second


@pytest.mark.parametrize(
    ("flag", "hint"),
    [
        ("--max-queue=-100", "hint: give at least 0; the default is 1000"),
        ("--max-message-mb=0.0", "hint: give at least 0.001; the default is 2047"),
        ("--max-message-mb=-5.5", "hint: give at least 0.001; the default is 2047"),
    ],
)
def test_a_number_that_makes_no_sense_names_its_flag_and_what_to_give(flag: str, hint: str, root: Path) -> None:
    code, said = refused(root, "--model_base_path=/m", flag)
    assert (code, said.splitlines()) == (2, [f"error: {flag} makes no sense", hint])


def test_a_flag_in_vain_beside_others_is_a_warning(root: Path) -> None:
    _, said = refused(root, "nothere", "--model_name=m", "--enable_per_model_batching_parameters")
    assert "warning: --model_name changes nothing here: TARGET names what is served\n" in said
    assert "--enable_per_model_batching_parameters changes nothing here: nothing is batched without" in said


def test_a_flag_without_meaning_here_is_a_warning(root: Path) -> None:
    _, said = refused(root, "--enable_profiler=false", "--model_base_path=rel")
    assert said.startswith("warning: --enable_profiler changes nothing here: ")


def test_a_bundle_a_model_folder_and_all_of_them_are_served(shipped: Callable[[str], Path], root: Path) -> None:
    bundle = shipped("square")
    for place in (bundle, bundle.parent, bundle.parent.parent):
        with serving(root, place, "--runtime", "onnx") as server:
            assert server.ready["models"]["square"] == {bundle.name: "AVAILABLE"}
