"""Recorded requests are run before a version answers; the numbers are those of the recorded behaviour."""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import google_crc32c
import numpy as np
import pytest

from tests.serving.fakes import FakeServable
from toolkit.core.tensors import Feed, Outputs
from toolkit.errors import Fault, ServingError, ToolkitError
from toolkit.serving.warmup import WARMUP_FILE, read_records, warm_up
from toolkit.wire import protos
from toolkit.wire.messages import PredictRequest, Target
from toolkit.wire.rpc import encode_warmup_record
from toolkit.wire.signatures import CLASSIFY_METHOD, REGRESS_METHOD, ServedSignature, read_saved_model

MODELS = Path(__file__).parents[1] / "golden" / "data" / "models"


@dataclass(eq=False)
class Answers(FakeServable):
    """Answers each signature with what a test says, and keeps what it was asked."""

    path: Path = Path()
    outputs: Mapping[str, Outputs] = field(default_factory=dict)
    asked: list[tuple[str, Feed]] = field(default_factory=list)

    def run(self, signature: str, feed: Feed) -> Outputs:
        self.asked.append((signature, feed))
        return self.outputs.get(signature, {"y": np.zeros(1, np.float32)})


def signatures_of(model: str) -> dict[str, ServedSignature]:
    return read_saved_model((MODELS / model / "saved_model.pb").read_bytes())


@pytest.fixture
def half_plus_two() -> Answers:
    return Answers(signatures=signatures_of("saved_model_half_plus_two_cpu/00000123"))


def framed(record: bytes) -> bytes:
    """TFRecord's framing, by hand."""
    length = struct.pack("<Q", len(record))
    return length + _checksum(length) + record + _checksum(record)


def _checksum(content: bytes) -> bytes:
    crc = int(google_crc32c.value(content))
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def write(directory: Path, records: Iterable[bytes]) -> Path:
    path = directory / WARMUP_FILE
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join(map(framed, records)))
    return path


def predict_record(name: str = "x", model: str = "m") -> bytes:
    return encode_warmup_record(PredictRequest(Target(model), {name: np.ones(1, np.float32)}))


def examples_record(kind: str, signature: str) -> bytes:
    log = protos.PredictionLog()
    request = getattr(log, kind).request
    request.model_spec.name, request.model_spec.signature_name = "cls", signature
    request.input.example_list.examples.add()
    return bytes(log.SerializeToString())


def multi_record(*tasks: tuple[str, str]) -> bytes:
    log = protos.PredictionLog()
    request = log.multi_inference_log.request
    for method, signature in tasks:
        task = request.tasks.add(method_name=method)
        task.model_spec.name, task.model_spec.signature_name = "cls", signature
    request.input.example_list.examples.add()
    return bytes(log.SerializeToString())


def test_every_record_is_run_whatever_model_it_names(tmp_path: Path, half_plus_two: Answers) -> None:
    write(tmp_path, [predict_record(), predict_record(model="another")])
    assert warm_up(half_plus_two, tmp_path) == 2
    assert [name for name, _ in half_plus_two.asked] == ["serving_default"] * 2


def test_each_record_is_run_as_often_as_asked(tmp_path: Path, half_plus_two: Answers) -> None:
    write(tmp_path, [predict_record()])
    assert warm_up(half_plus_two, tmp_path, iterations=3) == 1
    assert len(half_plus_two.asked) == 3


def test_no_file_and_an_empty_file_are_fine(tmp_path: Path, half_plus_two: Answers) -> None:
    assert warm_up(half_plus_two, tmp_path) == 0
    write(tmp_path, [])
    assert warm_up(half_plus_two, tmp_path) == 0


def test_a_thousand_records_are_read_and_one_more_is_refused(tmp_path: Path, half_plus_two: Answers) -> None:
    path = write(tmp_path, [predict_record()] * 1000)
    assert warm_up(half_plus_two, tmp_path) == 1000
    write(tmp_path, [predict_record()] * 1001)
    with pytest.raises(ServingError) as found:
        warm_up(half_plus_two, tmp_path)
    assert found.value.fault is Fault.INVALID
    assert found.value.message == f"Number of warmup records exceeds the maximum (1000) at {path}"


_GOOD = framed(b"hello") + framed(b"world!!")


def _flipped(at: int) -> bytes:
    return _GOOD[:at] + bytes([_GOOD[at] ^ 1]) + _GOOD[at + 1 :]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"garbage that is long enough", "corrupted record at 0 (Is this even a TFRecord file?)"),
        (_flipped(9), "corrupted record at 0 (Is this even a TFRecord file?)"),
        (_flipped(13), "corrupted record at 12"),
        (_flipped(30), "corrupted record at 21"),
        (_flipped(len(_GOOD) - 6), "corrupted record at 33"),
        (_GOOD[:-6], "truncated record at 21' failed with Read less bytes than requested"),
        (_GOOD[:-2], "truncated record at 21' failed with Read less bytes than requested"),
    ],
)
def test_a_damaged_file_is_refused_in_tensorflows_words(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "records"
    path.write_bytes(content)
    with pytest.raises(ServingError) as found:
        list(read_records(path))
    assert found.value.fault is Fault.DATA_LOSS
    assert found.value.message == f"{message}. Please verify your warmup data is in TFRecord format."


def test_a_few_bytes_that_are_no_header_end_the_file(tmp_path: Path) -> None:
    path = tmp_path / "records"
    path.write_bytes(_GOOD + b"abc")
    assert list(read_records(path)) == [b"hello", b"world!!"]


def test_what_tensorflow_writes_is_read_and_damage_is_found_where_tensorflow_finds_it(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    path = tmp_path / "records"
    records = [b"", b"a", bytes(range(256)) * 300]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    assert path.read_bytes() == b"".join(map(framed, records))
    assert list(read_records(path)) == records


def test_a_record_that_is_no_log_fails_the_load(tmp_path: Path, half_plus_two: Answers) -> None:
    path = write(tmp_path, [b"\xff\xff no log"])
    with pytest.raises(ServingError) as found:
        warm_up(half_plus_two, tmp_path)
    assert found.value.fault is Fault.INVALID
    assert found.value.message.startswith("Failed to parse warmup record: ")
    assert found.value.message.endswith(f" from {path}")


def test_a_record_with_a_wrong_input_fails_the_load(tmp_path: Path, half_plus_two: Answers) -> None:
    write(tmp_path, [predict_record("nosuch")])
    with pytest.raises(ToolkitError, match="nosuch"):
        warm_up(half_plus_two, tmp_path)
    assert half_plus_two.asked == []


@pytest.mark.parametrize(("kind", "number"), [("session_run_log", 5), ("predict_streamed_log", 7)])
def test_kinds_that_are_not_replayed_fail_the_load(
    tmp_path: Path, half_plus_two: Answers, kind: str, number: int
) -> None:
    log = protos.PredictionLog()
    getattr(log, kind).SetInParent()
    write(tmp_path, [log.SerializeToString()])
    with pytest.raises(ServingError, match=rf"^Unsupported log_type for warmup: {number}$") as found:
        warm_up(half_plus_two, tmp_path)
    assert found.value.fault is Fault.UNIMPLEMENTED


def test_a_log_without_a_request_is_passed_over(tmp_path: Path, half_plus_two: Answers) -> None:
    write(tmp_path, [protos.PredictionLog().SerializeToString()])
    assert warm_up(half_plus_two, tmp_path) == 1
    assert half_plus_two.asked == []


@pytest.fixture
def classes() -> Answers:
    """The recorded model with classify and regress signatures."""
    scores = {"scores": np.ones((1, 3), np.float32), "classes": np.full((1, 3), b"a", object)}
    outputs = {name: scores | {"outputs": np.ones((1, 1), np.float32)} for name in signatures_of("cls/1")}
    return Answers(signatures=signatures_of("cls/1"), outputs=outputs)


def _of_method(model: Answers, method: str) -> str:
    return next(name for name, signature in model.signatures.items() if signature.method == method)


@pytest.mark.parametrize(("kind", "method"), [("classify_log", CLASSIFY_METHOD), ("regress_log", REGRESS_METHOD)])
def test_classify_and_regress_records_are_run(tmp_path: Path, classes: Answers, kind: str, method: str) -> None:
    name = _of_method(classes, method)
    write(tmp_path, [examples_record(kind, name)])
    assert warm_up(classes, tmp_path) == 1
    assert [asked for asked, _ in classes.asked] == [name]


def test_a_multi_inference_record_runs_each_of_its_signatures(tmp_path: Path, classes: Answers) -> None:
    tasks = [(method, _of_method(classes, method)) for method in (REGRESS_METHOD, CLASSIFY_METHOD)]
    write(tmp_path, [multi_record(*tasks)])
    assert warm_up(classes, tmp_path) == 1
    assert [asked for asked, _ in classes.asked] == [name for _, name in tasks]


def test_an_answer_that_is_no_classification_fails_the_load(tmp_path: Path, classes: Answers) -> None:
    name = _of_method(classes, CLASSIFY_METHOD)
    classes.outputs = {name: {"scores": np.ones(3, np.float32), "classes": np.full(3, b"a", object)}}
    write(tmp_path, [examples_record("classify_log", name)])
    with pytest.raises(ServingError, match="Expected Tensor shape"):
        warm_up(classes, tmp_path)
