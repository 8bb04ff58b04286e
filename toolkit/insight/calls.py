"""Writes a signature as one would call it: a gRPC client, curl, and toolkit's own Python call, ready to be pasted."""

import json
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from toolkit.core.model import DEFAULT_SIGNATURE
from toolkit.core.tensors import NUMPY_DTYPES, composite_parts
from toolkit.insight.inspection import Call, Inspection, Tensor

GRPC_ADDRESS, REST_ADDRESS = "localhost:8500", "localhost:8501"
# More values than this are written as an expression that makes them.
_SPELLED_OUT = 16
_OPEN_DIM = 8  # as toolkit's own made-up feeds have it; the batch is 1


@dataclass(frozen=True)
class Ready:
    """One signature's calls.

    Args:
        grpc: a Python program over TensorFlow Serving's own client library, for any server of its protocol.
        curl: a command line, likewise.
        python: toolkit's call of the same server.
    """

    grpc: str = ""
    curl: str = ""
    python: str = ""


Value = tuple[tuple[int, ...], Any]
# Method to the module of its messages, and what their names begin with.
_EXAMPLE_CALLS = {"classify": ("classification", "Classification"), "regress": ("regression", "Regression")}
# tf.Example has a list for each of three kinds (tensorflow/core/example/feature.proto).
_LISTS = {"float32": "float_list", "int64": "int64_list", "string": "bytes_list"}


def ready_calls(found: Inspection, grpc: str = GRPC_ADDRESS, rest: str = REST_ADDRESS) -> dict[str, Ready]:
    """Signature to its calls; one whose tensors no client can write has none.

    Args:
        found: the artifact.
        grpc: where a server will answer gRPC.
        rest: where it will answer REST.
    """
    if found.format == "keras":
        return {name: Ready(python=_keras(found, call)) for name, call in found.signatures.items() if _writable(call)}
    calls = {}
    for name, call in found.signatures.items():
        if _writable(call):
            make = _for_predict if call.method == "predict" else _for_examples
            calls[name] = make(_Target(found.model, name, grpc, rest), call)
    return calls


@dataclass(frozen=True)
class _Target:
    model: str
    signature: str
    grpc: str
    rest: str

    @property
    def url(self) -> str:
        named = "" if self.signature == DEFAULT_SIGNATURE else f":{quote(self.signature, safe='')}"
        return f"grpc://{self.grpc}/{quote(self.model, safe='')}{named}"

    def rest_url(self, verb: str) -> str:
        return f"http://{self.rest}/v1/models/{quote(self.model, safe='')}:{verb}"


def _writable(call: Call) -> bool:
    tensors = [*call.inputs.values(), *call.features.values()]
    known = all(tensor.dtype in NUMPY_DTYPES and not tensor.dtype.startswith("complex") for tensor in tensors)
    one = len(call.inputs) == 1 and next(iter(call.inputs.values())).dtype == "string"
    told = one and bool(call.features) and all(tensor.dtype in _LISTS for tensor in call.features.values())
    return known and (call.method == "predict" or told)


def _for_predict(target: _Target, call: Call) -> Ready:
    values = {name: _value(name, tensor, call.inputs) for name, tensor in call.inputs.items()}
    arrays = {name: _array(call.inputs[name].dtype, *value) for name, value in values.items()}
    lines = [f"request.inputs[{name!r}].CopyFrom(tf.make_tensor_proto({array}))" for name, array in arrays.items()]
    feed = ", ".join(f"{name!r}: {array}" for name, array in arrays.items())
    return Ready(
        grpc=_program(target, "predict", ("PredictRequest", "Predict"), lines),
        curl=_curl(target, "predict", "inputs", values),
        python="\n".join(
            [*_arrays_need([feed]), f"import toolkit\n\nprint(toolkit.predict({target.url!r}, {{{feed}}}))"]
        ),
    )


def _for_examples(target: _Target, call: Call) -> Ready:
    module, answer = _EXAMPLE_CALLS[call.method]
    shapes = {name: tuple(_sizes(tensor.shape or (), 1)) for name, tensor in call.features.items()}
    ones = {name: _one(tensor.dtype) for name, tensor in call.features.items()}
    fill = [
        f"example.features.feature[{name!r}].{_LISTS[tensor.dtype]}.value[:] = {_flat(shapes[name], ones[name])}"
        for name, tensor in call.features.items()
    ]
    example = {name: ((math.prod(shape),) if shape else (), ones[name]) for name, shape in shapes.items()}
    feed = f"{{{next(iter(call.inputs))!r}: np.array([example.SerializeToString()], object)}}"
    return Ready(
        grpc=_program(
            target,
            module,
            (f"{answer}Request", call.method.capitalize()),
            ["example = request.input.example_list.examples.add()", *fill],
        ),
        curl=_curl(target, call.method, "examples", example),
        python="\n".join(
            [
                "import numpy as np",
                "import tensorflow as tf",
                "import toolkit",
                "",
                "example = tf.train.Example()",
                *fill,
                f"print(toolkit.predict({target.url!r}, {feed}))",
            ]
        ),
    )


def _sizes(shape: Sequence[int | str | None], otherwise: int) -> Iterator[int]:
    return (dim if isinstance(dim, int) else otherwise for dim in shape)


def _program(target: _Target, module: str, names: tuple[str, str], lines: list[str]) -> str:
    request, method = names
    imports = ["import grpc"]
    if module == "predict":
        imports += [*_arrays_need(lines), "import tensorflow as tf"]
    return "\n".join(
        [
            *imports,
            f"from tensorflow_serving.apis import {module}_pb2, prediction_service_pb2_grpc",
            "",
            f"request = {module}_pb2.{request}()",
            f"request.model_spec.name = {target.model!r}",
            f"request.model_spec.signature_name = {target.signature!r}",
            *lines,
            f"with grpc.insecure_channel({target.grpc!r}) as channel:",
            f"    print(prediction_service_pb2_grpc.PredictionServiceStub(channel).{method}(request, timeout=10))",
        ]
    )


def _curl(target: _Target, verb: str, key: str, values: Mapping[str, Value]) -> str:
    """A body that is long is made by a line of Python."""
    named = "" if target.signature == DEFAULT_SIGNATURE else f'"signature_name": {json.dumps(target.signature)}, '
    if sum(math.prod(shape) for shape, _ in values.values()) <= _SPELLED_OUT:
        body = json.dumps({name: _nested(*value) for name, value in values.items()}, ensure_ascii=False)
        body = f"[{body}]" if key == "examples" else body
        return f"curl -s -d {shlex.quote(f'{{{named}{json.dumps(key)}: {body}}}')} {shlex.quote(target.rest_url(verb))}"
    body = ", ".join(f"{json.dumps(name)}: {_expression(*value)}" for name, value in values.items())
    body = f"[{{{body}}}]" if key == "examples" else f"{{{body}}}"
    program = f"import json; print(json.dumps({{{named}{json.dumps(key)}: {body}}}))"
    return f"python3 -c {shlex.quote(program)} | curl -s -d @- {shlex.quote(target.rest_url(verb))}"


def _keras(found: Inspection, call: Call) -> str:
    values = {name: _value(name, tensor, call.inputs) for name, tensor in call.inputs.items()}
    arrays = {name: _array(call.inputs[name].dtype, *value) for name, value in values.items()}
    only = next(iter(arrays.values())) if len(arrays) == 1 else None
    feed = only or "{" + ", ".join(f"{name!r}: {array}" for name, array in arrays.items()) + "}"
    return f"import keras\nimport numpy as np\n\nprint(keras.saving.load_model({found.path!r})({feed}))"


def _value(name: str, tensor: Tensor, inputs: Mapping[str, Tensor]) -> Value:
    """The shape of a batch of one, and the value everywhere in it, or the whole of it as a list."""
    if name in composite_parts(inputs):
        return _part(name, tensor)
    dims = (None,) if tensor.shape is None else tensor.shape
    return tuple(dim if isinstance(dim, int) else (_OPEN_DIM if at else 1) for at, dim in enumerate(dims)), _one(
        tensor.dtype
    )


def _part(name: str, tensor: Tensor) -> Value:
    """A part of a ragged or sparse tensor with one value."""
    if "_row_splits" in name:
        return (2,), [0, 1]
    if name.endswith("_dense_shape"):
        size = next((dim for dim in tensor.shape or () if isinstance(dim, int)), 2)
        return (size,), [1] * size
    shape = tuple(_sizes(tensor.shape or (None,), 1))
    return shape, [[0] * shape[-1]] if name.endswith("_indices") else _one(tensor.dtype)


def _one(dtype: str) -> str | bool | int | float:
    if dtype == "string":
        return "some text"
    return True if dtype == "bool" else 0.5 if "float" in dtype else 1


def _array(dtype: str, shape: tuple[int, ...], value: Any) -> str:
    kind = {"string": "object", "bfloat16": "ml_dtypes.bfloat16"}.get(dtype, repr(dtype))
    return f"np.array({value!r}, {kind})" if isinstance(value, list) else f"np.full({shape!r}, {value!r}, {kind})"


def _arrays_need(lines: list[str]) -> list[str]:
    extra = any("ml_dtypes." in line for line in lines)
    return ["import ml_dtypes", "import numpy as np"] if extra else ["import numpy as np"]


def _nested(shape: tuple[int, ...], value: Any) -> Any:
    if isinstance(value, list):
        return value
    for size in reversed(shape):
        value = [value] * size
    return value


def _expression(shape: tuple[int, ...], value: Any) -> str:
    """What makes the nested lists, in Python: `[[[0.5] * 28] * 28]`."""
    text = repr(value)
    for size in () if isinstance(value, list) else reversed(shape):
        text = f"[{text}]" if size == 1 else f"[{text}] * {size}"
    return text


def _flat(shape: tuple[int, ...], value: Any) -> str:
    text = f"{value!r}.encode()" if isinstance(value, str) else repr(value)
    size = math.prod(shape)
    return f"[{text}]" if size == 1 else f"[{text}] * {size}"
