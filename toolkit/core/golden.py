r"""Golden feeds and outputs as one golden.npz and back, without pickle and without trust in what is read.

An entry is `<signature>/<case>/feed|output/<tensor>`, a string tensor three of them: `…#bytes`, `…#offsets`, `…#shape`,
since NumPy's own string types drop trailing NULs. bfloat16, which NumPy's format cannot name, is kept as uint16. What
would make a name ambiguous is percent-escaped: %, #, \ and control characters everywhere, / in signature and case.
"""

import math
import os
import re
import struct
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import quote, unquote

import numpy as np
from numpy.lib import format as npy

from toolkit.core.files import storage_errors
from toolkit.core.tensors import NUMPY_DTYPES, Array, Feed, Outputs, Signature, TensorSpec, as_array, dtype_name
from toolkit.errors import CatalogError, ParityError

_ENTRY = re.compile(r"([^/#]*)/([^/#]*)/(feed|output)/([^#]*)(#bytes|#offsets|#shape|)\.npy")
_AMBIGUOUS = re.compile(r"[%#/\\\x00-\x1f\x7f\ud800-\udfff]")
# NumPy's header in the one form that is written here; its own reader evaluates the text as Python, this one does not.
_HEADER = re.compile(
    rb"\{'descr': '([<|][a-z][0-9]{1,2})', 'fortran_order': False, 'shape': \(((?:[0-9]{1,19},? ?)*)\), \} *\n"
)
_MAGIC = b"\x93NUMPY\x01\x00"
_BYTES: np.dtype[Any] = np.dtype(np.uint8)
_INT64: np.dtype[Any] = np.dtype("<i8")
_PARTS = {"#bytes": _BYTES, "#offsets": _INT64, "#shape": _INT64}
_CHUNK_BYTES = 1 << 20
_CHUNK_ITEMS = 1 << 16
# What zipfile and NumPy are known to raise over bytes that no writer made.
_DAMAGE = (zipfile.BadZipFile, struct.error, ValueError, EOFError, RuntimeError, LookupError, MemoryError, OSError)


@dataclass(frozen=True, eq=False)  # arrays have no single answer to ==
class Case:
    """One call of one signature, and what the baseline answered; calls stand in the order in which they were made."""

    signature: str
    name: str
    feed: Feed = field(default_factory=dict)
    outputs: Outputs = field(default_factory=dict)


class _Key(NamedTuple):
    signature: str
    case: str
    kind: str
    tensor: str

    def __str__(self) -> str:
        return f"{_escape(self.signature)}/{_escape(self.case)}/{self.kind}/{_escape(self.tensor, keep='/')}"


_Parts = dict[str, zipfile.ZipInfo]
_Tensors = dict[tuple[str, str], _Parts]


def write_golden(path: Path, cases: Iterable[Case]) -> None:
    """Write the cases in their order; the same content gives the same bytes. A case without any tensor leaves no trace.

    Raises:
        ParityError: a tensor stands there twice, or has a dtype that no tensor has.
        StoreError: the file cannot be written; none is left.
    """
    try:
        # Stored, not deflated: zlib's bytes differ between its versions, and nothing can then be a bomb.
        with storage_errors(path), zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for key, array in _tensors(cases):
                _write_tensor(archive, str(key), array)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _tensors(cases: Iterable[Case]) -> Iterator[tuple[_Key, Array]]:
    seen: set[tuple[str, str]] = set()
    for case in cases:
        if (case.signature, case.name) in seen:
            raise ParityError(f"'{case.signature}' has two golden cases '{case.name}'", hint="give each its own name")
        seen.add((case.signature, case.name))
        for kind, tensors in (("feed", case.feed), ("output", case.outputs)):
            for tensor, array in tensors.items():
                yield _Key(case.signature, case.name, kind, tensor), array


def _escape(text: str, keep: str = "") -> str:
    return _AMBIGUOUS.sub(
        lambda found: found[0] if found[0] in keep else quote(found[0], safe="", errors="surrogatepass"), text
    )


def _write_tensor(archive: zipfile.ZipFile, key: str, array: Array) -> None:
    try:
        name = dtype_name(array.dtype)
    except CatalogError as error:
        raise ParityError(f"golden tensor {key}: {error.message}", hint=error.hint) from error
    if name != "string":
        stored = _stored(name)
        whole = array.view(stored) if name == "bfloat16" else array
        _write_entry(archive, key, stored, array.shape, _chunks(whole, stored))
        return
    items = as_array(array, "string").ravel()
    offsets = np.zeros(len(items) + 1, dtype=_INT64)
    np.cumsum([len(item) for item in items], out=offsets[1:])
    shape = np.array(array.shape, dtype=_INT64)
    _write_entry(archive, f"{key}#bytes", _BYTES, (int(offsets[-1]),), _joined(items))
    _write_entry(archive, f"{key}#offsets", _INT64, offsets.shape, _chunks(offsets, _INT64))
    _write_entry(archive, f"{key}#shape", _INT64, shape.shape, _chunks(shape, _INT64))


def _stored(dtype: str) -> np.dtype[Any]:
    return np.dtype("<u2") if dtype == "bfloat16" else NUMPY_DTYPES[dtype].newbyteorder("<")


def _chunks(array: Array, dtype: np.dtype[Any]) -> Iterator[bytes]:
    """The array's bytes in C order, whatever its own order of memory and bytes, without a second whole copy."""
    for chunk in np.nditer(
        array,
        ["external_loop", "buffered", "zerosize_ok"],
        ["readonly"],
        dtype,
        order="C",
        casting="equiv",
        buffersize=_CHUNK_ITEMS,
    ):
        yield np.asarray(chunk).tobytes()


def _joined(items: Array) -> Iterator[bytes]:
    for start in range(0, len(items), _CHUNK_ITEMS):
        yield b"".join(items[start : start + _CHUNK_ITEMS].tolist())


def _write_entry(
    archive: zipfile.ZipFile, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], chunks: Iterable[bytes]
) -> None:
    # A fixed date, mode and system: the same tensors are the same bytes on any day and machine.
    info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
    info.create_system, info.external_attr = 3, 0o644 << 16
    with archive.open(info, "w", force_zip64=True) as file:
        npy.write_array_header_1_0(file, {"descr": dtype.str, "fortran_order": False, "shape": shape})
        for chunk in chunks:
            file.write(chunk)


def read_golden(path: Path, signatures: Mapping[str, Signature]) -> list[Case]:
    """The cases of a golden.npz in the order in which they were written.

    Args:
        path: the file.
        signatures: those of the manifest; they say what may be there, and of which dtype.

    Raises:
        ParityError: it is missing, damaged, or does not fit the signatures.
        StoreError: it cannot be opened.
    """
    with storage_errors(path):
        # Asked first: opening a named pipe would wait for ever.
        if not path.is_file():
            raise ParityError(f"{path} is missing", hint="build the bundle again")
        file = path.open("rb")
    with file, _distrust(path), zipfile.ZipFile(file) as archive:
        _check_layout(archive, file)
        return [_read_case(archive, *case, tensors, signatures) for case, tensors in _index(archive).items()]


@contextmanager
def _distrust(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        problem = f"{path} is not a golden file as it was written: {error or type(error).__name__}"
        raise ParityError(problem, hint="build the bundle again, or copy it again from where it is whole") from error


def _check_layout(archive: zipfile.ZipFile, file: IO[bytes]) -> None:
    """Entries that fill the file one after the other: none lost from its list, none sharing another's bytes."""
    file.seek(-22, os.SEEK_END)
    if not file.read().startswith(b"PK\5\6"):
        raise ValueError("something follows its last record")
    infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
    ends = [0]
    for info in infos:
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise ValueError(f"entry {info.filename!r} is compressed")
        file.seek(info.header_offset + 26)
        ends.append(info.header_offset + 30 + sum(struct.unpack("<HH", file.read(4))) + info.file_size)
    if ends != [*(info.header_offset for info in infos), archive.start_dir]:
        raise ValueError("its entries do not follow one another")


def _index(archive: zipfile.ZipFile) -> dict[tuple[str, str], _Tensors]:
    cases: dict[tuple[str, str], _Tensors] = {}
    for info in archive.infolist():
        key, part = _parse(info.orig_filename)
        parts = cases.setdefault((key.signature, key.case), {}).setdefault((key.kind, key.tensor), {})
        if part in parts:
            raise ValueError(f"entry {info.filename!r} is there twice")
        parts[part] = info
    return cases


def _parse(entry: str) -> tuple[_Key, str]:
    match = _ENTRY.fullmatch(entry)
    if match:
        signature, case, kind, tensor, part = match.groups()
        key = _Key(_unescape(signature), _unescape(case), kind, _unescape(tensor))
        # One spelling only: otherwise two entries could claim to be the same tensor.
        if f"{key}{part}.npy" == entry:
            return key, part
    raise ValueError(f"entry {entry!r} names no tensor of a case")


def _unescape(text: str) -> str:
    return unquote(text, errors="surrogatepass")


def _read_case(
    archive: zipfile.ZipFile, signature: str, name: str, tensors: _Tensors, signatures: Mapping[str, Signature]
) -> Case:
    if signature not in signatures:
        raise ValueError(f"the manifest has no signature {signature!r}")
    wanted = signatures[signature]
    specs = {"feed": wanted.inputs, "output": wanted.outputs}
    found: dict[str, dict[str, Array]] = {"feed": {}, "output": {}}
    for (kind, tensor), parts in tensors.items():
        key = _Key(signature, name, kind, tensor)
        spec = specs[kind].get(tensor)
        if spec is None:
            raise ValueError(f"the manifest knows no tensor {key}")
        array = _read_tensor(archive, parts, spec)
        if not spec.fits(array.shape):
            raise ValueError(f"tensor {key} has shape {list(array.shape)}, the manifest says {spec}")
        found[kind][tensor] = array
    missing = [tensor for tensor in wanted.inputs if tensor not in found["feed"]]
    if missing:
        raise ValueError(f"case {name!r} of {signature!r} has no input {missing[0]!r}")
    return Case(signature, name, found["feed"], found["output"])


def _read_tensor(archive: zipfile.ZipFile, parts: _Parts, spec: TensorSpec) -> Array:
    if tuple(sorted(parts)) != (tuple(_PARTS) if spec.dtype == "string" else ("",)):
        raise ValueError(f"entry {next(iter(parts.values())).filename!r} is not as a {spec.dtype} tensor is kept")
    if spec.dtype == "string":
        return _read_strings(*(_read_entry(archive, parts[part], dtype) for part, dtype in _PARTS.items()))
    array = _read_entry(archive, parts[""], _stored(spec.dtype))
    if spec.dtype == "bool" and array.size and array.view(np.uint8).max() > 1:
        raise ValueError(f"entry {parts[''].filename!r} has a bool that is neither true nor false")
    return array.view(spec.numpy_dtype)


def _read_strings(data: Array, offsets: Array, shape: Array) -> Array:
    bounds, dims = offsets.ravel().tolist(), shape.ravel().tolist()
    if bounds[:1] != [0] or bounds[-1] != data.size or any(end < start for start, end in pairwise(bounds)):
        raise ValueError("the offsets of a string tensor do not cut its bytes")
    if min(dims, default=0) < 0 or math.prod(dims) != len(bounds) - 1:
        raise ValueError(f"a string tensor of {len(bounds) - 1} items cannot have shape {dims}")
    cut = data.ravel().data
    result = np.empty(len(bounds) - 1, dtype=object)
    result[:] = [bytes(cut[start:end]) for start, end in pairwise(bounds)]
    return result.reshape(dims)


def _read_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo, dtype: np.dtype[Any]) -> Array:
    with archive.open(info) as file:
        start = file.read(len(_MAGIC) + 2)
        header = file.read(int.from_bytes(start[len(_MAGIC) :], "little"))
        match = _HEADER.fullmatch(header)
        if not start.startswith(_MAGIC) or not match or match[1].decode() != dtype.str:
            raise ValueError(f"entry {info.filename!r} is no array of {dtype.name}")
        shape = tuple(int(dim) for dim in re.findall(rb"[0-9]+", match[2]))
        size_bytes = info.file_size - len(start) - len(header)
        # Before any memory is asked for: a header may declare what it likes, the bytes are what is there.
        if math.prod(shape) * dtype.itemsize != size_bytes:
            raise ValueError(f"entry {info.filename!r} declares shape {list(shape)} and holds {size_bytes} bytes")
        array = np.empty(shape, dtype)
        _fill(array.reshape(-1).view(np.uint8), file)
    return array


def _fill(flat: Array, file: IO[bytes]) -> None:
    """Read to the end of an entry, where its checksum is checked, into memory that is just large enough."""
    done = 0
    while chunk := file.read(_CHUNK_BYTES):
        flat[done : done + len(chunk)] = np.frombuffer(chunk, np.uint8)
        done += len(chunk)
    if done != flat.size:
        raise ValueError("an entry ends early")
