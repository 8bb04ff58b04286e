"""Bundles of a model that multiplies by a number, or turns words around, made and served without TensorFlow."""

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
WORDS = "words"
SIGNATURE = Signature({"x": TensorSpec("float32", (None,))}, {"y": TensorSpec("float32", (None,))})
OF_WORDS = Signature({"word": TensorSpec("string", (None,))}, {"turned": TensorSpec("string", (None,))})


def make_bundle(folder: Path, factor: float = 2.0, version: int = 1, tensorflow: str = "2.21.0") -> Path:
    """A bundle whose SavedModel folder holds the factor and whose golden answers follow it; NaN and infinity too."""
    return _make(folder, (FACTOR, str(factor)), cases(factor), SIGNATURE, version, tensorflow)


def make_words_bundle(folder: Path, version: int = 1) -> Path:
    """A bundle of strings in and out: any bytes, none, and such as are no UTF-8."""
    words = [b"abc", b"", b"\x00\xff\xfe", "gr\u00fc\u00dfe".encode(), b'"\\\n']
    feed = {"word": np.array(words, object)}
    case = Case("serving_default", "batch5", feed, {"turned": np.array([word[::-1] for word in words], object)})
    return _make(folder, (WORDS, ""), [case], OF_WORDS, version, "2.21.0")


def _make(
    folder: Path, mark: tuple[str, str], golden: list[Case], signature: Signature, version: int, tensorflow: str
) -> Path:
    saved = folder / "saved_model"
    (saved / "variables").mkdir(parents=True)
    (saved / mark[0]).write_text(mark[1])
    (saved / "variables" / "variables.data").write_bytes(b"weights" * 1000)
    write_golden(folder / "golden.npz", golden)
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
        signatures={"serving_default": signature},
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
