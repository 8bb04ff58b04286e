"""A model that is too large for a format or for this machine is refused beforehand, with the figures."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.building.small_models import DENSE
from toolkit.building import exports
from toolkit.building.catalog import Entry
from toolkit.building.isolate import Isolated
from toolkit.building.pipeline import Options, Outcome, build_bundle
from toolkit.errors import ExitCode, UnavailableError


def build(child: Isolated, folder: Path, *formats: str) -> Outcome:
    return build_bundle(Entry("dense", DENSE, "0" * 64), Options(folder, formats), child, lambda _: None)


def pretend(patch: pytest.MonkeyPatch, weights_gb: float, free_gb: float) -> None:
    patch.setattr(exports, "available_bytes", lambda: int(free_gb * 1e9))
    patch.setattr(exports, "resources_of", lambda _: SimpleNamespace(variable_bytes=int(weights_gb * 1e9)))


def test_a_file_of_two_gigabytes_is_refused_whatever_memory_there_is(
    child: Isolated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, weights_gb=2.4, free_gb=1000)
    outcome = build(child, tmp_path, "saved_model", "onnx", "tflite")
    reasons = {entry.name: (entry.parity.status, entry.parity.reason) for entry in outcome.manifest.artifacts}
    size = "holds less than 2.15 GB of weights, the model has 2.40 GB; serve the SavedModel, or split the model"
    assert reasons == {
        "saved_model": ("pass", ""),
        "onnx": ("pass", ""),  # whose weights can be beside it
        "tflite": ("skipped", f"tflite {size}"),
    }


def test_a_model_that_cannot_even_be_saved_says_so_before_it_tries(
    child: Isolated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, weights_gb=2, free_gb=5)
    with pytest.raises(
        UnavailableError, match=r"saved_model needs about 6\.0 GB of memory .* 5\.0 GB is free"
    ) as found:
        build(child, tmp_path)
    assert found.value.exit_code == ExitCode.MISSING
    assert list(tmp_path.iterdir()) == []
