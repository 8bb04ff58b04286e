"""The server's JSON: what it reads, each error with its offset, and how it writes."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from toolkit.core.tensors import Array
from toolkit.errors import WireError
from toolkit.wire.json_reader import read_exactly, read_json, read_json_object
from toolkit.wire.json_scanner import members, scan
from toolkit.wire.json_writer import debug_text, number_texts, quote
from toolkit.wire.rapid_doubles import read_double

NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b' [1, 2.5, null, true, false, "\\u00e9\\n", {}, []] ', [1, 2.5, None, True, False, "é\n", {}, []]),
        (b"\xef\xbb\xbf[1]", [1]),
        (b"[1] and what follows", [1]),
        (b"[1]\0", [1]),
        (b"[Infinity, -Infinity, Inf, -Inf]", [INFINITY, -INFINITY, INFINITY, -INFINITY]),
        (b"[10e308, -10e308]", [INFINITY, -INFINITY]),
        (b"[NaInf, -NInfinity]", [INFINITY, -INFINITY]),
        (b"[NaN.5, -Infinity.5, Inf.25e2, NaNe5]", [0.5, -0.5, 25.0, 0.0]),
        (b"[1e-400, -0, -0.0]", [0.0, 0, -0.0]),
        (b"[18446744073709551615, -9223372036854775808]", [2**64 - 1, -(2**63)]),
        (b"[18446744073709551616, -9223372036854775809]", [2.0**64, -(2.0**63)]),
        (b"[Inf, 18446744073709551616, 12345678901234567890123]", [INFINITY, 2.0**64, 1.2345678901234568e22]),
        (b'["\xff", "\xc3\xa9", "\\ud83d\\ude00"]', ["\udcff", "é", "😀"]),
        (b'["\\udc00"]', ["\udced\udcb0\udc80"]),
        (b'{"a": {"b": [1]}, "c": 2}', {"a": {"b": [1]}, "c": 2}),
    ],
)
def test_what_the_server_reads(body: bytes, value: Any) -> None:
    assert repr(read_json(body)) == repr(value)
    assert repr(scan(body)) == repr(value)


def test_nan_is_read_whatever_its_sign() -> None:
    for body in (b"[NaN, -NaN]", b'[NaN, -NaN, "\\u0020"]'):
        assert repr(read_json(body)[:2]) == "[nan, nan]"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "The document is empty. at offset: 0"),
        (b" \n", "The document is empty. at offset: 2"),
        (b"]", "The document is empty. at offset: 0"),
        (b":", "The document is empty. at offset: 0"),
        (b"\xef\xbb\xbf", "The document is empty. at offset: 3"),
        (b"nul", "Invalid value. at offset: 3"),
        (b"[nan]", "Invalid value. at offset: 2"),
        (b"[inf]", "Invalid value. at offset: 1"),
        (b"[Infinite]", "Invalid value. at offset: 8"),
        (b"[Nan]", "Invalid value. at offset: 3"),
        (b"[+1]", "Invalid value. at offset: 1"),
        (b"[-]", "Invalid value. at offset: 2"),
        (b"[.5]", "Invalid value. at offset: 1"),
        (b"[1,]", "Invalid value. at offset: 3"),
        (b"[", "Invalid value. at offset: 1"),
        (b"[[1],", "Invalid value. at offset: 5"),
        (b"[,1]", "Invalid value. at offset: 1"),
        (b'{"a":}', "Invalid value. at offset: 5"),
        (b"{", "Missing a name for object member. at offset: 1"),
        (b"{'a': 1}", "Missing a name for object member. at offset: 1"),
        (b'{"a": 1,}', "Missing a name for object member. at offset: 8"),
        (b"{1: 1}", "Missing a name for object member. at offset: 1"),
        (b'{"a" 1}', "Missing a colon after a name of object member. at offset: 5"),
        (b'{"a"}', "Missing a colon after a name of object member. at offset: 4"),
        (b'{"a": 1 "b"}', "Missing a comma or '}' after an object member. at offset: 8"),
        (b'{"a": 1]', "Missing a comma or '}' after an object member. at offset: 7"),
        (b'{"a": 1', "Missing a comma or '}' after an object member. at offset: 7"),
        (b"[1 2]", "Missing a comma or ']' after an array element. at offset: 3"),
        (b"[01]", "Missing a comma or ']' after an array element. at offset: 2"),
        (b"[0x1]", "Missing a comma or ']' after an array element. at offset: 2"),
        (b"[1}", "Missing a comma or ']' after an array element. at offset: 2"),
        (b"[1\0]", "Missing a comma or ']' after an array element. at offset: 2"),
        (b'["a', "Missing a closing quotation mark in string. at offset: 3"),
        (b'["a\0"]', "Missing a closing quotation mark in string. at offset: 3"),
        (b'["a\n"]', "Invalid escape character in string. at offset: 3"),
        (b'["a\\x"]', "Invalid escape character in string. at offset: 3"),
        (b'["\\u00g0"]', "Incorrect hex digit after \\u escape in string. at offset: 2"),
        (b'["\\ud800"]', "The surrogate pair in string is invalid. at offset: 2"),
        (b'["\\ud800\\u0041"]', "The surrogate pair in string is invalid. at offset: 2"),
        (b"[1.]", "Miss fraction part in number. at offset: 3"),
        (b"[1.e5]", "Miss fraction part in number. at offset: 3"),
        (b"[1e]", "Miss exponent in number. at offset: 3"),
        (b"[1e+]", "Miss exponent in number. at offset: 4"),
        (b"[NaN.]", "Miss fraction part in number. at offset: 5"),
        (b"[Infe]", "Miss exponent in number. at offset: 5"),
        (b"[Infe309]", "Number too big to be stored in double. at offset: 1"),
        (b"[1e309]", "Number too big to be stored in double. at offset: 1"),
        (b"[-1e400]", "Number too big to be stored in double. at offset: 1"),
        (b"[NaN, 1e400]", "Number too big to be stored in double. at offset: 6"),
        (b"[" + b"9" * 400 + b"]", "Number too big to be stored in double. at offset: 1"),
    ],
)
def test_each_error_and_where_it_is(body: bytes, error: str) -> None:
    for read in (read_json, scan):
        with pytest.raises(WireError) as caught:
            read(body)
        assert caught.value.message == f"JSON Parse error: {error}"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b"[1.0]", "JSON Value: [1.0] Is not object"),
        (b"null", "JSON Value: null Is not object"),
        (b'"a"', 'JSON Value: "a" Is not object'),
        (b"1e2", "JSON Value: 100.0 Is not object"),
    ],
)
def test_a_request_is_an_object(body: bytes, error: str) -> None:
    with pytest.raises(WireError) as caught:
        read_json_object(body)
    assert caught.value.message == error


@pytest.mark.parametrize("body", [b'{"a": 1, "b": 2, "a": 3}', b'{"a": 1, "b": 2, "a": 3} rest'])
def test_of_two_members_of_one_name_the_first_is_found_and_both_are_shown(body: bytes) -> None:
    value = read_json(body)
    assert (value["a"], value["b"]) == (1, 2)
    assert list(members(value)) == [("a", 1), ("b", 2), ("a", 3)]
    assert debug_text(value) == '{\n    "a": 1,\n    "b": 2,\n    "a": 3\n}'


def test_a_name_that_stands_twice_deep_inside_is_found_too() -> None:
    value = read_json(b'{"a": [[{"b": 1, "b": 2}], 3]}')
    assert list(members(value["a"][0][0])) == [("b", 1), ("b", 2)]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
)


@given(JSON_VALUES, st.sampled_from([None, 1]), st.booleans())
def test_every_way_of_reading_gives_the_same(value: Any, indent: int | None, ascii_only: bool) -> None:
    body = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    assert repr(read_json(body)) == repr(value)
    assert repr(scan(body)) == repr(value)
    exactly = repr(as_the_server_reads(value))
    assert repr(scan(body, read_double)) == repr(read_exactly(value, body)) == exactly


def as_the_server_reads(value: Any) -> Any:
    if isinstance(value, list):
        return [as_the_server_reads(item) for item in value]
    if isinstance(value, dict):
        return {name: as_the_server_reads(item) for name, item in value.items()}
    return read_double(repr(value)) if isinstance(value, float) and math.isfinite(value) else value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (100000000000000000000.0, "100000000000000000000.0"),
        (1e21, "1e21"),
        (1.5e300, "1.5e300"),
        (-1.5e-7, "-1.5e-7"),
        (0.000001, "0.000001"),
        (123.456, "123.456"),
        (-0.0, "-0.0"),
        ([1, [2.0, []], {}], "[1, [2.0, []], {}]"),
        ({"a": [{"b": None}]}, '{\n    "a": [{\n            "b": null\n        }]\n}'),
        ({"a": [1, NAN, 2]}, '{\n    "a": [1, '),
        ({"a": INFINITY}, '{\n    "a": '),
        ('é\udcff\x01"', 'é\udcff\\u0001\\"'),
    ],
)
def test_a_value_in_an_error(value: Any, text: str) -> None:
    assert debug_text(value) == (f'"{text}"' if isinstance(value, str) else text)


def test_a_long_value_in_an_error_is_cut_after_256_bytes() -> None:
    assert debug_text(["é" * 10] * 20) == "[" + ", ".join(['"' + "é" * 10 + '"'] * 11)
    assert debug_text("x" * 1000) == '"' + "x" * 1000 + '"'
    assert debug_text([["x" * 300]]) == '[["' + "x" * 300 + '"'


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("a/b", '"a/b"'),
        ('"\\', '"\\"\\\\"'),
        ("\b\f\n\r\t", '"\\b\\f\\n\\r\\t"'),
        ("\x00\x1f\x7f", '"\\u0000\\u001F\x7f"'),
    ],
)
def test_text_is_quoted(text: str, quoted: str) -> None:
    assert quote(text) == quoted
    assert json.loads(quoted) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        (100000.0, "100000.0"),
        (1e6, "1e+06"),
        (1e15, "1e+15"),
        (0.0001, "0.0001"),
        (1e-05, "1e-05"),
        (0.1, "0.1"),
        (1 / 3, "0.333333343"),
        (123456792.0, "123456792.0"),
        (2147483648.0, "2.14748365e+09"),
        (NAN, "NaN"),
        (INFINITY, "Infinity"),
        (-INFINITY, "-Infinity"),
    ],
)
def test_a_float_is_printed_as_the_server_prints_it(value: float, text: str) -> None:
    assert number_texts(np.array([value], np.float32)) == [text]
    assert number_texts(np.array([0.5, value, 0.5], np.float32))[1] == text


@given(hnp.arrays(st.sampled_from([np.float32, np.float64]), st.integers(0, 6)))
def test_a_printed_float_is_read_back_exactly_and_is_as_short_as_the_server_makes_it(array: Array) -> None:
    texts = number_texts(array)
    read = np.array([float(text) for text in texts], array.dtype)
    assert np.array_equal(read, array, equal_nan=True)
    assert np.array_equal(np.signbit(read[~np.isnan(read)]), np.signbit(array[~np.isnan(array)]))
    for text, value in zip(texts, array, strict=True):
        if np.isfinite(value) and array.dtype.type(f"{value:g}") == value:
            assert text in (f"{value:g}", f"{value:g}.0")


def test_printing_floats_is_quick_to_say_nothing() -> None:
    assert number_texts(np.empty((0, 3), np.float32)) == []
