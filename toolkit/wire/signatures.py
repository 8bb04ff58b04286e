"""What a served model says of its signatures: SignatureDef to plain data, and toolkit's own signature as one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from toolkit.core.plugins import SERVE, Tensors
from toolkit.core.tensors import METHODS, Shape, Signature, TensorSpec
from toolkit.errors import Fault, WireError
from toolkit.wire import protos
from toolkit.wire.dtypes import BY_NAME, BY_NUMBER, dtype_word, plain_number
from toolkit.wire.protos import Message

PREDICT_METHOD = "tensorflow/serving/predict"
CLASSIFY_METHOD = "tensorflow/serving/classify"
REGRESS_METHOD = "tensorflow/serving/regress"
_METHOD_NAMES = {"predict": PREDICT_METHOD, "classify": CLASSIFY_METHOD, "regress": REGRESS_METHOD}

METHOD_WORDS: Mapping[str, str] = MappingProxyType({wire: name for name, wire in _METHOD_NAMES.items()})


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor of a signature: its name in the graph, the number of its dtype, its shape (None: open rank)."""

    name: str
    number: int
    shape: Shape

    @property
    def word(self) -> str:
        """TensorFlow's word for the dtype."""
        return dtype_word(self.number)

    @property
    def dtype(self) -> str | None:
        """Toolkit's name of the dtype; None where no array can hold it."""
        known = BY_NUMBER.get(plain_number(self.number))
        return known.name if known else None


@dataclass(frozen=True)
class ServedSignature:
    """A signature as it is served; its proto is what metadata shows and some answers print."""

    name: str
    method: str
    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]
    proto: Message = field(repr=False, compare=False)

    @property
    def defaults(self) -> Mapping[str, Message]:
        """TensorProtos that stand in for inputs a request leaves out."""
        return self.proto.defaults

    def debug_text(self) -> str:
        """The proto as the server prints it in an answer.

        The server's own text starts with a marker and random spaces, so that nobody reads it by machine.
        """
        return f"goo.gle/debugproto  \n{protos.text_of(self.proto)}"

    def as_signature(self) -> Signature:
        """The same as toolkit's signature, for a runner.

        Raises:
            WireError: a tensor has a dtype that no array can hold.
        """
        return Signature(
            inputs={name: _spec(name, info) for name, info in self.inputs.items()},
            outputs={name: _spec(name, info) for name, info in self.outputs.items()},
            method=METHOD_WORDS.get(self.method, METHODS[0]),
        )

    def tensors(self) -> Tensors:
        """Which tensor of the model each name stands for."""
        inputs, outputs = ({name: info.name for name, info in side.items()} for side in (self.inputs, self.outputs))
        return Tensors(inputs, outputs)


def read_signature(name: str, proto: Message) -> ServedSignature:
    """The plain data of a SignatureDef; inputs and outputs in the order of their names."""
    return ServedSignature(name, proto.method_name, _infos(proto.inputs), _infos(proto.outputs), proto)


def read_signatures(signature_defs: Mapping[str, Message]) -> dict[str, ServedSignature]:
    """All signatures of a MetaGraphDef's signature_def, or of a SignatureDefMap's."""
    return {name: read_signature(name, signature_defs[name]) for name in sorted(signature_defs)}


def read_saved_model(content: bytes, tags: Sequence[str] = SERVE) -> dict[str, ServedSignature]:
    """The signatures of a saved_model.pb, without TensorFlow.

    Raises:
        WireError: the bytes are no SavedModel, or none of its graphs has these tags and no other; then in
            TensorFlow's words.
    """
    return tagged_signatures(protos.parse(protos.SavedModel, content), tags)


def tagged_signatures(saved: Message, tags: Sequence[str]) -> dict[str, ServedSignature]:
    """The signatures of a SavedModel's graph with these tags; raises as read_saved_model does."""
    for graph in saved.meta_graphs:
        if set(graph.meta_info_def.tags) == set(tags):
            return read_signatures(graph.signature_def)
    raise WireError(
        f"Could not find meta graph def matching supplied tags: {{ {' '.join(tags)} }}. To inspect available tag-sets "
        "in the SavedModel, please use the SavedModel CLI: `saved_model_cli`",
        hint="export it for serving, or name its tags in --saved_model_tags",
        fault=Fault.NOT_FOUND,
    )


def _infos(tensors: Mapping[str, Message]) -> Mapping[str, TensorInfo]:
    return MappingProxyType({name: _info(tensors[name]) for name in sorted(tensors)})


def _info(proto: Message) -> TensorInfo:
    if proto.tensor_shape.unknown_rank:
        return TensorInfo(proto.name, proto.dtype, None)
    dims = tuple(None if dim.size < 0 else dim.size for dim in proto.tensor_shape.dim)
    return TensorInfo(proto.name, proto.dtype, dims)


def _spec(name: str, info: TensorInfo) -> TensorSpec:
    if info.dtype is None:
        raise WireError(f"tensor '{name}' has dtype {info.word}", hint="no array holds it; use another signature")
    return TensorSpec(info.dtype, info.shape)


def write_signature(name: str, signature: Signature) -> ServedSignature:
    """A toolkit signature as a served one, for models that are no SavedModel; tensors are named as TensorFlow would."""
    proto = protos.SignatureDef(method_name=_METHOD_NAMES[signature.method])
    for input_name, spec in signature.inputs.items():
        _fill_info(proto.inputs[input_name], f"{name}_{input_name}:0", spec)
    for index, (output_name, spec) in enumerate(signature.outputs.items()):
        _fill_info(proto.outputs[output_name], f"StatefulPartitionedCall:{index}", spec)
    return read_signature(name, proto)


def _fill_info(proto: Message, tensor_name: str, spec: TensorSpec) -> None:
    proto.name = tensor_name
    proto.dtype = BY_NAME[spec.dtype].number
    proto.tensor_shape.SetInParent()
    if spec.shape is None:
        proto.tensor_shape.unknown_rank = True
        return
    for dim in spec.shape:
        proto.tensor_shape.dim.add().size = -1 if dim is None else dim
