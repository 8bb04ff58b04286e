"""Runs a TFLite flatbuffer in LiteRT, addressing tensors by signature name, or by their own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from toolkit.core.plugins import Opening, Runtime, Tensors
from toolkit.core.runner import FunctionRunner, Runner
from toolkit.core.tensors import Feed, Outputs, Signature, TensorSpec, dtype_name
from toolkit.errors import CatalogError, Fault, ParityError, RunError, UnavailableError, nearest
from toolkit.runtimes.inprocess.quantized import edges_of, with_float_edges
from toolkit.runtimes.split.joined import joined
from toolkit.wire import tflite_wording


def open_runner(opening: Opening) -> AbstractContextManager[Runner]:
    """A Runner over the file, and over what TensorFlow runs around it where the signature is split."""
    return joined(opening, open_file)


@contextmanager
def open_file(opening: Opening) -> Iterator[Runner]:
    """A Runner over `ai_edge_litert.interpreter.Interpreter`: its signature runner, or tensors by their names."""
    interpreter = _interpreter(opening)
    if opening.tensors is not None:
        yield FunctionRunner("tflite", opening.signature, _by_tensors(interpreter, opening.tensors))
        return
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

    def anew(feed: Feed) -> Outputs:
        return dict(call(**feed))

    def fail(error: Exception) -> RunError:
        reason = str(error).splitlines()[0]
        message = f"LiteRT cannot run {opening.path.name}: {reason}"
        return RunError(message, hint="check the shapes of the feed", fault=Fault.INVALID)

    graph = _Graph(call._interpreter_wrapper, call._subgraph_index, dict(call._inputs), dict(call._outputs), anew)
    runner = FunctionRunner("tflite", signature, _function(graph, fail))
    wanted = opening.signature
    yield with_float_edges(runner, edges_of(inputs, wanted.inputs), edges_of(outputs, wanted.outputs))


@dataclass(frozen=True)
class _Graph:
    """One graph of an open file.

    Args:
        wrapper: LiteRT's own interpreter, below its Python class.
        index: which graph.
        inputs: name to the number of the tensor.
        anew: a call that resizes and allocates.
    """

    wrapper: Any
    index: int
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]
    anew: Callable[[Feed], Outputs]


def _by_tensors(interpreter: Any, tensors: Tensors) -> Callable[[Feed], Outputs]:
    """Calls the first graph, and says what TensorFlow Serving says where that goes wrong."""
    takes = {detail["name"]: detail["index"] for detail in interpreter.get_input_details()}
    gives = {detail["name"]: detail["index"] for detail in interpreter.get_output_details()}
    inputs = {name: takes[tensor] for name, tensor in tensors.inputs.items()}
    outputs = {name: gives[tensor] for name, tensor in tensors.outputs.items()}
    wrapper = interpreter._interpreter  # what signature runners call too; the class around it counts who holds it

    def anew(feed: Feed) -> Outputs:
        for name, array in feed.items():
            with _saying(partial(tflite_wording.cannot_resize, tensors.inputs[name], array.nbytes)):
                wrapper.ResizeInputTensor(inputs[name], np.array(array.shape, np.int32), False, 0)
        with _saying(tflite_wording.cannot_allocate):
            wrapper.AllocateTensors(0)
        for name, array in feed.items():
            wrapper.SetTensor(inputs[name], array, 0)
        wrapper.Invoke(0)
        return {name: wrapper.GetTensor(index, 0) for name, index in outputs.items()}

    with _saying(tflite_wording.cannot_allocate):  # a file whose ops are not known here must not load
        wrapper.AllocateTensors(0)
    return _function(_Graph(wrapper, 0, inputs, outputs, anew), lambda error: tflite_wording.cannot_invoke(str(error)))


@contextmanager
def _saying(what: Callable[[str], RunError]) -> Iterator[None]:
    """Says what failed in TensorFlow Serving's words."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise what(str(error)) from error


def _function(graph: _Graph, fail: Callable[[Exception], RunError]) -> Callable[[Feed], Outputs]:
    """Calls a graph; again with the shapes of its last call without resizing and allocating anew.

    The public call does both every time, which costs a small model more than its computation.
    """
    at, call_anew = graph.index, graph.anew
    set_tensor, invoke, get_tensor = graph.wrapper.SetTensor, graph.wrapper.Invoke, graph.wrapper.GetTensor
    inputs, outputs = graph.inputs, tuple(graph.outputs.items())
    shapes: dict[str, tuple[int, ...]] | None = None

    def run(feed: Feed) -> Outputs:
        try:
            if shapes is None or len(feed) != len(shapes):
                return anew(feed)
            for name, array in feed.items():
                if shapes.get(name) != array.shape:
                    return anew(feed)
                set_tensor(inputs[name], array, at)
            invoke(at)
            return {name: get_tensor(index, at) for name, index in outputs}
        except (RuntimeError, ValueError) as error:
            raise fail(error) from error

    def anew(feed: Feed) -> Outputs:
        nonlocal shapes
        shapes = None
        found = call_anew(feed)
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
            f"{opening.path} does not open in LiteRT: {str(error).splitlines()[0]}",
            hint="build the bundle again" if opening.tensors is None else "is it a whole file?",
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
