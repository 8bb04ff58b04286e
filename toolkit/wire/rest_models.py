"""REST: a model's status and metadata to messages and back."""

import json
from collections.abc import Mapping
from typing import Any

from toolkit.errors import WireError
from toolkit.wire import protos
from toolkit.wire.json_reader import read_json_object
from toolkit.wire.json_writer import encode_text
from toolkit.wire.messages import ModelStatus, Target
from toolkit.wire.rpc import fill_spec, target_of
from toolkit.wire.rpc_models import read_status, signature_map, status_proto
from toolkit.wire.signatures import ServedSignature, read_signatures

_SPEC = "model_spec"
_METADATA = "metadata"
_SIGNATURES = "signature_def"


def encode_status_response(status: ModelStatus) -> bytes:
    """What a server answers to a request for a model's status."""
    return encode_text(_pretty(protos.json_of(status_proto(status))))


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def decode_status_response(body: bytes) -> ModelStatus:
    """What a client reads in a model's status.

    Raises:
        WireError: the body is no status.
    """
    return read_status(protos.parse_json_value(protos.GetModelStatusResponse, read_json_object(body)))


def encode_metadata_response(target: Target, signatures: Mapping[str, ServedSignature]) -> bytes:
    """What a server answers to a request for a model's metadata; the target names the version that was found."""
    spec = protos.ModelSpec()
    fill_spec(spec, Target(target.model, target.version))
    # The server joins two texts of its protobufs, hence the odd line breaks.
    shown = f'"{_SPEC}":{_pretty(protos.json_of(spec))},\n"{_METADATA}": '
    listed = _pretty(protos.json_of(signature_map(signatures)))
    return encode_text(f'{{\n{shown}{{"{_SIGNATURES}": {listed}}}\n}}\n')


def decode_metadata_response(body: bytes) -> tuple[Target, dict[str, ServedSignature]]:
    """What a client reads in a model's metadata: the target with its version, and the signatures.

    Raises:
        WireError: the body is no metadata.
    """
    document = read_json_object(body)
    metadata = document.get(_METADATA)
    if not isinstance(metadata, dict) or _SIGNATURES not in metadata:
        raise WireError("the model's metadata holds no signatures", hint="check what the peer speaks")
    spec = protos.parse_json_value(protos.ModelSpec, document.get(_SPEC, {}))
    listed = protos.parse_json_value(protos.SignatureDefMap, metadata[_SIGNATURES])
    return target_of(spec), read_signatures(listed.signature_def)
