"""The protobufs load without TensorFlow, and leave nothing in the way of the real one."""

import subprocess
import sys
from pathlib import Path

import pytest

from toolkit.errors import WireError
from toolkit.wire import protos


def run(root: Path, program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_protobufs_load_without_tensorflow_and_leave_no_trace_of_it(root: Path) -> None:
    program = """
import sys
from toolkit.wire import protos, rest, rpc
print([name for name in sys.modules if name == "tensorflow" or name.startswith("tensorflow.")])
print([name for name in ("grpc", "keras", "tensorflow") if name in sys.modules])
"""
    assert run(root, program).split("\n")[:2] == ["[]", "[]"]


def test_tensorflow_imported_after_the_protobufs_is_whole_and_shares_their_classes(root: Path) -> None:
    program = """
from toolkit.wire import protos
import tensorflow as tf
import tensorflow.core.framework.tensor_pb2 as by_path
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import predict_pb2
assert tf.__version__ and tf.function(lambda x: x + 1)(tf.constant(1)).numpy() == 2
assert by_path.TensorProto is tensor_pb2.TensorProto is protos.TensorProto
assert predict_pb2.PredictRequest is protos.PredictRequest
assert type(tf.make_tensor_proto([1.0])) is protos.TensorProto
request = predict_pb2.PredictRequest()
request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0, 2.0]))
print(tf.make_ndarray(protos.PredictRequest.FromString(request.SerializeToString()).inputs["x"]).tolist())
"""
    assert run(root, program).strip() == "[1.0, 2.0]"


def test_tensorflow_imported_before_the_protobufs_is_used_as_it_is(root: Path) -> None:
    program = """
import tensorflow as tf
from toolkit.wire import protos
import sys
assert sys.modules["tensorflow"] is tf
assert type(tf.make_tensor_proto([1.0])) is protos.TensorProto
print("whole", hasattr(tf, "constant"))
"""
    assert run(root, program).strip() == "whole True"


def test_a_missing_tensorflow_is_an_error_that_says_what_to_install(root: Path) -> None:
    program = """
import importlib.util, sys
importlib.util.find_spec = lambda name: None
from toolkit.errors import UnavailableError
try:
    from toolkit.wire import protos
except UnavailableError as error:
    print(error.hint, "tensorflow" in sys.modules)
"""
    assert run(root, program).strip() == "pip install 'tensorflow>=2.21,<2.22' False"


def test_missing_serving_protobufs_leave_no_half_of_tensorflow(root: Path) -> None:
    program = """
import sys
sys.modules["tensorflow_serving"] = None
from toolkit.errors import UnavailableError
try:
    from toolkit.wire import protos
except UnavailableError as error:
    print(error.hint, "tensorflow" in sys.modules)
"""
    assert run(root, program).strip() == "pip install 'tensorflow-serving-api>=2.21,<2.22' False"


def test_the_services_are_known_with_their_methods() -> None:
    methods = {name: sorted(service.methods_by_name) for name, service in protos.SERVICES.items()}
    assert "Predict" in methods["tensorflow.serving.PredictionService"]
    assert methods["tensorflow.serving.ModelService"] == ["GetModelStatus", "HandleReloadConfigRequest"]


@pytest.mark.parametrize("text", ['name: "a', "nope: 1", "model_config_list { config { name: 3 } }", "\udcff"])
def test_text_that_is_no_message_is_a_wire_error(text: str) -> None:
    with pytest.raises(WireError, match="the text is no ModelServerConfig"):
        protos.parse_text(protos.ModelServerConfig, text)


def test_a_quoted_string_may_run_over_several_lines() -> None:
    text = "# it's a \"comment\nname: \"one\ntwo\"  # 'more\nbase_path: 'a\\\"b\r\nc'"
    config = protos.parse_text(type(protos.ModelServerConfig().model_config_list.config.add()), text)
    assert (config.name, config.base_path) == ("one\ntwo", 'a"b\nc')
