"""Bundles of a model that multiplies by a number, made and served without TensorFlow."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from toolkit.core.artifact import Artifact, Manifest, Source
from toolkit.core.files import digest_of, hash_files
from toolkit.core.golden import Case, write_golden
from toolkit.core.parity import Parity
from toolkit.core.tensors import Signature, TensorSpec

FACTOR = "factor"
SIGNATURE = Signature({"x": TensorSpec("float32", (None,))}, {"y": TensorSpec("float32", (None,))})


def make_bundle(folder: Path, factor: float = 2.0, version: int = 1, tensorflow: str = "2.21.0") -> Path:
    """A bundle whose SavedModel folder holds the factor and whose golden answers follow it; NaN and infinity too."""
    saved = folder / "saved_model"
    (saved / "variables").mkdir(parents=True)
    (saved / FACTOR).write_text(str(factor))
    (saved / "variables" / "variables.data").write_bytes(b"weights" * 1000)
    write_golden(folder / "golden.npz", cases(factor))
    files = {f"saved_model/{name}": digest for name, digest in hash_files(saved).items()}
    artifact = Artifact(
        name="saved_model",
        format="saved_model",
        variant="",
        path="saved_model",
        paths={"serving_default": "saved_model"},
        size_bytes=sum(path.stat().st_size for path in saved.rglob("*") if path.is_file()),
        sha256=digest_of(files),
        files=files,
        export_seconds=0.1,
        parity=Parity("pass"),
    )
    manifest = Manifest(
        model="times",
        version=version,
        created="2026-01-01T00:00:00+00:00",
        toolchain={"tensorflow": tensorflow},
        source=Source("times", "0" * 64),
        signatures={"serving_default": SIGNATURE},
        trace={},
        artifacts=(artifact,),
        files={name: digest for name, digest in hash_files(folder).items() if name == "golden.npz"},
    )
    (folder / "manifest.json").write_bytes(manifest.to_bytes())
    return folder


def cases(factor: float) -> list[Case]:
    """Golden cases of one and of four rows."""
    feeds = {"batch1": [3.25], "special": [np.nan, np.inf, -np.inf, 1.5]}
    found = []
    for name, values in feeds.items():
        x = np.array(values, np.float32)
        found.append(Case("serving_default", name, {"x": x}, {"y": x * np.float32(factor)}))
    return found


def unproven(bundle: Path, copy: Path) -> Path:
    """A copy of a bundle whose SavedModel did not pass."""
    from toolkit.core.artifact import read_manifest

    shutil.copytree(bundle, copy)
    manifest = read_manifest(bundle)
    failed = replace(manifest.artifacts[0], parity=Parity("fail", "it is wrong"))
    (copy / "manifest.json").write_bytes(replace(manifest, artifacts=(failed,)).to_bytes())
    return copy
