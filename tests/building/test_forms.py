"""Every form of model gives the signature that its author meant, traced once, with the eager model's answers."""

from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tests.building import keras_forms, other_forms
from tests.building.keras_forms import ROW
from toolkit.core.model import ModelSpec, TracedModel
from toolkit.core.tensors import Signature, sample_feed

Trace = Callable[[ModelSpec], TracedModel]
Pair = namedtuple("Pair", ["first", "second"])  # as TensorFlow programs write it


@dataclass
class Answer:
    """Outputs as some libraries return them."""

    logits: Any
    nothing: Any = None


def outputs_of(result: Callable[[Any], Any]) -> Callable[[], ModelSpec]:
    return lambda: ModelSpec("m", lambda: result, inputs={"x": ROW})


ONE, OUT = {"x": "float32[*, 3]"}, {"output_0": "float32[*, 3]"}
TWO = {"left": "float32[*, 3]", "right": "float32[*, 3]"}
FORMS: list[tuple[Callable[[], ModelSpec], dict[str, str], dict[str, str]]] = [
    (keras_forms.functional_of_one, {"image": "float32[*, 3]"}, {"label": "float32[*, 2]"}),
    (
        keras_forms.functional_of_a_list,
        {"right_one": "float32[*, 3]", "left": "float32[*, 3]"},
        {"a_b": "float32[*, 2]", "left": "float32[*, 3]"},
    ),
    (
        keras_forms.functional_of_a_dict,
        {"left": "float32[*, 3]", "right": "int64[*, 2]"},
        {"a": "float32[*, 3]", "z": "float32[*, 5]"},
    ),
    (
        keras_forms.functional_of_nested_inputs,
        dict.fromkeys(("more", "one", "two"), "float32[*, 3]"),
        {"add": "float32[*, 3]"},
    ),
    (keras_forms.functional_with_declared_inputs_in_another_order, TWO, {"subtract": "float32[*, 3]"}),
    (keras_forms.functional_under_another_name, {"pixels": "float32[*, 3]"}, {"multiply": "float32[*, 3]"}),
    (keras_forms.functional_with_an_optional_input, {"image": "float32[*, 3]"}, {"multiply": "float32[*, 3]"}),
    (
        keras_forms.functional_of_a_sparse_input,
        {"counts_indices": "int64[*, 2]", "counts_values": "float32[*]", "counts_dense_shape": "int64[2]"},
        {"out": "float32[*, 2]"},
    ),
    (
        keras_forms.functional_of_a_ragged_input,
        {"words_values": "int64[*]", "words_row_splits": "int64[*]"},
        {"out_values": "float32[*, 2]", "out_row_splits": "int64[*]"},
    ),
    (keras_forms.sequential, ONE, {"y": "float32[*, 2]"}),
    (
        keras_forms.sequential_that_was_trained_without_an_input,
        {"keras_tensor": "float32[*, 3]"},
        {"batch_normalization": "float32[*, 2]"},
    ),
    (keras_forms.sequential_that_is_not_built, ONE, {"dense": "float32[*, 2]"}),
    (keras_forms.subclassed_that_is_not_built, ONE, {"scores": "float32[*, 2]"}),
    (keras_forms.subclassed_that_was_called, {"input_0": "float32[*, 3]"}, {"scores": "float32[*, 2]"}),
    (keras_forms.subclassed_of_a_dict, TWO, {"scores": "float32[*, 2]"}),
    (keras_forms.subclassed_with_declared_dict, TWO, {"scores": "float32[*, 2]"}),
    (
        keras_forms.subclassed_of_several_arguments,
        {"ids": "float32[*, 3]", "weight": "float32[*, 3]"},
        {"output_0": "float32[*, 3]", "output_1": "float32[*, 3]"},
    ),
    (keras_forms.layer, ONE, OUT),
    (other_forms.module_with_input_signature, ONE, OUT),
    (other_forms.module_with_declared_inputs, ONE, OUT),
    (other_forms.signature_that_names_a_method, {"x": "float32[*, 3]", "y": "float32[*, 3]"}, {"sum": "float32[*, 3]"}),
    (
        other_forms.signature_of_a_callable,
        {"rows": "float32[*, 3]"},
        {"output_0_sum": "float32[*, 3]", "output_1": "float32[*, 3]"},
    ),
    (other_forms.module_that_makes_its_variables_when_called, ONE, OUT),
    (other_forms.module_of_keras_layers, ONE, {"output_0": "float32[*, 2]"}),
    (other_forms.plain_function, {"x": "float32[*, 3]", "y": "float32[*, 3]"}, OUT),
    (other_forms.function_over_an_unbuilt_keras_model, ONE, {"output_0": "float32[*, 2]"}),
    (other_forms.graph_function, {"rows": "float32[*, 3]", "power": "int32[]"}, OUT),
    (
        other_forms.graph_function_of_nested_inputs,
        dict.fromkeys(("features_left", "features_right_0", "features_right_1"), "float32[*, 3]"),
        OUT,
    ),
    (
        other_forms.specs_of_tensorflow,
        {"x": "bfloat16[*, 3]", "words": "string[?]"},
        {"x": "bfloat16[*, 3]", "words": "string[?]"},
    ),
    (
        other_forms.ragged_and_sparse,
        {
            "words_values": "float32[*]",
            "words_row_splits": "int64[*]",
            "deep_values": "int32[*]",
            "deep_row_splits_0": "int32[*]",
            "deep_row_splits_1": "int32[*]",
            "counts_indices": "int64[*, 2]",
            "counts_values": "float32[*]",
            "counts_dense_shape": "int64[2]",
        },
        {
            "w_values": "float32[*]",
            "w_row_splits": "int64[*]",
            "d_values": "int32[*]",
            "d_row_splits_0": "int32[*]",
            "d_row_splits_1": "int32[*]",
            "c_indices": "int64[*, 2]",
            "c_values": "float32[*]",
            "c_dense_shape": "int64[2]",
            "sum": "float32[?]",
        },
    ),
    (outputs_of(lambda x: x), ONE, OUT),
    (outputs_of(lambda x: [x, x]), ONE, {"output_0": "float32[*, 3]", "output_1": "float32[*, 3]"}),
    (outputs_of(lambda x: Pair(x, 1)), ONE, {"first": "float32[*, 3]", "second": "int32[]"}),
    (outputs_of(lambda x: Answer(logits=x)), ONE, {"logits": "float32[*, 3]"}),
    (
        outputs_of(lambda x: {"a b": x, 7: {"in": [x, None], "out": Pair(x, x)}}),
        ONE,
        dict.fromkeys(("a b", "7_in_0", "7_out_first", "7_out_second"), "float32[*, 3]"),
    ),
]


@pytest.mark.parametrize(("form", "inputs", "outputs"), FORMS, ids=[form[0].__name__ for form in FORMS])
def test_a_form_of_model_has_its_signature(
    trace: Trace, form: Callable[[], ModelSpec], inputs: dict[str, str], outputs: dict[str, str]
) -> None:
    traced = trace(form())
    signature = traced.signatures["serving_default"]
    found = ({name: str(spec) for name, spec in side.items()} for side in (signature.inputs, signature.outputs))
    assert list(found) == [inputs, outputs]
    assert (traced.facts.count, traced.baseline) == (1, "eager")
    for batch_size in (1, 7):
        feed = traced.samples["serving_default"](batch_size, batch_size)
        assert_same(traced, feed)


def assert_same(traced: TracedModel, feed: dict[str, Any]) -> None:
    """The concrete function gives what the eager model gives."""
    import tensorflow as tf

    signature = traced.signatures["serving_default"]
    tensors = {name: tf.constant(value, signature.inputs[name].dtype) for name, value in feed.items()}
    graph = {name: tensor.numpy() for name, tensor in traced.functions["serving_default"](**tensors).items()}
    eager = traced.eager["serving_default"](feed)
    assert set(graph) == set(eager) == set(signature.outputs)
    for name, value in eager.items():
        if signature.outputs[name].dtype == "string":
            assert value.tolist() == graph[name].tolist()
        else:
            np.testing.assert_allclose(
                np.asarray(graph[name], np.float64), np.asarray(value, np.float64), rtol=1e-5, atol=1e-6
            )


def test_several_signatures_are_each_traced_once(trace: Trace) -> None:
    spec = ModelSpec(
        "m",
        lambda: other_forms.module(signature=False),
        signatures={
            "serving_default": Signature({"x": ROW}),
            "sum": Signature({"x": ROW, "y": ROW}, call="serve"),
            "regress": Signature({"x": ROW}, call=lambda model, x: {"outputs": model(x)[:, :1]}, method="regress"),
        },
    )
    traced = trace(spec)
    assert (traced.facts.count, list(traced.signatures)) == (3, ["serving_default", "sum", "regress"])
    assert traced.signatures["regress"].method == "regress"


def test_names_of_a_keras_model_do_not_depend_on_what_was_built_before(trace: Trace) -> None:
    def build() -> Any:
        import keras

        return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(2)])

    found = [trace(ModelSpec("m", build)).signatures["serving_default"] for _ in range(2)]
    assert found[0] == found[1]
    assert list(found[0].outputs) == ["dense_1"]


def test_names_that_a_program_has_given_out_are_not_given_out_again(trace: Trace) -> None:
    import keras

    layer = keras.layers.GaussianDropout  # that no other test uses, so that its names begin at the first
    before = [layer(0.5).name for _ in range(3)]
    trace(ModelSpec("m", lambda: keras.Sequential([keras.Input((3,)), layer(0.5)])))
    assert layer(0.5).name not in before


def test_dropout_stays_off(trace: Trace) -> None:
    traced = trace(keras_forms.sequential_that_was_trained_without_an_input())
    feed = sample_feed(traced.signatures["serving_default"], 7, 0)
    first, second = (traced.eager["serving_default"](feed)["batch_normalization"] for _ in range(2))
    np.testing.assert_array_equal(first, second)
