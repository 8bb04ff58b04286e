"""Damaged, cut off and hostile files give facts or one line of an error; never a crash, a hang or an explosion."""

import hashlib
import random
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.insight import artifacts
from toolkit.building.isolate import ChildDied, Isolated
from toolkit.errors import CatalogError, ParityError
from toolkit.insight.inspecting import inspect_in, read
from toolkit.insight.inspection import Inspection
from toolkit.wire import protos

USUAL, ALL = 300, 10_000
_BATCH_S, _ALONE_S = 30.0, 5.0
_DIES = {"keras, weights"}


@dataclass(frozen=True)
class Mutable:
    """A file to change.

    Args:
        content: makes its honest bytes, with the help of an empty folder.
        put: writes changed bytes into an empty folder, and gives the path to inspect.
    """

    content: Callable[[Path], bytes]
    put: Callable[[Path, bytes], Path]


def _graph(place: Path) -> bytes:
    def fill(graph: object) -> None:
        artifacts.node(graph.graph_def.node, "c", "Const", value=artifacts.values(bytes(2400)))  # type: ignore[attr-defined]

    return (artifacts.saved_model(place, fill) / "saved_model.pb").read_bytes()


def _recorded(_: Path) -> bytes:
    folder = artifacts.RECORDED / "saved_model_half_plus_two_cpu" / "00000123"
    return (folder / "saved_model.pb").read_bytes()


def _variables(place: Path) -> bytes:
    sizes = {f"layer_{at}/w/.ATTRIBUTES/VARIABLE_VALUE": 4 * at for at in range(20)}
    artifacts.variables(place / "variables", sizes)
    return (place / "variables" / "variables.index").read_bytes()


def _entry(_: Path) -> bytes:
    return protos.BundleEntry(dtype=1, size=8, crc32c=3).SerializeToString()


def _put_graph(place: Path, content: bytes) -> Path:
    (place / "saved_model.pb").write_bytes(content)
    return place


def _put_index(place: Path, content: bytes) -> Path:
    _variables(artifacts.saved_model(place))
    (place / "variables" / "variables.index").write_bytes(content)
    return place


def _put_block(place: Path, content: bytes) -> Path:
    """What is damaged has its checksum made right again."""
    header = protos.BundleHeader(num_shards=1).SerializeToString()
    return _put_index(place, artifacts.table({b"": header, b"a": content, content[:9]: content}))


def _put_rows(place: Path, content: bytes) -> Path:
    return _put_index(place, artifacts.sealed(content))


def _named(name: str) -> Callable[[Path, bytes], Path]:
    def put(place: Path, content: bytes) -> Path:
        (place / name).write_bytes(content)
        return place / name

    return put


def _manifest(_: Path) -> bytes:
    paths = {"serving_default": "saved_model"}
    return artifacts.manifest(paths, ["saved_model/saved_model.pb"]).to_bytes()


def _put_manifest(place: Path, content: bytes) -> Path:
    artifacts.saved_model(place / "saved_model")
    (place / "manifest.json").write_bytes(content)
    return place


def _signed(content: bytes) -> bytes:
    """With the digest that fits what is there now."""
    blank = re.sub(rb'"sha256": "[0-9a-f]{64}"', b'"sha256": "%s"' % (b"0" * 64), content, count=1)
    return blank.replace(b"0" * 64, hashlib.sha256(blank).hexdigest().encode(), 1)


def _inside(name: str) -> Mutable:
    """A file of a .keras archive that is itself whole."""

    def content(_: Path) -> bytes:
        with zipfile.ZipFile(artifacts.DATA / "trained.keras") as archive:
            return archive.read(name)

    return Mutable(
        content, lambda place, changed: artifacts.keras_file(place / "model.keras", lambda _: None, {name: changed})
    )


FORMATS = {
    "saved_model": Mutable(_graph, _put_graph),
    "recorded": Mutable(_recorded, _put_graph),
    "index": Mutable(_variables, _put_index),
    "index, entries": Mutable(_entry, _put_block),
    "index, rows": Mutable(lambda place: artifacts.rows({b"": b"\x08\x01", b"ab": b"12", b"abc": b"3"}), _put_rows),
    "tflite": Mutable(lambda place: artifacts.tflite_file(place / "m.tflite").read_bytes(), _named("m.tflite")),
    "onnx": Mutable(lambda place: artifacts.onnx_model(place / "m.onnx").read_bytes(), _named("m.onnx")),
    "keras": Mutable(lambda _: (artifacts.DATA / "trained.keras").read_bytes(), _named("m.keras")),
    "keras, config": _inside("config.json"),
    "keras, weights": _inside("model.weights.h5"),
    "bundle": Mutable(_manifest, _put_manifest),
    "bundle, signed": Mutable(_manifest, lambda place, content: _put_manifest(place, _signed(content))),
}


def mutated(content: bytes, chance: random.Random) -> bytes:
    """One to four changes of the kinds that break readers."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(changed) + 1)
        kind = chance.randrange(6)
        if kind == 0:
            del changed[at:]
        elif kind == 1:
            changed[at : at + 1] = bytes([chance.randrange(256)])
        elif kind == 2:  # sizes and offsets of four bytes
            changed[at : at + 4] = chance.choice([b"\xff" * 4, b"\xff\xff\xff\x7f", bytes(4), b"\x01\0\0\0"])
        elif kind == 3:  # varints
            changed[at : at + 1] = chance.choice([b"\xff\xff\xff\xff\x0f", b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"])
        elif kind == 4:
            changed[at:at] = changed[: chance.randrange(64)]
        else:
            end = at + chance.randrange(64)
            del changed[at:end]
    return bytes(changed)


@pytest.fixture(scope="module")
def reader() -> Iterator[Isolated]:
    """A child for reading alone: what crashes a library must not end the tests, and would be seen as such."""
    with Isolated() as child:
        yield child


@pytest.mark.parametrize("name", FORMATS)
def test_mutated_files_give_facts_or_one_line(reader: Isolated, tmp_path: Path, name: str) -> None:
    assert "ParityError" in outcomes(reader, name, tmp_path, range(USUAL))


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", FORMATS)
def test_ten_thousand_mutated_files(reader: Isolated, tmp_path: Path, name: str) -> None:
    for start in range(USUAL, ALL, 500):
        outcomes(reader, name, tmp_path / str(start), range(start, min(start + 500, ALL)))


def outcomes(reader: Isolated, name: str, place: Path, seeds: range) -> set[str]:
    """What came of the files of some seeds: formats, and kinds of errors."""
    (place / "honest").mkdir(parents=True)
    content = FORMATS[name].content(place / "honest")
    paths = []
    for seed in seeds:
        (place / str(seed)).mkdir()
        changed = mutated(content, random.Random(f"{name} {seed}"))
        paths.append(FORMATS[name].put(place / str(seed), changed))
    try:
        said = reader.run(read_all, paths, timeout_s=_BATCH_S)
    except ChildDied:
        # HDF5 is a C library that some damaged files crash or send round in circles: each must still end in one line.
        assert name in _DIES
        said = [_alone(reader, path) for path in paths]
    shutil.rmtree(place)
    assert [line for line in said if not line.isprintable()] == []
    return {line.partition(":")[0] for line in said}


def read_all(paths: list[Path]) -> list[str]:
    """What came of each, in the child: its format, or the error; what is unforeseen ends the test."""
    return [_said(read, path) for path in paths]


def _alone(reader: Isolated, path: Path) -> str:
    return _said(lambda file: inspect_in(reader, file, _ALONE_S), path)


def _said(how: Callable[[Path], Inspection], path: Path) -> str:
    try:
        return how(path).format
    except (ParityError, CatalogError) as error:
        return f"{type(error).__name__}: {error.message}"
