"""What tf2onnx fails on is told with the op and its layer."""

import logging
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from tests.formats.rewrites.one_op import Case, answers
from toolkit.errors import ExportError, UnsupportedError
from toolkit.formats.rewrites import onnx_handlers
from toolkit.formats.rewrites.onnx_failures import telling


def tower(x: Any) -> Any:
    with tf.name_scope("tower"):
        return {"y": tf.tanh(x)}


def failing(*_: Any) -> None:
    raise ValueError("only of rank 1")


def test_a_handler_that_fails_is_told_by_its_op(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(onnx_handlers.HANDLERS, "Tanh", (failing, []))
    with pytest.raises(UnsupportedError, match=r"cannot convert Tanh \(layer .*tower\): ValueError: only of") as caught:
        answers(Case("none", tower).traced(), "onnx", tmp_path)
    assert "serve the SavedModel" in caught.value.hint


def test_what_the_log_does_not_tell_is_a_failed_export() -> None:
    before = list(logging.getLogger("tf2onnx.tfonnx").handlers)
    with pytest.raises(ExportError, match="RuntimeError: out of luck") as caught, telling():
        raise RuntimeError("out of luck\nmore of it")
    assert not isinstance(caught.value, UnsupportedError)
    assert "more of it" not in caught.value.message
    assert logging.getLogger("tf2onnx.tfonnx").handlers == before
