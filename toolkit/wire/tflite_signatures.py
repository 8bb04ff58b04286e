"""The signatures that a model.tflite is served with, read as TensorFlow Serving reads them: from its bytes alone.

The rule is that of TfLiteSession::Create (tensorflow_serving/servables/tensorflow/tflite_session.cc): the table of
signatures that a converter writes counts for nothing; SignatureDefs stand in the file's metadata, and where there are
none, `serving_default` takes and gives the tensors of the graph by their names.
"""

import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from toolkit.errors import WireError
from toolkit.wire import protos
from toolkit.wire import tflite_wording as wording
from toolkit.wire.dtypes import BY_NAME
from toolkit.wire.messages import DEFAULT_SIGNATURE
from toolkit.wire.protos import Message
from toolkit.wire.signatures import PREDICT_METHOD, ServedSignature, read_signatures

_METADATA = b"signature_defs_metadata"  # kSignatureDefsMetadataName of tensorflow/lite/tools/signature
# What the flatbuffers library raises where an offset leads nowhere.
_LOST = (struct.error, IndexError, ValueError, TypeError, AttributeError, OverflowError, RecursionError)


def read_tflite(content: bytes) -> dict[str, ServedSignature]:
    """The signatures of a model.tflite; the name of each TensorInfo is that of a tensor of its first graph.

    Raises:
        WireError: the bytes are no TFLite file.
        ServingError: SignatureDefs in the metadata make no sense; in TensorFlow Serving's words.
    """
    from ai_edge_litert import schema_py_generated as schema

    try:
        model = schema.Model.GetRootAs(content, 0)
        graph = model.Subgraphs(0)
        inputs = list(_tensors(graph, graph.InputsAsNumpy(), schema))
        outputs = list(_tensors(graph, graph.OutputsAsNumpy(), schema))
        packed = _packed(model)
    except _LOST as error:
        raise WireError(f"the bytes are no TFLite file: {error}", hint="is it a whole file?") from error
    for side, infos in (("input", inputs), ("output", outputs)):
        for name, count in Counter(info.name for info in infos).items():
            if count > 1:
                raise wording.name_twice(side, name)
    if not packed:
        return read_signatures({DEFAULT_SIGNATURE: _by_names(inputs, outputs)})
    found = {name: _parsed(text) for name, text in packed.items()}
    for name in sorted(found):
        _fix(found[name].inputs, "input", inputs)
        _fix(found[name].outputs, "output", outputs)
    return read_signatures(found)


def _tensors(graph: Any, indices: Any, schema: Any) -> Iterator[Message]:
    """The TensorInfo of each tensor, with its dims as they stand in the file: none of them is open."""
    words = {number: name.lower() for name, number in vars(schema.TensorType).items() if name[0] != "_"}
    for index in indices if graph.TensorsLength() else ():
        tensor = graph.Tensors(int(index))
        word = words.get(tensor.Type(), str(tensor.Type()))
        if word not in BY_NAME:
            raise ValueError(f"it has a tensor of type {word}")
        info = protos.TensorInfo(name=tensor.Name().decode("utf-8", "replace"), dtype=BY_NAME[word].number)
        for at in range(tensor.ShapeLength()):
            info.tensor_shape.dim.add().size = tensor.Shape(at)
        yield info


def _packed(model: Any) -> dict[str, bytes]:
    """Serialized SignatureDefs by name."""
    from flatbuffers import flexbuffers  # type: ignore[import-untyped]

    for at in range(model.MetadataLength()):
        if model.Metadata(at).Name() == _METADATA:
            stored = flexbuffers.GetRoot(model.Buffers(model.Metadata(at).Buffer()).DataAsNumpy().tobytes()).AsMap
            return {key.AsKey: stored[key.AsKey].AsStringBytes for key in stored.Keys}
    return {}


def _parsed(text: bytes) -> Message:
    try:
        return protos.parse(protos.SignatureDef, text)
    except WireError as error:
        raise wording.signatures_invalid("Cannot parse signature def found in flatbuffer.") from error


def _by_names(inputs: Sequence[Message], outputs: Sequence[Message]) -> Message:
    """A SignatureDef of the tensors themselves, each called by its name up to the first colon.

    Of several that are called alike the last by name counts, as in the real server.
    """
    proto = protos.SignatureDef(method_name=PREDICT_METHOD)
    for side, infos in ((proto.inputs, inputs), (proto.outputs, outputs)):
        for info in sorted(infos, key=lambda info: info.name.encode()):
            side[_cut(info.name)].CopyFrom(info)
    return proto


def _fix(side: Mapping[str, Message], what: str, infos: Sequence[Message]) -> None:
    """Cuts names that the file's tensors have without the number behind the colon, as older converters wrote them."""
    known = {info.name for info in infos}
    for alias in sorted(side):
        info = side[alias]
        if info.name in known:
            continue
        if _cut(info.name) not in known:
            raise wording.tensor_unknown(what, alias, info.name)
        info.name = _cut(info.name)


def _cut(name: str) -> str:
    return name.partition(":")[0]
