"""What doctor expects of formats before a conversion, held against what the build then made."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from toolkit.building.catalog import resolve
from toolkit.building.load import build_model
from toolkit.building.trace import trace_model
from toolkit.core.artifact import read_manifest
from toolkit.core.model import TracedModel
from toolkit.core.plugins import FORMATS
from toolkit.insight.doctor.outlook import NO, REWRITTEN, SPLIT, UNCERTAIN, WHOLE, outlook_of, prospect

MODELS = ("square", "mlp", "text", "sequence")


def traced_model(name: str, root: Path) -> TracedModel:
    spec = resolve(name, root).spec
    return trace_model(spec, build_model(spec))


@pytest.mark.parametrize("name", MODELS)
def test_what_was_expected_is_what_was_built(shipped: Callable[[str], Path], root: Path, name: str) -> None:
    made = {artifact.name: artifact.parity.status for artifact in read_manifest(shipped(name)).artifacts}
    found = {one.name: one.outlook for one in outlook_of(traced_model(name, root), list(made)).formats}
    assert {one: made[one] == "pass" for one in found if found[one] != UNCERTAIN} == {
        one: outlook in {WHOLE, REWRITTEN, SPLIT} for one, outlook in found.items() if outlook != UNCERTAIN
    }
    assert found["saved_model"] == WHOLE


@pytest.fixture(scope="module")
def tf() -> Any:
    return pytest.importorskip("tensorflow")


def concrete(tf: Any, function: Callable[[Any], Any], *shape: int) -> Any:
    traced = tf.function(lambda x: {"y": function(x)}, input_signature=[tf.TensorSpec(shape, tf.float32, name="x")])
    return traced.get_concrete_function()


def test_an_op_that_the_converter_is_not_known_to_take(tf: Any) -> None:
    def function(x: Any) -> Any:
        with tf.name_scope("deep"):
            return tf.math.igamma(x, x)

    found = prospect(FORMATS.load("tflite"), concrete(tf, function, 3), "serving_default")
    assert (found.outlook, found.unknown) == (UNCERTAIN, {"Igamma": "deep"})
    assert prospect(FORMATS.load("saved_model"), concrete(tf, function, 3), "serving_default").outlook == WHOLE


def test_an_op_that_all_take(tf: Any) -> None:
    for name in ("onnx", "tflite"):
        found = prospect(FORMATS.load(name), concrete(tf, lambda x: tf.nn.relu(x) * 2.0, 3), "serving_default")
        assert (found.outlook, found.unknown, found.rewrites) == (WHOLE, {}, ())


def test_a_rewrite_that_it_will_need_is_named(tf: Any) -> None:
    found = prospect(FORMATS.load("tflite"), concrete(tf, tf.math.asinh, 3), "serving_default")
    assert found.outlook == REWRITTEN
    assert found.rewrites
    assert "Asinh" not in found.ops


def test_text_stays_with_tensorflow(tf: Any) -> None:
    found = prospect(
        FORMATS.load("onnx"), concrete(tf, lambda x: tf.strings.length(tf.strings.as_string(x)), 3), "serving_default"
    )
    assert found.outlook == SPLIT
    assert {"AsString", "StringLength"} <= found.stays.keys()


def test_a_variant_holds_the_ops_of_its_kind(tf: Any) -> None:
    variant = replace(
        FORMATS.load("tflite"), name="tflite-other", kind="tflite", variant="int8", takes=None, lacking=None
    )
    found = prospect(variant, concrete(tf, tf.math.asinh, 3), "serving_default")
    assert found.outlook == REWRITTEN


def test_sizes_and_limits(root: Path) -> None:
    traced = traced_model("mlp", root)
    (whole,) = outlook_of(traced, ["onnx"]).formats
    assert whole.size_bytes == 4 * (784 * 256 + 256 + 2 * (256 * 128 + 128) + 128 * 256 + 256 + 128 * 10 + 10)
    plugin = FORMATS.load("onnx")
    assert whole.memory_bytes == whole.size_bytes * plugin.memory_factor
    assert whole.outlook != NO


def test_a_file_that_cannot_hold_the_weights(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(FORMATS.load("onnx"), weight_limit_bytes=1000)
    monkeypatch.setattr(FORMATS, "load", lambda name: small)
    (found,) = outlook_of(traced_model("mlp", root), ["onnx"]).formats
    assert found.outlook == NO
    assert "its file holds 1,000 bytes" in found.problems[0]
