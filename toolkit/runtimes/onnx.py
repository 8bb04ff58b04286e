"""Runs an ONNX file in onnxruntime."""

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from toolkit.core.plugins import Opening, Runtime
from toolkit.core.runner import FunctionRunner, Runner
from toolkit.core.tensors import Feed, Outputs, Signature, TensorSpec, as_array
from toolkit.errors import Fault, ParityError, RunError, UnavailableError
from toolkit.formats.rewrites.state import CARRIED_STATE
from toolkit.runtimes.inprocess.carried import carried
from toolkit.runtimes.inprocess.onnx_outline import LARGE_BYTES, outline
from toolkit.runtimes.split.joined import joined

# An output called like an input carries this mark in the file, since one ONNX graph cannot hold both names.
MARK = "__out"
_TYPES = {"float": "float32", "double": "float64"}


def open_runner(opening: Opening) -> AbstractContextManager[Runner]:
    """A Runner over the file, and over what TensorFlow runs around it where the signature is split."""
    return joined(opening, open_file)


@contextmanager
def open_file(opening: Opening) -> Iterator[Runner]:
    """A Runner over one InferenceSession on the CPU."""
    session = _session(opening)
    pairs = json.loads(session.get_modelmeta().custom_metadata_map.get(CARRIED_STATE, "{}"))
    outputs = [value for value in session.get_outputs() if value.name not in pairs.values()]
    ours = {value.name: value.name.removesuffix(MARK) for value in outputs}
    signature = Signature(
        {value.name: _spec(value) for value in session.get_inputs()},
        {ours[value.name]: _spec(value) for value in outputs},
        opening.signature.method,
    )
    names, run_session = list(ours), carried(session.run, pairs) if pairs else session.run
    strings = [name for name, spec in signature.outputs.items() if spec.dtype == "string"]

    def run(feed: Feed) -> Outputs:
        try:
            found = dict(zip(ours.values(), run_session(names, dict(feed)), strict=True))
        except Exception as error:  # onnxruntime's errors have no public common class
            reason = str(error).splitlines()[0]
            raise RunError(
                f"onnxruntime cannot run {opening.path.name}: {reason}",
                hint="check the shapes of the feed",
                fault=Fault.INVALID,
            ) from error
        return found | {name: as_array(found[name], "string") for name in strings}

    yield FunctionRunner("onnx", signature, run)


def faults(opening: Opening) -> Sequence[str]:
    """What onnx.checker with full shape inference finds."""
    import onnx

    try:
        # It would hold all weights twice, and looks into none that is large.
        large = opening.path.stat().st_size > LARGE_BYTES
        onnx.checker.check_model(outline(opening.path) if large else str(opening.path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError, RuntimeError) as error:
        return [f"onnx.checker: {' '.join(str(error).split()):.400}"]  # its last line names the node
    return []


def _session(opening: Opening) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise UnavailableError("onnxruntime is not installed", hint="pip install onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its warnings go straight to file descriptor 2
    if opening.threads:
        options.intra_op_num_threads = opening.threads
    try:
        return onnxruntime.InferenceSession(str(opening.path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no public common class
        raise ParityError(
            f"{opening.path} does not open in onnxruntime: {str(error).splitlines()[0]}", hint="build the bundle again"
        ) from error


def _spec(value: Any) -> TensorSpec:
    kind = value.type.removeprefix("tensor(").removesuffix(")")
    shape = tuple(dim if isinstance(dim, int) else None for dim in value.shape)
    return TensorSpec(_TYPES.get(kind, kind), shape)


RUNTIME = Runtime(
    name="onnx", opens=("onnx",), open=open_runner, faults=faults, computes=True, libraries=("onnxruntime",)
)
