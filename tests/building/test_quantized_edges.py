"""`--int8-io` and `--fixed-batch` for quantized TFLite: what is in the file, and that runtimes take and give floats."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.building.test_quantized import MODEL, rows
from toolkit.building.catalog import resolve_object
from toolkit.building.pipeline import Options, Outcome, build_bundle, check_settings
from toolkit.core.artifact import Artifact, read_manifest
from toolkit.core.exporting import ExportSettings
from toolkit.core.quantized import Quantized
from toolkit.errors import FeedError, UsageError
from toolkit.runtimes.inprocess import quantized

if TYPE_CHECKING:
    from toolkit.building.isolate import Isolated

Build = Callable[..., Outcome]


@pytest.fixture(scope="module")
def build(child: "Isolated", tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Builds the classifier: `build(formats, settings)`."""

    def made(formats: tuple[str, ...], settings: ExportSettings, spec: Any = MODEL) -> Outcome:
        # Three rows each, so that a batch of five is made of other rows than those of one feed.
        spec = replace(spec, calibration=lambda: (rows(3, seed) for seed in range(1000, 1050)))
        options = Options(tmp_path_factory.mktemp("exported"), formats, settings=settings, max_accuracy_drop=0.03)
        return build_bundle(resolve_object(spec), options, child, lambda _: None)

    return made


def artifact(outcome: Outcome, name: str) -> Artifact:
    found = outcome.manifest.artifact(name)
    assert found is not None
    assert found.parity.status == "pass", found.parity.reason
    return found


@pytest.fixture(scope="module")
def int8(build: Build) -> Outcome:
    return build(("tflite", "tflite-int8"), ExportSettings(int8_io=True))


def test_the_file_takes_and_gives_int8_and_the_manifest_says_how_they_are_meant(int8: Outcome) -> None:
    from ai_edge_litert.interpreter import Interpreter

    assert int8.bundle is not None
    found = artifact(int8, "tflite-int8")
    runner = Interpreter(str(int8.bundle / found.paths["serving_default"])).get_signature_runner()
    details = runner.get_input_details() | runner.get_output_details()
    assert {name: np.dtype(detail["dtype"]).name for name, detail in details.items()} == {"x": "int8", "scores": "int8"}
    meant = read_manifest(int8.bundle).artifact("tflite-int8")
    assert meant is not None
    edges = meant.quantized["serving_default"]
    assert edges == {name: Quantized("int8", *detail["quantization"]) for name, detail in details.items()}
    assert any("takes and gives whole numbers: x = 0.00" in note for note in found.notes)
    assert artifact(int8, "tflite").quantized == {}


def test_runtimes_take_and_give_floats_as_of_any_artifact(int8: Outcome) -> None:
    from toolkit import open_artifact, verify

    assert int8.bundle is not None
    feed = rows(9, 3)
    with open_artifact(int8.bundle, "tflite-int8") as lossy, open_artifact(int8.bundle, "tflite") as plain:
        assert lossy.signature.inputs["x"].dtype == lossy.signature.outputs["scores"].dtype == "float32"
        actual, expected = lossy.run(feed)["scores"], plain.run(feed)["scores"]
    assert actual.dtype == np.float32
    step = artifact(int8, "tflite-int8").quantized["serving_default"]["scores"].scale
    assert np.abs(actual - expected).max() < 8 * step
    assert len(np.unique(np.round(actual / step))) > 10
    assert {found.parity.status for found in verify(int8.bundle).artifacts} == {"pass"}


def test_integers_that_mean_something_else_fail_the_gate(int8: Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    from toolkit.runtimes import tflite
    from toolkit.verifying.bundle import judge

    assert int8.bundle is not None
    known = quantized.edges_of

    def doubled(*sides: Any) -> dict[str, Quantized]:
        return {name: replace(edge, scale=2 * edge.scale) for name, edge in known(*sides).items()}

    monkeypatch.setattr(tflite, "edges_of", doubled)
    allowed = artifact(int8, "tflite-int8").parity.checks[0].outputs["scores"].allowed
    assert allowed is not None
    assert judge(int8.bundle, int8.manifest, "tflite-int8", {"scores": allowed}).status == "fail"


def test_a_fixed_batch_holds_for_quantized_files_and_their_evaluation(build: Build) -> None:
    from toolkit import open_artifact

    names = ("tflite-dynamic", "tflite-float16", "tflite-int8")
    outcome = build(("tflite", *names), ExportSettings(fixed_batch=5))
    assert outcome.bundle is not None
    for name in names:
        found = artifact(outcome, name)
        assert (found.fixed_batch, found.parity.checks[0].batch_sizes) == (5, (5,))
        assert found.quality is not None
        with open_artifact(outcome.bundle, name) as runner:
            assert runner.run(rows(5, 1))["scores"].shape == (5, 4)
            with pytest.raises(FeedError):
                runner.run(rows(4, 1))


@pytest.mark.parametrize("name", ["tflite", "tflite-dynamic", "tflite-int16x8", "onnx-int8"])
def test_int8_at_the_edges_is_only_for_a_file_of_int8(name: str) -> None:
    with pytest.raises(UsageError, match="--int8-io is nothing to") as found:
        check_settings([name], ExportSettings(int8_io=True))
    assert found.value.hint == "it is for tflite-int8"


def test_the_api_has_the_options() -> None:
    from toolkit.building.several import BuildOptions, BuildRequest

    assert {"int8_io", "max_accuracy_drop"} <= BuildOptions.__annotations__.keys() & BuildRequest.__annotations__.keys()
