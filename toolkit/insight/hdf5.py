"""Reads what weights a Keras HDF5 file holds; links that lead out of the file are named and never followed."""

import io
from collections.abc import Iterator
from typing import Any

from toolkit.insight.bounds import Budget, damaged, printable
from toolkit.insight.inspection import Finding, Tensor, Weight

_DEEP = 64
# Keras packs nothing; others may. What unpacks to more than this many times the file is an attack.
_UNPACKED, _AT_LEAST_BYTES = 20, 64 * 1024**2


def read_weights(content: bytes, budget: Budget) -> tuple[list[Weight], list[Finding]]:
    """The weights by layer, and what should not be there; OSError, RuntimeError, KeyError or ValueError if damaged."""
    import h5py

    weights: list[Weight] = []
    findings: list[Finding] = []
    with h5py.File(io.BytesIO(content), "r") as file:
        for place, thing in _things(file, h5py, budget, findings):
            if isinstance(thing, h5py.Dataset):
                weights.append(_weight(place, thing, len(content), budget, findings))
    return weights, findings


def _things(file: Any, h5py: Any, budget: Budget, findings: list[Finding]) -> Iterator[tuple[str, Any]]:
    """(place, group or dataset) of everything inside the file, each once: groups may hold each other."""
    waiting: list[tuple[str, Any]] = [("", file)]
    seen = set()
    while waiting:
        place, group = waiting.pop()
        for name in group:
            budget.take()
            inner = f"{place}/{name}".lstrip("/")
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                leads = printable(str(getattr(link, "filename", "")) or str(getattr(link, "path", "")))
                findings.append(Finding("unsafe", f"a link in the weights leads to {leads}", printable(inner)))
                continue
            thing = group[name]
            address = h5py.h5o.get_info(thing.id).addr
            if address in seen:
                continue
            seen.add(address)
            if inner.count("/") > _DEEP:
                raise damaged("its groups lie too deep")
            yield inner, thing
            if isinstance(thing, h5py.Group):
                waiting.append((inner, thing))


def _weight(place: str, dataset: Any, file_bytes: int, budget: Budget, findings: list[Finding]) -> Weight:
    tensor = Tensor(str(dataset.dtype), tuple(int(dim) for dim in dataset.shape or ()))
    name = printable(_name(place, dataset))
    if dataset.external or dataset.is_virtual:
        findings.append(Finding("unsafe", "values are read from another file", printable(place)))
        return Weight(name, tensor, 0)
    if dataset.nbytes > max(_AT_LEAST_BYTES, _UNPACKED * file_bytes):
        raise damaged(f"{printable(place)} says it has {dataset.nbytes:,} bytes, in a file of {file_bytes:,}")
    if dataset.dtype.kind in "OV":  # text of any length, or records: no weights of Keras'
        return Weight(name, tensor, int(dataset.id.get_storage_size()))
    return Weight(name, tensor, int(dataset.nbytes), budget.digest(dataset[()].tobytes()))


def _name(place: str, dataset: Any) -> str:
    """`layers/dense/vars/0` of the layer that its author called hidden is `hidden/0`."""
    folder, _, last = place.rpartition("/")
    given = dataset.parent.attrs.get("name") if folder.endswith("vars") else None
    if isinstance(given, str) and not place.startswith("optimizer"):
        # Layers inside layers keep the way to them: their own names may repeat.
        outer = folder.removesuffix("/vars").split("/")[1:-1]
        return "/".join([*(part for part in outer if part != "layers"), given, last])
    return place
