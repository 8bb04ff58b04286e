"""A golden.npz that was damaged or made to harm is a ParityError that names it: never another error."""

import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolkit.core.golden import Case, read_golden, write_golden
from toolkit.core.tensors import Signature, TensorSpec
from toolkit.errors import ExitCode, ParityError

SIGNATURES = {
    "s": Signature(
        inputs={"x": TensorSpec("float32", (None,))},
        outputs={"y": TensorSpec("string", (None,)), "z": TensorSpec("bool", None), "b": TensorSpec("bfloat16", None)},
    )
}
WHOLE = [
    Case(
        "s",
        "c",
        {"x": np.array([1, 2], np.float32)},
        {"y": np.array([b"one", b""], dtype=object), "z": np.array([True]), "b": np.zeros(2, "bfloat16")},
    )
]


class Planted:
    def __reduce__(self) -> tuple[object, ...]:
        return os._exit, (66,)


def npy(array: object) -> bytes:
    file = BytesIO()
    np.save(file, np.asarray(array), allow_pickle=True)
    return file.getvalue()


def header(text: str, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + data


def of_shape(shape: str, data: bytes = bytes(8), descr: str = "<f4") -> bytes:
    return header(f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n", data)


def strings(data: object, offsets: object, shape: object) -> dict[str, bytes]:
    parts = {"bytes": npy(np.array(data, np.uint8)), "offsets": npy(np.array(offsets, np.int64)), "shape": npy(shape)}
    return {"s/c/feed/x.npy": npy(np.zeros(1, np.float32))} | {
        f"s/c/output/y#{part}.npy": content for part, content in parts.items()
    }


def refused(path: Path) -> str:
    with pytest.raises(ParityError) as caught:
        read_golden(path, SIGNATURES)
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code is ExitCode.WRONG_ARTIFACT
    return caught.value.message


def test_nothing_is_refused_as_it_was_written(tmp_path: Path) -> None:
    write_golden(tmp_path / "golden.npz", WHOLE)
    assert len(read_golden(tmp_path / "golden.npz", SIGNATURES)) == 1


X = "s/c/feed/x.npy"


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({X: npy(np.array([Planted()], dtype=object))}, "is no array of float32"),
        ({X: pickle.dumps(Planted())}, "is no array of float32"),
        ({X: npy(np.zeros(2))}, "is no array of float32"),
        ({X: npy(np.zeros(2, ">f4"))}, "is no array of float32"),
        ({X: npy(np.zeros((2, 2), np.float32))}, "has shape [2, 2], the manifest says float32[*]"),
        ({X: b""}, "is no array of float32"),
        ({X: b"\x93NUMPY\x01\x00\xff\xff"}, "is no array of float32"),
        ({X: header("{'descr': " + "(" * 60_000)}, "is no array of float32"),
        ({X: header("__import__('os')._exit(66)")}, "is no array of float32"),
        ({X: of_shape("(2,)")[:-1]}, "declares shape [2] and holds 7 bytes"),
        ({X: of_shape("(1000000000000,)")}, "declares shape [1000000000000] and holds 8 bytes"),
        ({X: of_shape("(4294967296, 4294967296)")}, "declares shape"),
        ({X: of_shape("(0, 9223372036854775807)", b"")}, "golden.npz"),
        ({X: of_shape("(" + "1, " * 100 + ")", bytes(4))}, "golden.npz"),
        ({X: of_shape("(-2,)")}, "is no array of float32"),
        ({X: of_shape("(2,)", descr="|O")}, "is no array of float32"),
        ({"s/c/output/z.npy": npy(np.array([2], np.uint8)), X: npy(np.zeros(1, np.float32))}, "is no array of bool"),
        ({"s/c/output/z.npy": of_shape("(1,)", b"\2", "|b1")}, "has a bool that is neither true nor false"),
        ({"s/c/output/b.npy": npy(np.zeros(1, np.float32))}, "is no array of uint16"),
        ({"s/c/output/z.npy": npy(np.array([True]))}, "case 'c' of 's' has no input 'x'"),
        ({"t/c/feed/x.npy": b""}, "no signature 't'"),
        ({"s/c/feed/w.npy": b""}, "knows no tensor s/c/feed/w"),
        ({"s/c/output/x.npy": b""}, "knows no tensor s/c/output/x"),
        ({"s/c/feed/x#bytes.npy": b""}, "is not as a float32 tensor is kept"),
        ({"s/c/output/y.npy": b""}, "is not as a string tensor is kept"),
        ({"s/c/output/y#bytes.npy": b""}, "is not as a string tensor is kept"),
        ({"x.npy": b""}, "names no tensor of a case"),
        ({"s/c/input/x.npy": b""}, "names no tensor of a case"),
        ({"s/c/feed/x": b""}, "names no tensor of a case"),
        ({"s/c/feed/x#more.npy": b""}, "names no tensor of a case"),
        ({"s/c/feed/%78.npy": b""}, "names no tensor of a case"),
        ({"s/c/feed/%ff.npy": b""}, "golden.npz"),
        (strings([97], [0, 2], [1]), "do not cut its bytes"),
        (strings([97], [1, 1], [1]), "do not cut its bytes"),
        (strings([97], [0, 2, 1], [2]), "do not cut its bytes"),
        (strings([97], [], [0]), "do not cut its bytes"),
        (strings([97], [0, 1], [2]), "cannot have shape [2]"),
        (strings([97, 97], [0, 1, 2], [-1, -2]), "cannot have shape [-1, -2]"),
        (strings([97], [0, 1], [1] * 100), "golden.npz"),
        (strings([], [0], [0, 2**62]), "golden.npz"),
    ],
)
def test_a_hostile_entry_is_named(tmp_path: Path, entries: Mapping[str, bytes], reason: str) -> None:
    with zipfile.ZipFile(tmp_path / "golden.npz", "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    assert reason in refused(tmp_path / "golden.npz")


def test_a_compressed_entry_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "golden.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(X, bytes(10_000_000))
    assert "is compressed" in refused(tmp_path / "golden.npz")


def test_entries_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "golden.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(X, bytes(1000))
        info = archive.infolist()[0]
        for case in range(9):
            other = zipfile.ZipInfo(f"s/{case}/feed/x.npy")
            other.CRC, other.file_size, other.compress_size = info.CRC, info.file_size, info.compress_size
            other.header_offset = info.header_offset
            archive.filelist.append(other)
    assert "do not follow one another" in refused(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "golden.npz", "w") as archive:
        archive.writestr(X, b"")
        archive.writestr(X, b"")
    assert "is there twice" in refused(tmp_path / "golden.npz")


def test_an_empty_list_before_the_entries_does_not_hide_them(tmp_path: Path) -> None:
    path = tmp_path / "golden.npz"
    write_golden(path, WHOLE)
    path.write_bytes(b"PK\5\6" + bytes(18) + path.read_bytes()[:-22])
    assert "something follows" in refused(path)


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "empty", "text"])
def test_what_is_no_archive_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "golden.npz"
    makers: dict[str, Callable[[], object]] = {
        "missing": lambda: None,
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "empty": path.touch,
        "text": lambda: path.write_text("PK"),
    }
    makers[kind]()
    refused(path)


def test_every_shortened_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "golden.npz"
    write_golden(path, WHOLE)
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        refused(path)


def test_any_changed_byte_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "golden.npz"
    write_golden(path, WHOLE)
    content = path.read_bytes()
    for at in range(len(content)):
        for flip in (0x01, 0x80, 0xFF):
            path.write_bytes(content[:at] + bytes([content[at] ^ flip]) + content[at + 1 :])
            assert survives_only_unchanged(path), (at, flip)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(data=st.data())
def test_many_changes_are_refused_or_change_nothing(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "golden.npz"
    write_golden(path, WHOLE)
    content = bytearray(path.read_bytes())
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=6)):
        content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    assert survives_only_unchanged(path)


def survives_only_unchanged(path: Path) -> bool:
    try:
        (case,) = read_golden(path, SIGNATURES)
    except ParityError:
        return True
    found, expected = ({**case.feed, **case.outputs} for case in (case, WHOLE[0]))
    return {name: array.tolist() for name, array in found.items()} == {
        name: array.tolist() for name, array in expected.items()
    }
