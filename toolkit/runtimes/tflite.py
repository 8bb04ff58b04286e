"""Runs a TFLite flatbuffer in LiteRT, addressing tensors by signature name."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from toolkit.core.plugins import Opening, Runtime
from toolkit.core.runner import FunctionRunner, Runner
from toolkit.core.tensors import Feed, Outputs, Signature, TensorSpec, dtype_name
from toolkit.errors import CatalogError, Fault, ParityError, RunError, UnavailableError, nearest
from toolkit.runtimes.inprocess.quantized import edges_of, with_float_edges
from toolkit.runtimes.split.joined import joined


def open_runner(opening: Opening) -> AbstractContextManager[Runner]:
    """A Runner over the file, and over what TensorFlow runs around it where the signature is split."""
    return joined(opening, open_file)


@contextmanager
def open_file(opening: Opening) -> Iterator[Runner]:
    """A Runner over `ai_edge_litert.interpreter.Interpreter` and its signature runner."""
    interpreter = _interpreter(opening)
    known = interpreter.get_signature_list()
    key = opening.signature_name if opening.signature_name in known else next(iter(known), None)
    if key is None:
        raise ParityError(f"{opening.path} holds no signature, so its tensors have no names", hint="build it again")
    if key != opening.signature_name and len(known) > 1:
        raise CatalogError(
            f"{opening.path} has no signature '{opening.signature_name}'",
            hint=nearest(opening.signature_name, list(known)),
        )
    call = interpreter.get_signature_runner(key)
    inputs, outputs = call.get_input_details(), call.get_output_details()
    signature = Signature(_specs(inputs), _specs(outputs), opening.signature.method)

    def fail(error: Exception) -> RunError:
        reason = str(error).splitlines()[0]
        message = f"LiteRT cannot run {opening.path.name}: {reason}"
        return RunError(message, hint="check the shapes of the feed", fault=Fault.INVALID)

    runner = FunctionRunner("tflite", signature, _function(call, fail))
    wanted = opening.signature
    yield with_float_edges(runner, edges_of(inputs, wanted.inputs), edges_of(outputs, wanted.outputs))


def _function(call: Any, fail: Callable[[Exception], RunError]) -> Callable[[Feed], Outputs]:
    """Calls a signature; again with the shapes of its last call without resizing and allocating anew.

    The public call does both every time, which costs a small model more than its computation.
    """
    wrapper, graph = call._interpreter_wrapper, call._subgraph_index
    set_tensor, invoke, get_tensor = wrapper.SetTensor, wrapper.Invoke, wrapper.GetTensor
    inputs, outputs = dict(call._inputs), tuple(call._outputs)
    shapes: dict[str, tuple[int, ...]] | None = None

    def run(feed: Feed) -> Outputs:
        try:
            if shapes is None or len(feed) != len(shapes):
                return anew(feed)
            for name, array in feed.items():
                if shapes.get(name) != array.shape:
                    return anew(feed)
                set_tensor(inputs[name], array, graph)
            invoke(graph)
            return {name: get_tensor(index, graph) for name, index in outputs}
        except (RuntimeError, ValueError) as error:
            raise fail(error) from error

    def anew(feed: Feed) -> Outputs:
        nonlocal shapes
        shapes = None
        found = dict(call(**feed))
        shapes = {name: array.shape for name, array in feed.items()}
        return found

    return run


def faults(opening: Opening) -> Sequence[str]:
    """Another signature's name, ops that need another runtime, and variables whose weights were left behind."""
    interpreter = _interpreter(opening)
    ops = {detail["op_name"] for detail in interpreter._get_ops_details()}  # the only list of ops there is
    found = [
        f"{op} needs TensorFlow's own kernels, which a plain runtime lacks"
        for op in sorted(ops)
        if op.startswith("Flex")
    ]
    known = interpreter.get_signature_list()
    if opening.signature_name not in known:
        found.append(f"it answers to {', '.join(known) or 'no signature'}, not to '{opening.signature_name}'")
    if "VAR_HANDLE" in ops and "CALL_ONCE" not in ops:
        found.append("VAR_HANDLE reads variables that the file does not hold: the weights were left behind")
    return found


def _interpreter(opening: Opening) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise UnavailableError("LiteRT is not installed", hint="pip install ai-edge-litert") from error
    try:
        return Interpreter(model_path=str(opening.path), num_threads=opening.threads)
    except (RuntimeError, ValueError) as error:
        raise ParityError(
            f"{opening.path} does not open in LiteRT: {str(error).splitlines()[0]}", hint="build the bundle again"
        ) from error


def _specs(details: dict[str, Any]) -> dict[str, TensorSpec]:
    return {
        name: TensorSpec(dtype_name(detail["dtype"]), tuple(int(dim) for dim in detail["shape_signature"]))
        for name, detail in details.items()
    }


RUNTIME = Runtime(
    name="tflite",
    opens=("tflite",),
    open=open_runner,
    faults=faults,
    concurrent=False,
    computes=True,
    libraries=("ai_edge_litert.interpreter",),
)
