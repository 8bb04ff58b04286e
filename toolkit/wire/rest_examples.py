"""REST: the bodies of :classify and :regress to messages and back."""

import base64
import json
from dataclasses import replace
from typing import Any

import numpy as np

from toolkit.core.tensors import Array
from toolkit.errors import WireError
from toolkit.wire import protos
from toolkit.wire.json_arrays import decode_base64, is_base64_object, type_name
from toolkit.wire.json_reader import read_exactly, read_json_object, shows_fraction
from toolkit.wire.json_scanner import as_c_string, members
from toolkit.wire.json_writer import debug_text, encode_text, number_texts, quote
from toolkit.wire.messages import ClassifyResponse, ExamplesRequest, RegressResponse, Target
from toolkit.wire.protos import Message, parse, serialize
from toolkit.wire.rest_predict import read_signature_name

_CONTEXT = "context"
_EXAMPLES = "examples"
_RESULTS = "results"
_BYTES, _FLOATS, _INTEGERS = "bytes_list", "float_list", "int64_list"
_KIND_WORDS = {_BYTES: "bytes", _FLOATS: "float", _INTEGERS: "int64"}
_MAX_INTEGER = 2**63 - 1


def decode_examples_request(target: Target, body: bytes) -> ExamplesRequest:
    """What a server reads in the body of :classify or :regress.

    Raises:
        WireError: the body holds no examples; in the server's words.
    """
    document = read_json_object(body)
    try:
        return _examples_request(target, document, body)
    except WireError as error:
        if not shows_fraction(error):
            raise
    return _examples_request(target, read_exactly(document, body), body)


def _examples_request(target: Target, document: dict[str, Any], body: bytes) -> ExamplesRequest:
    signature = read_signature_name(document, body)
    context = serialize(_example(document[_CONTEXT])) if _CONTEXT in document else b""
    if _EXAMPLES not in document:
        # The server says "classify" to a request for :regress too.
        raise _misformed(document, "When method is classify, key 'examples' is expected and was not found")
    examples = document[_EXAMPLES]
    if not isinstance(examples, list):
        raise _misformed(document, "Expecting 'examples' value to be an list/array")
    if not examples:
        raise _misformed(document, "'examples' value is an empty array")
    encoded = tuple(context + serialize(_example(example)) for example in examples)
    return ExamplesRequest(replace(target, signature=signature), encoded)


def _misformed(document: dict[str, Any], problem: str) -> WireError:
    return WireError(f"JSON Value: {debug_text(document)} {problem}", hint='send {"examples": [{…}, …]}')


def _example(value: Any) -> Message:
    if not isinstance(value, dict):
        raise WireError(
            f"Example must be JSON object but got JSON {type_name(value)}", hint="an example maps features to values"
        )
    proto = protos.Example()
    features = proto.features.feature
    for full_name, content in members(value):
        name = as_c_string(full_name)
        key = name.encode("utf-8", "replace").decode()
        features[key].Clear()
        for item in content if isinstance(content, list) else (content,):
            _add(features[key], name, item)
    return proto


def _add(feature: Message, name: str, value: Any) -> None:
    kind = _kind(name, value)
    given = feature.WhichOneof("kind")
    if given not in (None, kind):
        raise WireError(
            f"Unexpected element type in feature: {name} expecting type: {_KIND_WORDS[given]}",
            hint="give a feature values of one type; floats need a decimal point",
        )
    if kind == _INTEGERS and value > _MAX_INTEGER:
        raise WireError(
            f"Feature: {name} has uint64_t element. Only int64_t is supported.", hint="send integers below 2^63"
        )
    if kind == _BYTES:
        value = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else decode_base64(value)
    getattr(feature, kind).value.append(int(value) if kind == _INTEGERS else value)


def _kind(name: str, value: Any) -> str:
    if isinstance(value, bool | int):
        return _INTEGERS
    if isinstance(value, float):
        return _FLOATS
    if isinstance(value, str) or is_base64_object(value):
        return _BYTES
    raise WireError(
        f"Feature: {name} has element with unexpected JSON type: {type_name(value)}",
        hint="a feature is a value or a list of values",
    )


def encode_examples_request(request: ExamplesRequest) -> bytes:
    """What a client sends to :classify or :regress.

    Raises:
        WireError: an example is no tf.Example.
    """
    document: dict[str, Any] = {"signature_name": request.target.signature} if request.target.signature else {}
    document[_EXAMPLES] = [_example_json(parse(protos.Example, example)) for example in request.examples]
    return json.dumps(document).encode()


def _example_json(proto: Message) -> dict[str, Any]:
    features = proto.features.feature
    return {name: _feature_json(features[name]) for name in features}


def _feature_json(feature: Message) -> list[Any]:
    kind = feature.WhichOneof("kind")
    if kind is None:
        return []
    values = list(getattr(feature, kind).value)
    return [{"b64": base64.b64encode(value).decode()} for value in values] if kind == _BYTES else values


def encode_classify_response(response: ClassifyResponse) -> bytes:
    """What a server answers to :classify."""
    given = response.labels if response.labels is not None else response.scores
    rows, width = (0, 0) if given is None else given.shape
    labels = ['""'] * (rows * width)
    if response.labels is not None:
        labels = [quote(label.decode("utf-8", "surrogateescape")) for label in response.labels.ravel().tolist()]
    scores = ["0.0"] * (rows * width) if response.scores is None else number_texts(response.scores)
    pairs = [f"[{label}, {score}]" for label, score in zip(labels, scores, strict=True)]
    lines = [f"[{', '.join(pairs[at * width : (at + 1) * width])}]" for at in range(rows)]
    return encode_text(f'{{\n    "{_RESULTS}": [{", ".join(lines)}\n    ]\n}}')


def encode_regress_response(response: RegressResponse) -> bytes:
    """What a server answers to :regress."""
    return encode_text(f'{{\n    "{_RESULTS}": [{", ".join(number_texts(response.values))}]\n}}')


def decode_classify_response(target: Target, body: bytes) -> ClassifyResponse:
    """What a client reads in the answer of :classify.

    Raises:
        WireError: the body is no such answer.
    """
    rows = _results(body)
    width = len(rows[0]) if rows and isinstance(rows[0], list) else 0
    labels = np.empty((len(rows), width), object)
    scores = np.empty((len(rows), width), np.float32)
    for index, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != width or not all(map(_is_pair, row)):
            raise _no_answer()
        labels[index] = [label.encode("utf-8", "surrogateescape") for label, _ in row]
        scores[index] = _float32([score for _, score in row])
    return ClassifyResponse(target, labels, scores)


def decode_regress_response(target: Target, body: bytes) -> RegressResponse:
    """What a client reads in the answer of :regress.

    Raises:
        WireError: the body is no such answer.
    """
    values = _results(body)
    if not all(map(_is_number, values)):
        raise _no_answer()
    return RegressResponse(target, _float32(values))


def _results(body: bytes) -> list[Any]:
    results = read_json_object(body).get(_RESULTS)
    if not isinstance(results, list):
        raise _no_answer()
    return results


def _no_answer() -> WireError:
    return WireError("the answer holds no results", hint="check what the peer speaks")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and _is_number(value[1])


def _float32(values: list[Any]) -> Array:
    with np.errstate(over="ignore"):
        return np.array(values, np.float64).astype(np.float32)
