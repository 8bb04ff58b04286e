"""The codec without protobuf objects says what the protobuf codec says, or nothing."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.wire.strategies import NAMES, VERSIONS, all_same, feeds, targets
from toolkit.core.tensors import Array
from toolkit.errors import WireError
from toolkit.wire import protos, rpc
from toolkit.wire.fast_answers import PredictWriter
from toolkit.wire.fast_predict import PredictReader
from toolkit.wire.messages import PredictRequest, PredictResponse, Target
from toolkit.wire.tensor_proto import fill_tensor
from toolkit.wire.varints import read_varint, write_field, write_varint

IMAGE = np.arange(6, dtype=np.float32).reshape(2, 3)
PLAIN = rpc.encode_predict_request(PredictRequest(Target("m", 3, None, "s"), {"x": IMAGE}, ("y",)))
SPEC = write_field(0x0A, write_field(0x0A, b"m"))
SHAPE = write_field(0x12, write_field(0x12, b"\x08\x02"))
CONTENT = write_field(0x22, bytes(8))
# One reader for all: what it remembers of one request must not show in the next.
READER = PredictReader()


def agrees(body: bytes) -> bool:
    """Whether the reader took the bytes; where it did, that the protobuf codec reads the same."""
    form = READER.read(body)
    if form is None:
        return False
    read = form.request(body)
    assert form.kind == (*dataclasses.astuple(read.target), len(body))
    expected = rpc.decode_predict_request(body)
    assert (read.target, read.output_filter) == (expected.target, expected.output_filter)
    assert all_same(dict(expected.feed), read.feed)
    assert all(array.flags.aligned for array in read.feed.values())
    return True


def tensor(*fields: bytes) -> bytes:
    """A request with one input of these fields."""
    return SPEC + write_field(0x12, write_field(0x0A, b"x") + write_field(0x12, b"".join(fields)))


@given(targets(), feeds(), st.lists(NAMES, max_size=2))
def test_a_request_is_read_as_the_protobuf_codec_reads_it(
    target: Target, feed: dict[str, Array], wanted: list[str]
) -> None:
    body = rpc.encode_predict_request(PredictRequest(target, feed, tuple(wanted)))
    plain = all(array.size and array.dtype not in (bool, object) for array in feed.values())
    assert agrees(body) == plain
    assert agrees(body) == plain  # now from what it remembers


@given(targets(), feeds(("float32", "float64", "int64", "float16", "string", "bool")))
def test_listed_values_are_read_as_the_protobuf_codec_reads_them(target: Target, feed: dict[str, Array]) -> None:
    proto = protos.PredictRequest()
    rpc.fill_spec(proto.model_spec, target)
    for name, array in feed.items():
        fill_tensor(proto.inputs[name], array, content=False)
    body = protos.serialize(proto)
    assert agrees(body) == all(array.size and array.dtype in ("float32", "float64") for array in feed.values())


@given(st.data(), targets(), feeds(("float32", "int8", "float64")))
def test_a_broken_request_is_left_to_the_protobuf_codec_or_read_alike(
    data: st.DataObject, target: Target, feed: dict[str, Array]
) -> None:
    body = bytearray(rpc.encode_predict_request(PredictRequest(target, feed)))
    agrees(bytes(body))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(body)))
        stop = data.draw(st.integers(start, min(len(body), start + 3)))
        body[start:stop] = data.draw(st.binary(max_size=3))
    agrees(bytes(body))


@given(st.binary(max_size=64))
@example(b"")
@example(SPEC[:-1])
def test_any_bytes_are_a_request_or_nothing(body: bytes) -> None:
    agrees(body)


# Bytes that look like the plain shape, so that mistakes in them are found and not lost among noise.
TAGS = st.sampled_from([0x08, 0x0A, 0x12, 0x1A, 0x22, 0x2A, 0x32])
NUMBERS = st.builds(lambda tag, number: bytes([tag]) + write_varint(number), st.sampled_from([0x08, 0x18]), VERSIONS)
MESSAGES = st.recursive(
    st.binary(max_size=9) | NUMBERS,
    lambda inner: st.lists(st.builds(write_field, TAGS, inner) | NUMBERS, max_size=3).map(b"".join),
    max_leaves=12,
)


@given(st.lists(st.builds(write_field, TAGS, MESSAGES), max_size=4).map(b"".join))
def test_any_message_is_a_request_or_nothing(body: bytes) -> None:
    agrees(SPEC + body)


@given(
    st.lists(
        st.sampled_from(
            [b"\x08\x01", b"\x08\x02", SHAPE, CONTENT, write_field(0x2A, bytes(8)), b"\x18\x01", b"\x12\x00"]
        ),
        max_size=5,
    )
)
def test_a_tensor_of_any_fields_is_read_alike_or_not(fields: list[bytes]) -> None:
    agrees(tensor(*fields))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "no model_spec"),
        (PLAIN[len(SPEC) :], "no model_spec at the start"),
        (PLAIN + SPEC, "a second model_spec merges with the first"),
        (PLAIN + b"\x18\x01", "an unknown field"),
        (PLAIN + b"\x1a\x02\xff\xfe", "a name that is no UTF-8"),
        (PLAIN[:-1], "the bytes end early"),
        (PLAIN + tensor(b"\x08\x01", SHAPE, CONTENT)[len(SPEC) :], "an input twice"),
        (tensor(b"\x08\x01", SHAPE), "values left out"),
        (tensor(b"\x08\x01", SHAPE, CONTENT, CONTENT), "values twice"),
        (tensor(b"\x08\x01", SHAPE, write_field(0x22, bytes(7))), "too few values"),
        (tensor(b"\x08\x01", SHAPE, b"\x2d\0\0\0\0\x2d\0\0\0\0"), "values listed one by one"),
        (tensor(b"\x08\x07", write_field(0x12, b""), CONTENT), "text"),
        (tensor(b"\x08\x01", write_field(0x12, b"\x18\x01"), CONTENT), "an unknown rank"),
        (
            tensor(
                b"\x08\x01", write_field(0x12, write_field(0x12, b"\x08\x01") * 70), CONTENT[:1] + b"\x04" + bytes(4)
            ),
            "rank 70",
        ),
        (tensor(b"\x08\x81\x00", SHAPE, CONTENT), "a number longer than it need be"),
        (tensor(b"\x08" + b"\xff" * 9 + b"\x01", SHAPE, CONTENT), "a negative dtype"),
    ],
)
def test_what_is_unusual_is_left_to_the_protobuf_codec(body: bytes, why: str) -> None:
    assert PredictReader().read(body) is None, why


def test_a_form_is_remembered_without_the_values() -> None:
    reader = PredictReader()
    other = rpc.encode_predict_request(PredictRequest(Target("m", 3, None, "s"), {"x": IMAGE + 1}, ("y",)))
    first, second = reader.read(PLAIN), reader.read(other)
    assert first is not None
    assert second is not None
    assert first is second
    assert (first.feed(other)["x"] == IMAGE + 1).all()
    assert (first.feed(PLAIN)["x"] == IMAGE).all()


def test_what_is_remembered_is_bounded() -> None:
    reader = PredictReader()
    for size in range(1, 1000):
        feed = {"x": np.zeros(size, np.int8)}
        assert reader.read(rpc.encode_predict_request(PredictRequest(Target("m"), feed))) is not None
    for model in range(100):
        feed = {"x": np.zeros(5, np.int8)}
        assert reader.read(rpc.encode_predict_request(PredictRequest(Target(f"m{model:03}"), feed))) is not None
    assert len(reader._forms) <= 256
    assert max(len(forms) for forms in reader._forms.values()) <= 4


@given(targets(), feeds())
def test_an_answer_is_written_as_the_protobuf_codec_writes_it(target: Target, outputs: dict[str, Array]) -> None:
    writer, response = PredictWriter(), PredictResponse(target, outputs)
    expected = protos.parse(protos.PredictResponse, rpc.encode_predict_response(response))
    for _ in range(2):
        assert comparable(protos.parse(protos.PredictResponse, writer.write(response))) == comparable(expected)


def comparable(proto: Any) -> bytes:
    """A message as bytes that are the same for the same message; a NaN equals no NaN."""
    written: bytes = proto.SerializeToString(deterministic=True)
    return written


@pytest.mark.parametrize("array", [IMAGE.T, IMAGE[:, ::2], IMAGE.astype(">f4"), IMAGE[:0], np.array(2.5)])
def test_arrays_of_any_layout_are_written(array: Any) -> None:
    response = PredictResponse(Target("m", 1), {"y": np.asarray(array)})
    found = rpc.decode_predict_response(PredictWriter().write(response))
    assert all_same({"y": np.asarray(array).astype(array.dtype.newbyteorder("="))}, found.outputs)


def test_an_answer_that_cannot_be_written_is_an_error() -> None:
    with pytest.raises(WireError, match="no tensor has dtype"):
        PredictWriter().write(PredictResponse(Target("m", 1), {"y": np.zeros(2, "M8[s]")}))


@given(st.integers(0, 2**63 - 1))
def test_a_varint(number: int) -> None:
    written = write_varint(number)
    assert read_varint(written, 0) == (number, len(written))
