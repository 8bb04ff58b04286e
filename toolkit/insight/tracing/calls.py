"""The calls that a model's function is watched under: the author's script, or its samples in several forms."""

import runpy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.building.blame import first_line, own_frame
from toolkit.building.calling import Call
from toolkit.building.samples import Sampler
from toolkit.core.tensors import Array
from toolkit.errors import ToolkitError, UsageError
from toolkit.insight.tracing.retracing import Recorder

BATCH_SIZES = (1, 2, 7, 1)
_ENTRY = "calls"
# What people feed in place of the declared dtype without noticing: NumPy's own defaults.
_WIDER = {"float32": "float64", "int32": "int64"}


@dataclass(frozen=True)
class Subject:
    """A signature of a model as its caller has it.

    Args:
        name: how the function is written in advice.
        call: what takes the declared tensors.
        sampler: batch size and seed to a flat feed.
    """

    name: str
    call: Call
    sampler: Sampler

    def function(self) -> Any:
        """The model's own tf.function, or one around it."""
        import tensorflow as tf

        own: Any = self.call.function
        if hasattr(own, "experimental_get_tracing_count"):
            return own
        # A tf.Module whose __call__ is a tf.function.
        method = own.__call__ if callable(own) else own
        return method if hasattr(method, "experimental_get_tracing_count") else tf.function(own)


def watch(subject: Subject, script: Path | None = None) -> Recorder:
    """Calls the subject's function and records every trace.

    Raises:
        UsageError: the script is none, or raises.
        ToolkitError: the model cannot be traced as its own samples call it.
    """
    recorder = Recorder(subject.function(), subject.name)
    if script is not None:
        _run(script, recorder)
        return recorder
    for needed, arguments in _sampled(subject):
        try:
            recorder(**arguments)
        except Exception as error:  # tracing runs the author's code, which can raise anything
            if needed:
                raise UsageError(
                    f"'{subject.name}' cannot be called with its own samples: {first_line(error)}",
                    hint=f"see {own_frame(error)}",
                ) from error
            # A dtype that the model refuses is no trace too many, and the recorder has noted it.
    return recorder


def _sampled(subject: Subject) -> Iterator[tuple[bool, Mapping[str, Any]]]:
    """Whether a call has to work, and its arguments: several batch sizes, other dtypes, Python numbers."""
    for batch_size in BATCH_SIZES:
        yield True, _packed(subject, subject.sampler(batch_size, 0))
    feed = subject.sampler(1, 0)
    specs = subject.call.flat_inputs
    for name, spec in specs.items():
        if spec.dtype in _WIDER:
            yield False, _packed(subject, feed | {name: np.asarray(feed[name]).astype(_WIDER[spec.dtype])}, name)
    for name, spec in specs.items():
        if spec.shape == () and spec.dtype != "string":
            for more in (0, 1):
                number = np.asarray(feed[name]).item() + more
                yield False, {**_packed(subject, feed), name: number}


def _packed(subject: Subject, feed: Mapping[str, Array], as_is: str = "") -> Mapping[str, Any]:
    import tensorflow as tf

    specs = subject.call.flat_inputs
    tensors = {
        name: tf.constant(value) if name == as_is else tf.constant(value, specs[name].dtype)
        for name, value in feed.items()
    }
    return subject.call.pack(tensors)


def _run(script: Path, recorder: Recorder) -> None:
    if not script.is_file():
        raise UsageError(f"there is no file {script}", hint=f"a Python file that defines {_ENTRY}(function)")
    try:
        _entry(script)(recorder)
    except ToolkitError:
        raise
    except (Exception, SystemExit) as error:  # a user's script can raise anything
        raise UsageError(
            f"{script} raised {type(error).__name__}: {first_line(error)}", hint=f"see {own_frame(error)}"
        ) from error
    if not recorder.calls:
        raise UsageError(f"{_ENTRY} of {script} did not call the function", hint="call what it is given")


def _entry(script: Path) -> Callable[[Any], object]:
    entry = runpy.run_path(str(script)).get(_ENTRY)
    if not callable(entry):
        raise UsageError(f"{script} defines no {_ENTRY}(function)", hint="it is given the model's tf.function")
    found: Callable[[Any], object] = entry
    return found
