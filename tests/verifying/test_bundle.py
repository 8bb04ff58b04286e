"""A bundle is byte for byte what was published, or it is said which file is not; no TensorFlow is needed for that."""

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolkit.building.targets import find_bundle
from toolkit.core.artifact import GOLDEN, MANIFEST, SCHEMA, Artifact, Manifest, Source, read_manifest
from toolkit.core.golden import Case, write_golden
from toolkit.core.parity import Parity
from toolkit.core.store import digest_of, hash_file, hash_files
from toolkit.core.tensors import Signature, TensorSpec
from toolkit.errors import ExitCode, ParityError
from toolkit.verifying.bundle import check_files

SIGNATURE = Signature({"x": TensorSpec("float32", (None, 2))}, {"y": TensorSpec("float32", (None, 2))})
FILES = {
    "saved_model": {
        "saved_model.pb": b"graph" * 99,
        "variables/variables.data": bytes(range(256)),
        "assets/words.txt": b"a",
    },
    "onnx": {"serving_default.onnx": b"another graph"},
}
NAMES = [GOLDEN, MANIFEST, *(f"{folder}/{name}" for folder, files in FILES.items() for name in files)]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle whose artifacts are only bytes."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    x = np.ones((1, 2), "float32")
    write_golden(folder / GOLDEN, [Case("serving_default", "batch1", {"x": x}, {"y": x})])
    for name, files in FILES.items():
        for file, content in files.items():
            (folder / name / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / name / file).write_bytes(content)
    (folder / MANIFEST).write_bytes(manifest_of(folder).to_bytes())
    return folder


def manifest_of(folder: Path) -> Manifest:
    return Manifest(
        model="m",
        version=1,
        created="2026-11-22T00:00:00+00:00",
        toolchain={"python": "3.11"},
        source=Source("m", "0" * 64),
        signatures={"serving_default": SIGNATURE},
        trace={"count": 1},
        artifacts=(
            artifact_of(folder, "saved_model", "saved_model"),
            artifact_of(folder, "onnx", "onnx/serving_default.onnx"),
            Artifact("tflite", "tflite", "", "", {}, 0, "", {}, 0.1, Parity("skipped", "no such op")),
        ),
        files={GOLDEN: hash_file(folder / GOLDEN)},
    )


def artifact_of(folder: Path, name: str, path: str) -> Artifact:
    files = {f"{name}/{file}": digest for file, digest in hash_files(folder / name).items()}
    return Artifact(name, name, "", name, {"serving_default": path}, 1, digest_of(files), files, 0.1, Parity("pass"))


def complaint(bundle: Path) -> str:
    with pytest.raises(ParityError) as found:
        check_files(find_bundle(bundle))
    assert found.value.exit_code == ExitCode.WRONG_ARTIFACT
    assert found.value.hint
    return found.value.message


def test_what_was_published_passes(bundle: Path) -> None:
    assert check_files(bundle) == read_manifest(bundle) == manifest_of(bundle)


@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_bit_is_named(name: str, bundle: Path) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    (bundle / name).write_bytes(content)
    assert name in complaint(bundle)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("change", [lambda content: content[:-1], lambda content: content + b"\n", lambda _: b""])
def test_a_byte_less_or_more_is_named(name: str, change: Callable[[bytes], bytes], bundle: Path) -> None:
    (bundle / name).write_bytes(change((bundle / name).read_bytes()))
    assert name in complaint(bundle)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_named(name: str, bundle: Path) -> None:
    (bundle / name).unlink()
    assert name in complaint(bundle)


@pytest.mark.parametrize("name", ["more.txt", "onnx/more.onnx", "saved_model/assets.extra/requests", ".hidden"])
def test_an_extra_file_is_named(name: str, bundle: Path) -> None:
    (bundle / name).parent.mkdir(exist_ok=True)
    (bundle / name).write_bytes(b"")
    assert complaint(bundle).endswith(f"{name} does not belong there")


def test_a_link_is_no_file_of_a_bundle(bundle: Path) -> None:
    (bundle / "onnx" / "serving_default.onnx").rename(bundle.parent / "moved.onnx")
    (bundle / "onnx" / "serving_default.onnx").symlink_to(bundle.parent / "moved.onnx")
    assert "onnx/serving_default.onnx is a link" in complaint(bundle)


def test_all_that_is_wrong_is_named_at_once(bundle: Path) -> None:
    (bundle / "onnx" / "serving_default.onnx").write_bytes(b"other")
    (bundle / "saved_model" / "saved_model.pb").unlink()
    (bundle / "more.txt").touch()
    found = complaint(bundle)
    for part in (
        "saved_model/saved_model.pb is missing",
        "more.txt does not belong there",
        "onnx/serving_default.onnx was changed",
    ):
        assert part in found


def test_every_part_of_the_manifest_counts(bundle: Path) -> None:
    whole = (bundle / MANIFEST).read_bytes()
    for at in range(random.randrange(9), len(whole), 9):
        content = bytearray(whole)
        content[at] ^= 1 << (at % 8)
        (bundle / MANIFEST).write_bytes(content)
        assert MANIFEST in complaint(bundle)


@pytest.mark.parametrize(
    "content",
    [
        *(
            b"",
            b"{",
            b"null",
            b"[]",
            b"3",
            b'"text"',
            b"{}",
            b"\xff\xfe",
            b"\x00" * 99,
            b"[" * 100_000,
            b'{"schema": 1}',
        ),
        *(
            b'{"schema": 1, "sha256": 3}',
            b'{"schema": 1, "sha256": ""}',
            b'{"schema": null, "sha256": ""}',
            b"{" * 99_999,
        ),
    ],
)
def test_a_manifest_that_is_none_is_named(content: bytes, bundle: Path) -> None:
    (bundle / MANIFEST).write_bytes(content)
    assert MANIFEST in complaint(bundle)


def signed(document: dict[str, Any]) -> bytes:
    """The document as a manifest is written, with the digest that fits it."""
    blank = json.dumps({"sha256": "0" * 64} | document).encode()
    return blank.replace(b"0" * 64, hashlib.sha256(blank).hexdigest().encode(), 1)


@pytest.mark.parametrize("schema", [SCHEMA + 1, 99, 0, "1", 1.5, None])
def test_another_schema_is_not_guessed_at(schema: Any, bundle: Path) -> None:
    (bundle / MANIFEST).write_bytes(signed(manifest_of(bundle).to_json() | {"schema": schema}))
    found = complaint(bundle)
    assert found.endswith(f"manifest.json has schema {schema!r}, this release reads 1")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("signatures", []),
        ("signatures", {"s": {"method": "guess", "inputs": {}, "outputs": {}}}),
        ("signatures", {"s": {"method": "predict", "inputs": {"x": {"dtype": "float99", "shape": []}}, "outputs": {}}}),
        ("artifacts", [3]),
        ("artifacts", [{"name": "onnx"}]),
        ("source", {"path": "x"}),
        ("behaviour", {"s": {}}),
        ("tolerances", {"y": 3}),
    ],
)
def test_a_signed_manifest_that_makes_no_sense_is_damaged(key: str, value: Any, bundle: Path) -> None:
    (bundle / MANIFEST).write_bytes(signed(manifest_of(bundle).to_json() | {key: value}))
    assert f"{MANIFEST} is damaged" in complaint(bundle)


@pytest.mark.parametrize("path", ["../elsewhere.onnx", "onnx/serving_default", "saved_model/saved_model.pb", ""])
def test_an_artifact_answers_with_its_own_files_only(path: str, bundle: Path) -> None:
    manifest = manifest_of(bundle)
    entries = [
        replace(found, paths={"serving_default": path}) if found.name == "onnx" else found
        for found in manifest.artifacts
    ]
    (bundle / MANIFEST).write_bytes(replace(manifest, artifacts=tuple(entries)).to_bytes())
    assert complaint(bundle).endswith(f"{path} of onnx is none of its files")
