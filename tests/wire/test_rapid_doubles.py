"""Doubles in error texts, as RapidJSON 1.1.0 reads and prints them; each line was asked of the library itself."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.core.tensors import Signature, TensorSpec
from toolkit.errors import ServingError, WireError
from toolkit.wire import rest_examples, rest_predict
from toolkit.wire.json_reader import read_json_object
from toolkit.wire.json_scanner import scan
from toolkit.wire.json_writer import debug_text
from toolkit.wire.messages import Target
from toolkit.wire.rapid_doubles import double_text, read_double
from toolkit.wire.signatures import write_signature


@pytest.mark.parametrize(
    ("written", "value", "shown"),
    [
        ("1.1e39", "0x1.9dc6259df1e53p+129", "1.0999999999999999e39"),
        ("2.5e-30", "0x1.95a5efea6b348p-99", "2.5000000000000003e-30"),
        ("123456789.123456789", "0x1.d6f34547e6b76p+26", "123456789.1234568"),
        ("0.12345678901234567890123", "0x1.f9add3746f65fp-4", "0.12345678901234568"),
        ("0.1", "0x1.999999999999ap-4", "0.1"),
        ("1e2", "0x1.9p+6", "100.0"),
        ("1E+2", "0x1.9p+6", "100.0"),
        ("-0.0", "-0x0p+0", "-0.0"),
        ("0.000001", "0x1.0c6f7a0b5ed8dp-20", "0.000001"),
        ("0.0000001", "0x1.ad7f29abcaf48p-24", "1e-7"),
        ("9.5367431640625e-7", "0x1p-20", "9.5367431640625e-7"),
        ("1e20", "0x1.5af1d78b58c4p+66", "100000000000000000000.0"),
        ("1e23", "0x1.52d02c7e14af6p+76", "9.999999999999999e22"),
        ("123456789012345678901", "0x1.ac53a7e04bcd9p+66", "123456789012345670000.0"),
        ("1234567890123456789012", "0x1.0bb448ec2f608p+70", "1.2345678901234569e21"),
        ("18446744073709551616", "0x1p+64", "18446744073709553000.0"),
        ("-9223372036854775809", "-0x1p+63", "-9223372036854776000.0"),
        ("9007199254740993.0", "0x1p+53", "9007199254740992.0"),
        ("5e-324", "0x0.0000000000001p-1022", "5e-324"),
        ("2e-324", "0x0p+0", "0.0"),
        ("1e-99999999999", "0x0p+0", "0.0"),
        ("2.2250738585072014e-308", "0x1p-1022", "2.2250738585072014e-308"),
        ("1.7976931348623157e308", "0x1.fffffffffffffp+1023", "1.7976931348623157e308"),
        ("15e307", "0x1.ab36d48e1acfp+1023", "1.5e308"),
        ("1e00000000000308", "0x1.1ccf385ebc8ap+1023", "1e308"),
        (f"0.{'0' * 400}1e500", "0x1.d42aea2879f2ep+328", "1e99"),
        # Read right, and printed with a digit too many.
        ("388.47851", float.hex(388.47851), "388.47851000000005"),
        ("591.922663", float.hex(591.922663), "591.9226629999999"),
    ],
)
def test_a_double_is_read_and_printed_as_the_server_does(written: str, value: str, shown: str) -> None:
    read = read_double(written)
    assert struct.pack("d", read) == struct.pack("d", float.fromhex(value))
    assert double_text(read) == shown
    assert debug_text(scan(f"[{written}]".encode(), read_double)) == f"[{shown}]"


@pytest.mark.parametrize("written", ["1e309", "1.5e310", "1772988.64872151242248e+322", "9" * 309, f"{'9' * 309}."])
def test_a_number_too_big_is_told_where_it_begins(written: str) -> None:
    with pytest.raises(WireError) as caught:
        read_json_object(f'{{"inputs": {written}}}'.encode())
    assert caught.value.message == "JSON Parse error: Number too big to be stored in double. at offset: 11"


def test_more_than_the_largest_double_is_infinite_where_the_exponent_alone_would_fit() -> None:
    assert read_double("10e308") == math.inf


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_what_is_printed_reads_back_as_the_same_double(value: float) -> None:
    assert float(double_text(value)) == value


@given(st.integers(0, 10**15 - 1), st.integers(-22, 22))
def test_what_one_rounding_reads_is_read_right(digits: int, power: int) -> None:
    assert read_double(f"{digits}e{power}") == float(f"{digits}e{power}")


WANTED = Signature({"x": TensorSpec("int32", (None,))})
SERVED = {"serving_default": write_signature("serving_default", WANTED)}
FAR, NEAR = "123456789.123456789", "123456789.1234568"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (f'{{"inputs": [1, {FAR}]}}', f"JSON Value: {NEAR} Type: Number is not of expected type: int32"),
        (
            f'{{"instances": [{FAR}]}}',
            "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: "
            f"JSON Value: {NEAR} Type: Number is not of expected type: int32",
        ),
        (
            f'{{"instances": [{{"y": "\\u0041"}}, {FAR}]}}',
            "Failed to process element: 0 key: y of 'instances' list. Error: INVALID_ARGUMENT: "
            "JSON object: does not have named input: y",
        ),
        (
            f'{{"instances": {FAR}}}',
            f"JSON Value: {{\n    \"instances\": {NEAR}\n}} Expecting 'instances' to be an list/array",
        ),
        (
            f'{{"signature_name": {FAR}, "x": "\\u0041"}}',
            f'JSON Value: {{\n    "signature_name": {NEAR},\n    "x": "A"\n}} not formatted correctly. '
            "'signature_name' key must be a string value.",
        ),
        (f"[{FAR}]", f"JSON Value: [{NEAR}] Is not object"),
        # An object whose names stand twice, a named number among them, and a byte order mark.
        (f'{{"inputs": {FAR}, "inputs": NaN}}', f"JSON Value: {NEAR} Type: Number is not of expected type: int32"),
        (f'\ufeff{{"inputs": {FAR}}}', f"JSON Value: {NEAR} Type: Number is not of expected type: int32"),
    ],
)
def test_an_error_shows_the_double_that_the_server_read(body: str, message: str) -> None:
    with pytest.raises((WireError, ServingError)) as caught:
        rest_predict.decode_predict_request(Target("m"), body.encode()).bind(SERVED)
    assert caught.value.message == message


def test_so_does_an_error_about_examples() -> None:
    with pytest.raises(WireError) as caught:
        rest_examples.decode_examples_request(Target("m"), f'{{"examples": {FAR}}}'.encode())
    assert f'"examples": {NEAR}\n' in caught.value.message


def test_a_very_long_body_is_not_read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.wire.json_reader._LONGEST_EXACT", 10)
    with pytest.raises(WireError) as caught:
        rest_predict.decode_predict_request(Target("m"), f'{{"inputs": [1, {FAR}]}}'.encode()).bind(SERVED)
    assert "123456789.12345679 " in caught.value.message
