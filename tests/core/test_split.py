"""How a split artifact says what runs where."""

import json
from pathlib import Path

import pytest

from toolkit.core.split import Part, Split, part_name, read_split, write_split
from toolkit.core.tensors import TensorSpec
from toolkit.errors import ParityError

TEXT, CODES = TensorSpec("string", (None,)), TensorSpec("int64", (None, 6))
SCORES, AGE = TensorSpec("float32", (None, 3)), TensorSpec("float32", (None,))
FRONT = Part("preprocess", {"text": TEXT}, {"codes": CODES}, {"StringLower": "m/words_1", "Lookup": "m/words_1/in"})
BACK = Part("serving_default", {"codes": CODES, "age": AGE}, {"scores": SCORES})
TAIL = Part("postprocess", {"scores": SCORES}, {"label": TEXT}, {"LookupTableFindV2": "label"})
SPLIT = Split(BACK, FRONT, TAIL, ("text", "age"), ("scores", "label"))


def test_a_split_is_read_as_it_was_written(tmp_path: Path) -> None:
    for split in (SPLIT, Split(BACK, None, TAIL, ("codes", "age"), ("scores", "label"))):
        write_split(tmp_path, "serving_default", split)
        assert read_split(tmp_path / "serving_default.onnx") == split


def test_a_file_without_a_document_is_whole(tmp_path: Path) -> None:
    assert read_split(tmp_path / "serving_default.onnx") is None


def test_the_parts_run_in_order_and_the_cut_is_what_the_file_gets_of_the_front() -> None:
    assert SPLIT.parts == [FRONT, BACK, TAIL]
    assert SPLIT.cut == {"codes": CODES}


def test_a_line_says_who_runs_what_and_where_the_file_begins_and_ends() -> None:
    assert SPLIT.describe("serving_default") == (
        "'serving_default' is split: TensorFlow runs StringLower, Lookup (layer m/words_1) in 'preprocess' of "
        "tensorflow/ before the file, which takes codes int64[*, 6], and LookupTableFindV2 (layer label) in "
        "'postprocess' of tensorflow/ after the file, from scores float32[*, 3]"
    )


@pytest.mark.parametrize(
    ("kind", "signature", "name"),
    [("preprocess", "serving_default", "preprocess"), ("preprocess", "classify", "preprocess_classify")],
)
def test_a_part_is_called_after_its_signature(kind: str, signature: str, name: str) -> None:
    assert part_name(kind, signature) == name


@pytest.mark.parametrize("damage", ["{", "[]", '{"schema": 2}', '{"schema": 1}', "back", "dtype"])
def test_a_damaged_document_is_an_error_in_one_line(tmp_path: Path, damage: str) -> None:
    write_split(tmp_path, "serving_default", SPLIT)
    path = tmp_path / "serving_default.split.json"
    document = json.loads(path.read_text())
    if damage == "back":
        damage = json.dumps(document | {"back": None})
    elif damage == "dtype":
        document["back"]["inputs"]["age"]["dtype"] = "float33"
        damage = json.dumps(document)
    path.write_text(damage)
    with pytest.raises(ParityError, match=r"serving_default\.split\.json (is damaged|has schema 2)") as found:
        read_split(tmp_path / "serving_default.onnx")
    assert "\n" not in found.value.message
    assert found.value.hint
