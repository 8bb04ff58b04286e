"""Each kind of retrace gets a line of code, and that line, applied, spares it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from toolkit.building.calling import Call
from toolkit.core.tensors import Signature, TensorSpec, sample_feed
from toolkit.errors import UsageError
from toolkit.insight.tracing.calls import Subject, watch
from toolkit.insight.tracing.retracing import Recorder


def scaled(x: Any, n: Any = 2) -> Any:
    return x * tf.cast(n, x.dtype)


def recorded(function: Callable[..., Any], *calls: tuple[Any, ...]) -> Recorder:
    recorder = Recorder(function, "f")
    for arguments in calls:
        recorder(*arguments)
    return recorder


def subject(function: Callable[..., Any], **inputs: TensorSpec) -> Subject:
    call = Call(inputs, function)
    return Subject("f", call, lambda batch_size, seed: sample_feed(Signature(inputs), batch_size, seed))


def test_the_first_call_is_the_first_trace_and_the_second_costs_none() -> None:
    found = recorded(tf.function(scaled), (tf.ones(2),), (tf.ones(2),))
    assert [(trace.call, trace.reason, trace.advice) for trace in found.traces] == [(1, "the first call", "")]
    assert found.calls == 2
    assert found.traces[0].seconds > 0


def test_the_signature_in_the_advice_spares_the_traces() -> None:
    calls = [(tf.ones([rows, 3]), tf.ones(3)) for rows in (2, 5, 7)]
    found = recorded(tf.function(lambda x, y: x + y), *calls)
    assert [trace.reason for trace in found.traces][1:] == [
        "x: shape float32[2, 3] -> float32[5, 3]",
        "x: shape float32[5, 3] -> float32[7, 3]",
    ]
    names: dict[str, Any] = {"tf": tf, "f": lambda x, y: x + y}
    exec(found.traces[1].advice, names)  # the line that people are given
    assert len(recorded(names["f"], *calls).traces) == 1


def test_beside_a_python_argument_shapes_are_relaxed() -> None:
    found = recorded(tf.function(scaled), (tf.ones(2), 2), (tf.ones(3), 2))
    assert found.traces[1].advice == "f = tf.function(f, reduce_retracing=True)"


TENSOR = "  # always a tensor: one trace for all values"


@pytest.mark.parametrize(
    ("calls", "advice"),
    [
        ([(tf.ones(2), 2), (tf.ones(2), 3)], f"n=tf.constant(3){TENSOR}"),
        (
            [(tf.ones(2), 2), (tf.ones(2), tf.constant(2.0))],
            f"n=tf.constant(2){TENSOR}",
        ),
        ([(tf.ones(2),), (tf.ones(2, tf.float64),)], "x=tf.cast(x, tf.float32)"),
    ],
)
def test_each_cause_has_its_line(calls: list[tuple[Any, ...]], advice: str) -> None:
    assert recorded(tf.function(scaled), *calls).traces[1].advice == advice


def test_variables_made_in_the_first_call_are_told() -> None:
    class Lazy(tf.Module):
        weight: Any = None

        def __call__(self, x: Any) -> Any:
            if self.weight is None:
                self.weight = tf.Variable(2.0)
            return x * self.weight

    found = recorded(tf.function(Lazy()), (tf.ones(2),))
    assert [trace.reason for trace in found.traces] == [
        "the first call",
        "the first call made variables, so it was traced again",
    ]


def test_samples_are_called_in_several_batch_sizes_and_dtypes() -> None:
    found = watch(subject(scaled, x=TensorSpec("float32", (None, 3))))
    assert [trace.reason.split(" ")[1] for trace in found.traces[1:]] == ["shape", "shape", "dtype"]
    assert found.calls == 5


def test_a_scalar_is_called_as_a_python_number_too() -> None:
    found = watch(subject(scaled, x=TensorSpec("float32", (None,)), n=TensorSpec("int32", ())))
    reasons = [trace.reason for trace in found.traces]
    assert sum("Python int" in reason for reason in reasons) == 2


def test_a_model_with_its_own_signature_is_traced_once() -> None:
    class Served(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 3], name="x")])
        def __call__(self, x: Any) -> Any:
            return x * 2.0

    found = watch(subject(Served(), x=TensorSpec("float32", (None, 3))))
    assert len(found.traces) == 1


def test_a_dtype_that_the_model_refuses_is_noted() -> None:
    weight = tf.constant([1.0, 2.0, 3.0])
    found = watch(subject(lambda x: x * weight, x=TensorSpec("float32", (None, 3))))
    (failure,) = found.failures
    assert failure.startswith("call 5: ")
    assert "float64" in failure


def test_a_script_calls_as_production_does(tmp_path: Path) -> None:
    script = tmp_path / "calls.py"
    script.write_text(
        "import tensorflow as tf\ndef calls(function):\n    for n in (1, 2, 3): function(x=tf.ones([4]), n=n)\n"
    )
    found = watch(subject(scaled, x=TensorSpec("float32", (None,)), n=TensorSpec("int32", ())), script)
    assert [trace.reason for trace in found.traces[1:]] == [
        "n: value Python int 1 -> Python int 2",
        "n: value Python int 2 -> Python int 3",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "there is no file"),
        ("x = 1", "defines no calls"),
        ("def calls(function):\n    pass", "did not call the function"),
        ("def calls(function):\n    raise KeyError('a')", "raised KeyError: 'a'"),
        ("def calls(", "raised SyntaxError"),
        ("import sys\nsys.exit(3)", "raised SystemExit"),
    ],
)
def test_a_script_that_is_none_is_told(tmp_path: Path, text: str | None, said: str) -> None:
    script = tmp_path / "calls.py"
    if text is not None:
        script.write_text(text)
    with pytest.raises(UsageError, match=said):
        watch(subject(scaled, x=TensorSpec("float32", (None,))), script)


def test_samples_that_the_model_refuses_are_told() -> None:
    def refusing(x: Any) -> Any:
        raise ValueError("not like this")

    with pytest.raises(UsageError, match=r"cannot be called with its own samples: .*not like this"):
        watch(subject(refusing, x=TensorSpec("float32", (None,))))
