"""Reads a .keras file: its configuration and the weights by layer; no class that it names is made."""

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

from toolkit.insight import keras_config
from toolkit.insight.bounds import Budget, damaged, open_regular, outside, printable, reading
from toolkit.insight.hdf5 import read_weights
from toolkit.insight.inspection import Finding, Inspection, Weight
from toolkit.insight.places import about_places
from toolkit.insight.reader import Reader

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_TEXT_BYTES = 64 * 1024**2
_PIECE_BYTES = 16 * 1024**2
_ENTRIES = 10_000
# Keras does not pack what it stores; somebody who packed it again still gets nowhere near this.
_UNPACKED, _AT_LEAST_BYTES = 20, 64 * 1024**2


def knows(path: Path) -> bool:
    """A file called so."""
    return path.is_file() and path.suffix == ".keras"


def read(path: Path, budget: Budget) -> Inspection:
    """The facts of a .keras file."""
    # What zipfile raises besides its own class over damaged content.
    broken = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError, OverflowError)
    with (
        reading(path, *broken, OSError, KeyError, TypeError),
        open_regular(path) as file,
        zipfile.ZipFile(file) as archive,
    ):
        return _inspect(path, archive, budget)


def _inspect(path: Path, archive: zipfile.ZipFile, budget: Budget) -> Inspection:
    size = path.stat().st_size
    entries = archive.infolist()
    if len(entries) > _ENTRIES:
        raise damaged("it has more files inside than any model")
    config = _document(archive, CONFIG)
    metadata = _document(archive, METADATA)
    configured = keras_config.judge(config, budget)
    weights, suspects = _weights(archive, max(_AT_LEAST_BYTES, _UNPACKED * size), budget)
    trained = [weight for weight in weights if weight.name.startswith("optimizer")]
    call = keras_config.call_of(config)
    return Inspection(
        path=str(path),
        format="keras",
        size_bytes=size,
        versions={
            "keras": printable(str(metadata.get("keras_version"))),
            "saved": printable(str(metadata.get("date_saved"))),
        },
        model=path.stem,
        signatures={"serving_default": call} if call else {},
        ops=dict(configured.layers.most_common()),
        weights=tuple(weight for weight in weights if not weight.name.startswith("optimizer")),
        assets={
            printable(one.filename): one.file_size
            for one in entries
            if one.filename.startswith("assets/") and not one.is_dir()
        },
        findings=(
            *(
                Finding("unsafe", f"a name leads out of the file: {printable(one.filename)}", "zip")
                for one in entries
                if outside(one.filename)
            ),
            *configured.findings.values(),
            *suspects,
            *_leftovers(trained),
            *about_places(configured.places),
        ),
    )


def _document(archive: zipfile.ZipFile, name: str) -> dict[str, Any]:
    document = json.loads(_unpacked(archive, name, _TEXT_BYTES))
    if not isinstance(document, dict):
        raise damaged(f"{name} is no JSON object")
    return document


def _unpacked(archive: zipfile.ZipFile, name: str, limit_bytes: int) -> bytes:
    """A file of the archive, as far as the limit; what the archive says of its size is not asked."""
    if name not in archive.namelist():
        raise damaged(f"there is no {name} in it")
    content = bytearray()
    with archive.open(name) as file:
        while piece := file.read(min(_PIECE_BYTES, limit_bytes + 1 - len(content))):
            content += piece
    if len(content) > limit_bytes:
        raise damaged(f"{name} unpacks to more than {limit_bytes:,} bytes", "no model does: do not unpack it")
    return bytes(content)


def _weights(archive: zipfile.ZipFile, limit_bytes: int, budget: Budget) -> tuple[list[Weight], list[Finding]]:
    if WEIGHTS not in archive.namelist():
        return [], []
    return read_weights(_unpacked(archive, WEIGHTS, limit_bytes), budget)


def _leftovers(trained: list[Weight]) -> list[Finding]:
    if not trained:
        return []
    size = sum(weight.size_bytes for weight in trained)
    return [Finding("leftover", f"the optimizer's state, {len(trained)} arrays, {size:,} bytes", WEIGHTS)]


READER = Reader("keras", knows, read, "FILE.keras")
