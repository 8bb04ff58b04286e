"""Turns a JSON or .npz file into a feed for people who type one by hand."""

import base64
import binascii
import json
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

from toolkit.errors import FeedError

# All that damaged files of either kind raise; NumPy's reader and the archive's share no class.
_DAMAGE = (OSError, ValueError, EOFError, RecursionError, NotImplementedError, zipfile.BadZipFile, zlib.error)


def read_feed(file: Path) -> dict[str, Any]:
    """The feed in a file; `-` is JSON on standard input.

    Raises:
        FeedError: the file is missing, or neither JSON nor npz with named inputs.
    """
    try:
        if file.suffix == ".npz":
            return _arrays(file)
        document = json.loads(sys.stdin.read() if str(file) == "-" else file.read_bytes())
    except _DAMAGE as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise FeedError(
            f"{file} holds no feed: {reason}", hint='give JSON as {"input name": values}, or an .npz without objects'
        ) from error
    if not isinstance(document, dict):
        raise FeedError(f"{file} holds a {type(document).__name__}", hint='write {"input name": values}')
    return _named(document)


def read_feeds(file: Path) -> list[dict[str, Any]]:
    """The feeds in a file: one in an .npz or a .json, one a line in a .jsonl.

    Raises:
        FeedError: the file is missing, or holds no feeds.
    """
    if file.suffix != ".jsonl":
        return [read_feed(file)]
    try:
        lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        documents = [json.loads(line) for line in lines]
    except _DAMAGE as error:
        raise FeedError(f"{file} holds no feeds: {error}", hint='a line each: {"input name": values}') from error
    if not documents or not all(isinstance(document, dict) for document in documents):
        raise FeedError(f"{file} holds no feeds", hint='a line each: {"input name": values}')
    return [_named(document) for document in documents]


def _named(document: dict[str, Any]) -> dict[str, Any]:
    inner = document.get("inputs")
    # As the REST API of TensorFlow Serving has it; but an input may itself be called `inputs`.
    if len(document) == 1 and isinstance(inner, dict) and set(inner) != {"b64"}:
        document = inner
    return {name: _decoded(value) for name, value in document.items()}


def _arrays(file: Path) -> dict[str, Any]:
    import ml_dtypes
    import numpy as np

    with np.load(file, allow_pickle=False) as stored:
        if not hasattr(stored, "files"):
            raise ValueError("it is one array without a name")
        found = {name: stored[name] for name in stored.files}
    # NumPy forgets what two bytes of no type of its own were: of our dtypes only bfloat16 is such.
    return {name: array.view(ml_dtypes.bfloat16) if array.dtype == "V2" else array for name, array in found.items()}


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if isinstance(value, dict) and set(value) == {"b64"}:
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise FeedError(f"not base64: {value['b64']!r:.40}", hint='write {"b64": "..."}') from error
    return value
