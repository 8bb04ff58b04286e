"""Variables that a model writes: inputs and outputs of its ONNX file, which the runtime carries from call to call."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

from tests.formats.rewrites.one_op import NAME
from tests.zoo.recurrences import Counted, stateful_lstm
from tests.zoo.specimen import seeded
from toolkit import ModelSpec, TensorSpec
from toolkit.building.load import build_model
from toolkit.building.trace import trace_model
from toolkit.core.model import TracedModel
from toolkit.core.plugins import FORMATS, RUNTIMES, Opening
from toolkit.errors import UnsupportedError

ROWS = {"x": TensorSpec("float32", (None, 3))}


def traced(spec: ModelSpec) -> TracedModel:
    return trace_model(spec, build_model(spec))


def exported(spec: ModelSpec, folder: Path) -> tuple[TracedModel, Opening, list[str]]:
    model = traced(spec)
    notes = FORMATS.load("onnx").export(model, folder) or ()
    return model, Opening(folder / f"{NAME}.onnx", NAME, model.signatures[NAME]), list(notes)


@pytest.mark.parametrize("spec", [ModelSpec("counted", Counted, ROWS), ModelSpec("lstm", seeded(stateful_lstm))])
def test_the_state_goes_on_from_call_to_call_and_begins_anew_in_the_next_runner(
    spec: ModelSpec, tmp_path: Path
) -> None:
    model, opening, notes = exported(spec, tmp_path)
    feeds = [model.samples[NAME](2, seed) for seed in range(3)]
    expected = [model.eager[NAME](feed) for feed in feeds]
    assert any(note.startswith("state goes in and comes out beside the signature") for note in notes)
    output = next(iter(expected[0]))
    assert not np.allclose(expected[0][output], expected[1][output])
    for _ in range(2):
        with RUNTIMES.load("onnx").open(opening) as runner:
            assert runner.signature.outputs.keys() == model.signatures[NAME].outputs.keys()
            for feed, wanted in zip(feeds, expected, strict=True):
                found = runner.run(feed)
                for key, value in wanted.items():
                    np.testing.assert_allclose(found[key], value, rtol=1e-5, atol=1e-6)


def test_a_plain_runtime_starts_from_the_values_in_the_file(tmp_path: Path) -> None:
    _, opening, _ = exported(ModelSpec("counted", Counted, ROWS), tmp_path)
    session = onnxruntime.InferenceSession(str(opening.path))
    x = np.ones((2, 3), "float32")
    assert [value.name for value in session.get_inputs()] == ["x"]
    first = dict(zip([one.name for one in session.get_outputs()], session.run(None, {"x": x}), strict=True))
    state = {name.removesuffix("__next"): value for name, value in first.items() if name.endswith("__next")}
    assert sorted(value.shape for value in state.values()) == [(), (3,)]
    second = session.run(["scaled"], {"x": x, **state})[0]
    np.testing.assert_array_equal(second, x * 2)


class InLoop(tf.Module):
    """Writes its variable in a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.total = tf.Variable(0.0)

    @tf.function
    def __call__(self, x: Any) -> Any:
        for row in x:
            self.total.assign_add(tf.reduce_sum(row))
        return {"total": self.total.read_value()}


class Generator(tf.Module):
    """Draws from a generator's state."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = tf.random.Generator.from_seed(1)

    def __call__(self, x: Any) -> Any:
        return {"noisy": x + self.generator.normal(tf.shape(x))}


@pytest.mark.parametrize(("build", "op"), [(InLoop, "AssignAddVariableOp"), (Generator, "RngReadAndSkip")])
def test_state_that_cannot_be_carried_is_refused_by_name(build: Any, op: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=op) as raised:
        exported(ModelSpec("model", build, ROWS), tmp_path)
    assert "\n" not in raised.value.message
    assert raised.value.hint
