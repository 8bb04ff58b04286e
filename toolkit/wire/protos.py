"""The protobufs of TensorFlow Serving and TensorFlow, loaded without loading TensorFlow; their only importer.

The generated modules live inside the `tensorflow` package, whose `__init__` costs seconds and half a gigabyte. They
need only the package's `__path__`, so a stand-in with nothing else lets them load. It is taken away again at once:
whoever imports TensorFlow later gets the real one, and, since protobuf keeps one class per type,
the same classes.
"""

import importlib
import importlib.machinery
import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from google.protobuf import json_format, text_format
from google.protobuf.message import DecodeError, EncodeError

from toolkit.errors import UnavailableError, WireError

Message = Any


@contextmanager
def _light_tensorflow() -> Iterator[None]:
    if "tensorflow" in sys.modules:
        yield
        return
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or spec.submodule_search_locations is None:
        raise UnavailableError("TensorFlow is not installed", hint="pip install 'tensorflow>=2.21,<2.22'")
    stand_in = ModuleType("tensorflow")
    stand_in.__path__ = list(spec.submodule_search_locations)
    stand_in.__spec__ = importlib.machinery.ModuleSpec("tensorflow", None, is_package=True)
    sys.modules["tensorflow"] = stand_in
    try:
        yield
    finally:
        # Half a package left behind would be worse than a slow import: the generated modules below it go too.
        for name in [name for name in sys.modules if name == "tensorflow" or name.startswith("tensorflow.")]:
            del sys.modules[name]


def _load(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UnavailableError(
            f"the protobufs of TensorFlow Serving cannot be loaded: {error}",
            hint="pip install 'tensorflow-serving-api>=2.21,<2.22'",
        ) from error


with _light_tensorflow():
    _classification = _load("tensorflow_serving.apis.classification_pb2")
    _inference = _load("tensorflow_serving.apis.inference_pb2")
    _input = _load("tensorflow_serving.apis.input_pb2")
    _management = _load("tensorflow_serving.apis.model_management_pb2")
    _metadata = _load("tensorflow_serving.apis.get_model_metadata_pb2")
    _model = _load("tensorflow_serving.apis.model_pb2")
    _model_service = _load("tensorflow_serving.apis.model_service_pb2")
    _predict = _load("tensorflow_serving.apis.predict_pb2")
    _prediction_log = _load("tensorflow_serving.apis.prediction_log_pb2")
    _prediction_service = _load("tensorflow_serving.apis.prediction_service_pb2")
    _regression = _load("tensorflow_serving.apis.regression_pb2")
    _status = _load("tensorflow_serving.apis.get_model_status_pb2")
    _config = _load("tensorflow_serving.config.model_server_config_pb2")
    _example = _load("tensorflow.core.example.example_pb2")
    _meta_graph = _load("tensorflow.core.protobuf.meta_graph_pb2")
    _saved_model = _load("tensorflow.core.protobuf.saved_model_pb2")
    _tensor = _load("tensorflow.core.framework.tensor_pb2")
    _tensor_shape = _load("tensorflow.core.framework.tensor_shape_pb2")
    _types = _load("tensorflow.core.framework.types_pb2")
    _error_codes = _load("tensorflow.core.protobuf.error_codes_pb2")
    _tensor_bundle = _load("tensorflow.core.protobuf.tensor_bundle_pb2")
    _object_graph = _load("tensorflow.core.protobuf.trackable_object_graph_pb2")
    _debug_info = _load("tensorflow.core.framework.graph_debug_info_pb2")

ClassificationRequest = _classification.ClassificationRequest
ClassificationResponse = _classification.ClassificationResponse
RegressionRequest = _regression.RegressionRequest
RegressionResponse = _regression.RegressionResponse
MultiInferenceRequest = _inference.MultiInferenceRequest
MultiInferenceResponse = _inference.MultiInferenceResponse
PredictRequest = _predict.PredictRequest
PredictResponse = _predict.PredictResponse
GetModelMetadataRequest = _metadata.GetModelMetadataRequest
GetModelMetadataResponse = _metadata.GetModelMetadataResponse
SignatureDefMap = _metadata.SignatureDefMap
GetModelStatusRequest = _status.GetModelStatusRequest
GetModelStatusResponse = _status.GetModelStatusResponse
ModelVersionStatus = _status.ModelVersionStatus
ReloadConfigRequest = _management.ReloadConfigRequest
ReloadConfigResponse = _management.ReloadConfigResponse
ModelServerConfig = _config.ModelServerConfig
ModelSpec = _model.ModelSpec
Input = _input.Input
PredictionLog = _prediction_log.PredictionLog

Example = _example.Example
TensorProto = _tensor.TensorProto
TensorShapeProto = _tensor_shape.TensorShapeProto
DataType = _types.DataType
SignatureDef = _meta_graph.SignatureDef
TensorInfo = _meta_graph.TensorInfo
MetaGraphDef = _meta_graph.MetaGraphDef
SavedModel = _saved_model.SavedModel
ErrorCode = _error_codes.Code
BundleHeader = _tensor_bundle.BundleHeaderProto
BundleEntry = _tensor_bundle.BundleEntryProto
ObjectGraph = _object_graph.TrackableObjectGraph
DebugInfo = _debug_info.GraphDebugInfo

# What reflection announces; the descriptors also carry each method's request and response type.
SERVICES = {
    service.full_name: service
    for module in (_prediction_service, _model_service)
    for service in module.DESCRIPTOR.services_by_name.values()
}


def parse(kind: Any, body: bytes) -> Message:
    """The message of that kind in some bytes.

    Raises:
        WireError: the bytes are no such message.
    """
    try:
        return kind.FromString(body)
    except (DecodeError, UnicodeDecodeError) as error:
        raise WireError(f"the bytes are no {kind.DESCRIPTOR.name}", hint="check what the peer speaks") from error


def serialize(message: Message) -> bytes:
    """The bytes of a message.

    Raises:
        WireError: the message is over protobuf's limit of 2 GiB.
    """
    try:
        return bytes(message.SerializeToString())
    except (EncodeError, ValueError) as error:
        raise WireError(
            f"{message.DESCRIPTOR.name} cannot be written: {error}", hint="a message is smaller than 2 GiB"
        ) from error


def text_of(message: Message) -> str:
    """A message in protobuf's text format."""
    return text_format.MessageToString(message)


def parse_text(kind: Any, text: str) -> Message:
    """The message of that kind in protobuf's text format.

    Raises:
        WireError: the text is no such message; says where.
    """
    try:
        return text_format.Parse(_TEXT_TOKENS.sub(_on_one_line, text), kind())
    except (text_format.ParseError, UnicodeError) as error:
        raise WireError(
            f"the text is no {kind.DESCRIPTOR.name}: {error}", hint="compare it with TensorFlow Serving's examples"
        ) from error


# A comment, or a quoted string; both may hold what looks like the other.
_TEXT_TOKENS = re.compile(r"""#[^\n]*|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'""", re.DOTALL)


def _on_one_line(match: re.Match[str]) -> str:
    # The real server takes a string over several lines, as keys and certificates are pasted; Python's parser does not.
    found = match.group()
    return found if found.startswith("#") else found.replace("\r\n", "\n").replace("\n", "\\n")


def json_of(message: Message) -> Any:
    """A message as JSON values with every field named, as the server prints it."""
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def parse_json_value(kind: Any, value: Any) -> Message:
    """The message of that kind in JSON values, as the server printed it; fields it does not know are skipped.

    Raises:
        WireError: the values are no such message.
    """
    try:
        # By way of text: protobuf's own parser of values breaks on names that are no UTF-8.
        text = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
        return json_format.Parse(text, kind(), ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, RecursionError) as error:
        raise WireError(f"the JSON is no {kind.DESCRIPTOR.name}: {error}", hint="check what the peer speaks") from error
