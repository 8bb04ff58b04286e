"""A file and what TensorFlow runs around it answer as one; no TensorFlow is needed to see how they are joined."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolkit.core.plugins import Opening
from toolkit.core.runner import FunctionRunner, Runner
from toolkit.core.split import Part, Split, write_split
from toolkit.core.tensors import Feed, Outputs, Signature, TensorSpec
from toolkit.errors import ParityError
from toolkit.runtimes import saved_model
from toolkit.runtimes.split.joined import joined

WORD, NUMBER = TensorSpec("string", (None,)), TensorSpec("int64", (None,))
FRONT = Part("preprocess", {"word": WORD}, {"length": NUMBER, "same": WORD})
# `x` is the name of an input and of an output, as a signature may have it.
BACK = Part("serving_default", {"length": NUMBER, "x": NUMBER}, {"x": NUMBER, "sum": NUMBER})
TAIL = Part("postprocess", {"sum": NUMBER, "x": NUMBER}, {"label": WORD})
SPLIT = Split(BACK, FRONT, TAIL, ("word", "x"), ("same", "x", "label"))
FEED = {"word": np.array([b"ab", b"c"], object), "x": np.array([10, 20])}


def front(feed: Feed) -> Outputs:
    return {"length": np.array([len(word) for word in feed["word"]]), "same": feed["word"]}


def back(feed: Feed) -> Outputs:
    return {"x": feed["x"] * 100, "sum": feed["x"] + feed["length"]}


def tail(feed: Feed) -> Outputs:
    return {"label": np.array([b"%d of %d" % pair for pair in zip(feed["sum"], feed["x"], strict=True)], object)}


FUNCTIONS: dict[str, Callable[[Feed], Outputs]] = {"preprocess": front, "serving_default": back, "postprocess": tail}


def opener(parts: Mapping[str, Part], opened: list[Opening]) -> Callable[[Opening], AbstractContextManager[Runner]]:
    @contextmanager
    def open_part(opening: Opening) -> Iterator[Runner]:
        opened.append(opening)
        part = parts[opening.signature_name]
        yield FunctionRunner("fake", Signature(part.inputs, part.outputs), FUNCTIONS[part.signature])
        opened.remove(opening)

    return open_part


@pytest.fixture
def opening(tmp_path: Path) -> Opening:
    write_split(tmp_path, "serving_default", SPLIT)
    return Opening(tmp_path / "serving_default.onnx", "serving_default", Signature({}), threads=1)


def test_the_parts_answer_as_one_under_the_names_of_the_signature(
    opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Opening] = []
    open_part = opener({part.signature: part for part in SPLIT.parts}, opened)
    monkeypatch.setattr(saved_model, "open_runner", open_part)
    with joined(opening, open_part) as runner:
        assert runner.signature == Signature({"word": WORD, "x": NUMBER}, {"same": WORD, "x": NUMBER, "label": WORD})
        found = runner.run(FEED)
        folder = opening.path.parent
        assert [part.path for part in opened] == [folder / "tensorflow", opening.path, folder / "tensorflow"]
        assert {part.threads for part in opened} == {1}
    assert opened == []
    assert {name: array.tolist() for name, array in found.items()} == {
        "same": [b"ab", b"c"],
        "x": [1000, 2000],
        "label": [b"12 of 10", b"21 of 20"],
    }


def test_what_is_not_split_is_the_file_alone(tmp_path: Path) -> None:
    opened: list[Opening] = []
    whole = Opening(tmp_path / "serving_default.onnx", "serving_default", Signature({}))
    with joined(whole, opener({"serving_default": BACK}, opened)) as runner:
        assert opened == [whole]
        assert set(runner.signature.inputs) == {"length", "x"}


@pytest.mark.parametrize("strange", ["preprocess", "serving_default"])
def test_parts_that_were_not_made_together_are_refused(
    opening: Opening, strange: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: dict[str, Any] = {part.signature: part for part in SPLIT.parts}
    parts[strange] = Part(strange, {"other": NUMBER}, parts[strange].outputs)
    open_part = opener(parts, [])
    monkeypatch.setattr(saved_model, "open_runner", open_part)
    with pytest.raises(ParityError, match=f"'{strange}' of .* has other, the split wants"), joined(opening, open_part):
        pytest.fail("it opened")
