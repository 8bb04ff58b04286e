"""docs/bundle.md tells all that is in a bundle, and its reader of golden.npz reads what is written."""

import re
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tests.building.replay import documented_reader
from toolkit.core.artifact import Artifact, Behaviour, Manifest, Quality, Source
from toolkit.core.golden import Case, write_golden
from toolkit.core.parity import Allowed, Check, Deviation, Parity, Tolerance
from toolkit.core.tensors import Signature, TensorSpec


@pytest.fixture
def document(root: Path) -> str:
    return (root / "docs" / "bundle.md").read_text(encoding="utf-8")


def full_manifest() -> Manifest:
    deviation = Deviation(float("inf"), 1.0, 2.0, 1.0, Tolerance(0.1, 0.1), False, "worst", Allowed(1.0, "known"))
    parity = Parity("pass", "", (Check("s", "onnx", (1,), {"y": deviation}),))
    spec = {"x": TensorSpec("float32", (None,))}
    return Manifest(
        *("m", 1, "2026-11-22", {}, Source("m", "0" * 64)),
        signatures={"s": Signature(spec, spec)},
        trace={"count": 1, "seconds": 0.1, "ops": 3, "side_effects": []},
        artifacts=(Artifact("onnx", "onnx", "", "", {}, 0, "", {}, 0.1, parity, Quality("accuracy", 1.0, 1.0)),),
        behaviour={"s": Behaviour()},
    )


def keys_of(value: Any) -> set[str]:
    """Every key that is a word of the format: names of signatures, tensors and the like are one letter here."""
    if isinstance(value, dict):
        return {key for key in value if len(key) > 1}.union(*map(keys_of, value.values()))
    return set().union(*map(keys_of, value)) if isinstance(value, list) else set()


def test_every_key_of_the_manifest_is_told(document: str) -> None:
    prose = re.sub(r"```.*?```", "", document, flags=re.DOTALL)
    told = {word for quoted in re.findall(r"`([^`]+)`", prose) for word in re.findall(r"\w+", quoted)}
    assert keys_of(full_manifest().to_json()) - told == set()


def test_the_documented_reader_reads_what_is_written(tmp_path: Path) -> None:
    words = np.array([[b"a\x00", b""], ["\u00e9".encode(), b"\xff"]], dtype=object)
    half = np.array([1.5, -2.0, np.inf], dtype=ml_dtypes.bfloat16)
    cases = [
        Case("a/b%#", "batch1", {"x/y": np.arange(6).reshape(2, 3), "words": words}, {"half": half}),
        Case("a/b%#", "batch1.again", {"x/y": np.zeros((0, 3)), "words": words[:0]}, {"half": half[:0]}),
    ]
    write_golden(tmp_path / "golden.npz", cases)
    found = documented_reader()(tmp_path / "golden.npz")
    assert list(found) == [(case.signature, case.name) for case in cases]
    for case in cases:
        read = found[case.signature, case.name]
        for name, array in case.feed.items():
            np.testing.assert_array_equal(read["feed"][name], array)
        widened = (read["output"]["half"].astype("uint32") << 16).view("float32")
        np.testing.assert_array_equal(widened, case.outputs["half"].astype("float32"))
