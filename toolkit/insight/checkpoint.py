"""Reads what a SavedModel's variables are from their index, without their values and without TensorFlow.

`variables.index` is a table in LevelDB's format (github.com/google/leveldb, doc/table_format.md) from keys to
BundleEntryProto (tensorflow/core/protobuf/tensor_bundle.proto); `variables.data-*` holds the values. Keras' and
TensorFlow 2's keys are places in the object graph, which is itself stored as a string under a key of its own.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c

from toolkit.errors import WireError
from toolkit.insight.bounds import Budget, damaged, open_regular, printable, read_bytes, reading
from toolkit.insight.inspection import DOUBLED_BYTES, Finding, Tensor, Weight, doubled
from toolkit.insight.snappy import unpack
from toolkit.wire import protos
from toolkit.wire.dtypes import BY_NUMBER
from toolkit.wire.varints import read_varint

INDEX = "variables.index"
_MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
_FOOTER_BYTES = 48
_TRAILER_BYTES = 5  # kind of compression, checksum
_CRC_MASK = 0xA282EAD8
# An index lists names and places, some 80 bytes a variable.
_INDEX_BYTES = 256 * 1024**2
# How a block is packed: not at all, or by Snappy, as TensorFlow 1 did.
_UNPACKERS: Mapping[int, Callable[[bytes], bytes]] = {0: bytes, 1: lambda packed: unpack(packed, _INDEX_BYTES)}
_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
# What optimizers and training loops keep, by the places that TensorFlow and Keras give them in the object graph.
_OF_TRAINING = ("optimizer/", "_optimizer/", "keras_api/metrics/", "save_counter/", "_train_counter/", "_test_counter/")


@dataclass(frozen=True)
class Checkpoint:
    """The variables of a SavedModel."""

    weights: tuple[Weight, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class _Entry:
    key: str
    proto: Any


def read_checkpoint(folder: Path, budget: Budget) -> Checkpoint:
    """What the index of a `variables` folder says; nothing where there is none.

    Raises:
        ParityError: the index is damaged, or the values are not all there.
    """
    index = folder / INDEX
    if not index.is_file():
        return Checkpoint()
    with reading(index, ValueError, IndexError, WireError):
        table = dict(_table(read_bytes(index, _INDEX_BYTES), budget))
        header = protos.parse(protos.BundleHeader, table.pop(b"", b""))
        entries = [_Entry(key.decode(), protos.parse(protos.BundleEntry, value)) for key, value in table.items()]
    shards = _Shards(folder, header.num_shards)
    for entry in entries:
        shards.check(entry)
    names = _full_names(shards, entries, index)
    stored = [entry for entry in entries if entry.proto.dtype in BY_NUMBER and entry.key != _OBJECT_GRAPH]
    weights = [_weight(entry, names) for entry in stored]
    return Checkpoint(tuple(weights), (*_leftovers(stored, names), *_doubled(weights)))


def _table(content: bytes, budget: Budget) -> Iterator[tuple[bytes, bytes]]:
    """Every key and value of a LevelDB table."""
    if len(content) < _FOOTER_BYTES or not content.endswith(_MAGIC):
        raise damaged("it is no checkpoint index, or cut off")
    footer = content[-_FOOTER_BYTES:]
    _, at = read_varint(footer, 0)  # the place and size of a block that TensorFlow does not use
    _, at = read_varint(footer, at)
    for _, handle in _entries(_block(content, footer[at:]), budget):
        yield from _entries(_block(content, handle), budget)


def _block(content: bytes, handle: bytes) -> bytes:
    start, at = read_varint(handle, 0)
    size, _ = read_varint(handle, at)
    end = start + size
    if end + _TRAILER_BYTES > len(content):
        raise damaged("a block lies outside of it")
    crc = int(google_crc32c.value(content[start : end + 1]))
    masked = ((crc >> 15 | crc << 17) + _CRC_MASK) & 0xFFFFFFFF
    if masked != int.from_bytes(content[end + 1 : end + _TRAILER_BYTES], "little"):
        raise damaged("a checksum does not fit")
    if content[end] not in _UNPACKERS:
        raise damaged("a block is packed in an unknown way")
    return _UNPACKERS[content[end]](content[start:end])


def _entries(block: bytes, budget: Budget) -> Iterator[tuple[bytes, bytes]]:
    """Keys share their beginning with the key before; at the end stand places to start from, and how many."""
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 - 4 * restarts
    if len(block) < 4 or end < 0:
        raise damaged("a block is too short")
    at, key = 0, b""
    while at < end:
        budget.take()
        shared, at = read_varint(block, at)
        own, at = read_varint(block, at)
        size, at = read_varint(block, at)
        if shared > len(key) or at + own + size > end or shared + own > _INDEX_BYTES // 64:
            raise damaged("an entry lies outside of its block")
        key = key[:shared] + block[at : at + own]
        yield key, block[at + own : at + own + size]
        at += own + size


class _Shards:
    """The files of the values."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder, self._count = folder, count
        self._sizes: dict[int, int] = {}

    def path(self, shard: int) -> Path:
        return self._folder / f"variables.data-{shard:05d}-of-{self._count:05d}"

    def check(self, entry: _Entry) -> None:
        """Refuses an entry whose values are not there."""
        shard = entry.proto.shard_id
        path = self.path(shard)
        if shard not in self._sizes:
            if not path.is_file():
                raise damaged(f"{path} is missing")
            self._sizes[shard] = path.stat().st_size
        start, size = entry.proto.offset, entry.proto.size
        if start < 0 or size < 0 or start + size > self._sizes[shard]:
            raise damaged(f"{path} is cut off: the index wants {start + size:,} bytes, it has {self._sizes[shard]:,}")

    def read(self, entry: _Entry) -> bytes:
        with open_regular(self.path(entry.proto.shard_id)) as file:
            file.seek(entry.proto.offset)
            return bytes(file.read(entry.proto.size))


def _full_names(shards: _Shards, entries: list[_Entry], index: Path) -> dict[str, str]:
    """Key to the name that the variable had in its program, from the object graph where there is one."""
    entry = next((entry for entry in entries if entry.key == _OBJECT_GRAPH), None)
    if entry is None or entry.proto.size > _INDEX_BYTES:
        return {}
    with reading(index, ValueError, IndexError, WireError):
        content = shards.read(entry)
        # A string tensor: the length of its one string, a checksum of four bytes, the string.
        size, at = read_varint(content, 0)
        graph = protos.parse(protos.ObjectGraph, content[at + 4 : at + 4 + size])
    return {
        attribute.checkpoint_key: attribute.full_name
        for node in graph.nodes
        for attribute in node.attributes
        if attribute.full_name
    }


def _weight(entry: _Entry, names: Mapping[str, str]) -> Weight:
    proto = entry.proto
    shape = tuple(dim.size for dim in proto.shape.dim)
    # The checksum of the values stands in the index: telling two variables apart reads none of them.
    digest = f"crc32c:{proto.crc32c:08x}" if not proto.slices else ""
    tensor = Tensor(BY_NUMBER[proto.dtype].name, shape)
    return Weight(printable(names.get(entry.key, entry.key)), tensor, proto.size, digest)


def _leftovers(entries: list[_Entry], names: Mapping[str, str]) -> Iterator[Finding]:
    found = [entry for entry in entries if _of_training(entry.key)]
    if found:
        size = sum(entry.proto.size for entry in found)
        first = printable(names.get(found[0].key, found[0].key))
        yield Finding("leftover", f"{len(found)} variables of training, {size:,} bytes, such as {first}", INDEX)


def _of_training(key: str) -> bool:
    return ".OPTIMIZER_SLOT" in key or key.startswith(_OF_TRAINING) or any(f"/{part}" in key for part in _OF_TRAINING)


def _doubled(weights: list[Weight]) -> Iterator[Finding]:
    """Keras' own tracking saves a variable twice, under one name; large equal values are a copy whatever their name."""
    alike: dict[tuple[str, Tensor, str], list[Weight]] = {}
    for weight in weights:
        if weight.digest and weight.size_bytes:
            name = weight.name if weight.size_bytes < DOUBLED_BYTES else ""
            alike.setdefault((name, weight.tensor, weight.digest), []).append(weight)
    return doubled(alike.values())
