"""TensorProto by table: both encodings of every dtype, what missing and surplus values mean, and what is no tensor."""

from typing import Any

import numpy as np
import pytest

from toolkit.core.tensors import NUMPY_DTYPES
from toolkit.errors import WireError
from toolkit.wire import protos
from toolkit.wire.dtypes import BY_NAME, dtype_of, dtype_word
from toolkit.wire.tensor_proto import TensorMap, decode_tensor, encode_tensor, fill_string_content


def tensor(text: str) -> Any:
    return protos.parse_text(protos.TensorProto, text)


# dtype, the values as a list, the values as raw bytes, the values.
ENCODINGS = [
    ("FLOAT", "float_val: [1.5, -2]", np.array([1.5, -2], "<f4")),
    ("DOUBLE", "double_val: [1.5, -2]", np.array([1.5, -2], "<f8")),
    ("HALF", "half_val: [15872, 49152]", np.array([1.5, -2], "<f2")),
    ("BFLOAT16", "half_val: [16320, 49152]", np.array([1.5, -2], NUMPY_DTYPES["bfloat16"])),
    ("INT8", "int_val: [1, -2]", np.array([1, -2], "i1")),
    ("INT16", "int_val: [1, -2]", np.array([1, -2], "<i2")),
    ("INT32", "int_val: [1, -2]", np.array([1, -2], "<i4")),
    ("INT64", "int64_val: [1, -2]", np.array([1, -2], "<i8")),
    ("UINT8", "int_val: [1, 254]", np.array([1, 254], "u1")),
    ("UINT16", "int_val: [1, 65535]", np.array([1, 65535], "<u2")),
    ("UINT32", "uint32_val: [1, 4294967295]", np.array([1, 2**32 - 1], "<u4")),
    ("UINT64", "uint64_val: [1, 18446744073709551615]", np.array([1, 2**64 - 1], "<u8")),
    ("BOOL", "bool_val: [true, false]", np.array([True, False])),
    ("COMPLEX64", "scomplex_val: [1, 2, -3, 0]", np.array([1 + 2j, -3], "<c8")),
    ("COMPLEX128", "dcomplex_val: [1, 2, -3, 0]", np.array([1 + 2j, -3], "<c16")),
]


@pytest.mark.parametrize(("dtype", "listed", "expected"), ENCODINGS, ids=[row[0] for row in ENCODINGS])
def test_a_dtype_as_a_list_and_as_raw_bytes(dtype: str, listed: str, expected: Any) -> None:
    by_list = tensor(f"dtype: DT_{dtype} tensor_shape {{ dim {{ size: 2 }} }} {listed}")
    by_bytes = protos.TensorProto(dtype=by_list.dtype, tensor_shape=by_list.tensor_shape)
    by_bytes.tensor_content = expected.tobytes()
    for proto in (by_list, by_bytes):
        actual = decode_tensor(proto)
        assert actual.dtype == expected.dtype
        assert actual.tolist() == expected.tolist()
    assert encode_tensor(expected, content=False) == by_list
    assert encode_tensor(expected, content=True) == by_bytes


def test_strings_are_listed_and_also_read_from_raw_bytes() -> None:
    expected = np.array([b"", b"\xff\0", b"x" * 300], object)
    assert list(encode_tensor(expected, content=True).string_val) == expected.tolist()
    assert decode_tensor(encode_tensor(expected, content=False)).tolist() == expected.tolist()
    raw = protos.TensorProto()
    fill_string_content(raw, expected)
    assert raw.tensor_content == b"\x00\x02\xac\x02" + b"".join(expected.tolist())
    assert decode_tensor(raw).tolist() == expected.tolist()


@pytest.mark.parametrize("name", [name for name in BY_NAME if name not in (*NUMPY_DTYPES, "resource", "variant")])
def test_a_dtype_that_numpy_lacks_is_read_and_named(name: str) -> None:
    held = BY_NAME[name].numpy
    array = np.array([1, 2], held[name]).view(held) if held.names else np.array([1, 2]).astype(held)
    for content in (False, True):
        actual = decode_tensor(encode_tensor(array, content=content))
        assert dtype_of(actual).word == name
        assert actual.tobytes() == array.tobytes()


@pytest.mark.parametrize("name", ["resource", "variant"])
def test_an_opaque_tensor_is_named_and_never_sent(name: str) -> None:
    actual = decode_tensor(tensor(f"dtype: DT_{name.upper()} tensor_shape {{ dim {{ size: 2 }} }}"))
    assert (dtype_of(actual).word, actual.shape) == (name, (2,))
    with pytest.raises(WireError, match="cannot leave the server"):
        encode_tensor(actual, content=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dtype: DT_FLOAT tensor_shape { dim { size: 3 } } float_val: [1, 2]", [1, 2, 2]),
        ("dtype: DT_FLOAT tensor_shape { dim { size: 3 } }", [0, 0, 0]),
        ("dtype: DT_FLOAT tensor_shape { dim { size: 1 } } float_val: [7, 8]", [7]),
        ("dtype: DT_FLOAT tensor_shape { dim { size: 0 } } float_val: [7, 8]", []),
        ("dtype: DT_FLOAT float_val: [7, 8]", 7),
        ("dtype: DT_FLOAT tensor_shape { unknown_rank: true } float_val: 7", 7),
        ("dtype: DT_FLOAT tensor_shape { dim { size: 0 } } tensor_content: 'x'", []),
        ("dtype: DT_FLOAT tensor_shape { dim { size: 1 } } double_val: 7", [0]),
        ("dtype: DT_STRING tensor_shape { dim { size: 2 } } string_val: 'a'", [b"a", b"a"]),
        ("dtype: DT_STRING tensor_shape { dim { size: 2 } }", [b"", b""]),
        ("dtype: DT_COMPLEX64 tensor_shape { dim { size: 2 } } scomplex_val: [1, 2, 3]", [1 + 2j, 1 + 2j]),
        ("dtype: DT_HALF tensor_shape { dim { size: 2 } } half_val: 15872", [1.5, 1.5]),
        ("dtype: DT_INT8 tensor_shape { dim { size: 2 } } int_val: [128, -129]", [-128, 127]),
        ("dtype: DT_BOOL tensor_shape { dim { size: 3 } } tensor_content: '\\000\\001\\002'", [False, True, True]),
    ],
)
def test_missing_values_repeat_the_last_and_surplus_ones_are_dropped(text: str, expected: Any) -> None:
    assert decode_tensor(tensor(text)).tolist() == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("float_val: 1", "no tensor has dtype 0"),
        ("dtype: DT_FLOAT_REF float_val: 1", "no tensor has dtype 101"),
        ("dtype: DT_FLOAT tensor_shape { dim { size: -1 } }", r"shape \[-1\] is no shape"),
        ("dtype: DT_FLOAT tensor_shape { dim { size: 4294967296 } dim { size: 4294967296 } }", "is no shape"),
        ("dtype: DT_FLOAT tensor_shape { dim { size: 1099511627776 } } float_val: 1", "1 values cannot stand for"),
        ("dtype: DT_STRING tensor_shape { dim { size: 1099511627776 } }", "0 values cannot stand for"),
        ("dtype: DT_VARIANT tensor_shape { dim { size: 1099511627776 } }", "0 values cannot stand for"),
        ("dtype: DT_FLOAT tensor_shape { dim { size: 2 } } tensor_content: 'abc'", "has 3 bytes; 2 of float take 8"),
        ("dtype: DT_STRING tensor_shape { dim { size: 2 } } tensor_content: '\\001'", "ends before"),
        ("dtype: DT_STRING tensor_shape { dim { size: 1 } } tensor_content: '\\200'", "broken string length"),
        ("dtype: DT_STRING tensor_shape { dim { size: 1 } } tensor_content: '\\005a'", "does not hold the strings"),
        ("dtype: DT_STRING tensor_shape { dim { size: 1 } } tensor_content: '\\001ab'", "does not hold the strings"),
        ("dtype: DT_FLOAT tensor_shape { " + "dim { size: 1 } " * 65 + "}", "more than an array can have"),
    ],
)
def test_what_is_no_tensor_says_why(text: str, reason: str) -> None:
    with pytest.raises(WireError, match=reason):
        decode_tensor(tensor(text))


def test_a_map_of_tensors_decodes_only_what_is_asked_for() -> None:
    request = protos.parse_text(
        protos.PredictRequest,
        "inputs { key: 'good' value { dtype: DT_INT32 int_val: 3 } } inputs { key: 'bad' value { dtype: 77 } }",
    )
    feed = TensorMap(request.inputs)
    assert set(feed) == {"good", "bad"}
    assert len(feed) == 2
    assert feed["good"] == 3
    assert "other" not in feed
    assert set(request.inputs) == {"good", "bad"}
    with pytest.raises(WireError, match="no tensor has dtype 77"):
        feed["bad"]


@pytest.mark.parametrize(
    ("array", "name"),
    [
        (np.array(["a"]), "string"),
        (np.array([b"a"]), "string"),
        (np.array([1], ">f4"), "float32"),
        (np.array([1], ">i8"), "int64"),
    ],
)
def test_other_forms_of_a_dtype_are_sent_as_it(array: Any, name: str) -> None:
    assert dtype_of(array).name == name
    sent = decode_tensor(encode_tensor(array, content=True))
    assert dtype_of(sent).name == name
    assert sent.tolist() == [item.encode() if isinstance(item, str) else item for item in array.tolist()]


@pytest.mark.parametrize("array", [np.array(["2020-01-01"], "M8[D]"), np.array([1], "f8,f8")])
def test_values_that_no_tensor_holds_are_refused(array: Any) -> None:
    with pytest.raises(WireError, match="no tensor has dtype"):
        encode_tensor(array, content=True)


def test_a_string_tensor_of_something_else_is_refused() -> None:
    with pytest.raises(WireError, match="cannot hold int"):
        encode_tensor(np.array([b"a", 5], object), content=False)


@pytest.mark.parametrize(
    ("number", "word"),
    [(0, "INVALID"), (1, "float"), (2, "double"), (19, "half"), (101, "float_ref"), (99, "unknown dtype enum (99)")],
)
def test_a_dtype_has_tensorflows_word(number: int, word: str) -> None:
    assert dtype_word(number) == word
