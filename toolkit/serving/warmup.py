"""Replays a version's recorded requests before it answers: assets.extra/tf_serving_warmup_requests."""

import struct
from collections.abc import Iterator
from pathlib import Path

import google_crc32c

from toolkit.errors import Fault, ServingError, WireError
from toolkit.serving.servables import Servable
from toolkit.wire import lifecycle_wording as wording
from toolkit.wire.messages import ExamplesRequest, MultiRequest, PredictRequest
from toolkit.wire.plans import Plan, plan_classify, plan_multi, plan_predict, plan_regress
from toolkit.wire.rpc_examples import decode_warmup_record

WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_MASK = 0xA282EAD8  # of TFRecord's checksums (tensorflow/core/lib/hash/crc32c.h)


def warm_up(servable: Servable, directory: Path, iterations: int = 1) -> int:
    """Runs every recorded request; gives how many there were. The model's name in the records is not checked.

    Raises:
        ToolkitError: the file is damaged, holds too many records, or one of them does not run; the load has failed.
    """
    path = directory / WARMUP_FILE
    if not path.is_file():
        return 0
    records = list(read_records(path))
    for record in records:
        for plan in _plans(servable, record, path):
            for _ in range(max(1, iterations)):
                servable.run(plan.signature.name, plan.feed)
    return len(records)


def read_records(path: Path) -> Iterator[bytes]:
    """The records of a TFRecord file.

    Raises:
        ServingError: the file is damaged, or holds more than TensorFlow Serving takes; in its words.
    """
    content = path.read_bytes()
    at, count = 0, 0
    while at < len(content):
        start = at
        if len(content) - at < _HEADER.size:
            raise _truncated(start)
        length, checksum = _HEADER.unpack_from(content, at)
        if _masked(content[at : at + 8]) != checksum:
            raise wording.warmup_not_tfrecord(start)
        at += _HEADER.size
        if length + _FOOTER.size > len(content) - at:
            raise _truncated(start)
        record = content[at : at + length]
        if _masked(record) != _FOOTER.unpack_from(content, at + length)[0]:
            raise wording.warmup_not_tfrecord(start)
        at += length + _FOOTER.size
        count += 1
        if count > wording.MAX_WARMUP_RECORDS:
            raise wording.too_many_warmup_records(str(path))
        yield record


def _plans(servable: Servable, record: bytes, path: Path) -> tuple[Plan, ...]:
    try:
        kind, request = decode_warmup_record(record)
    except WireError as error:
        raise wording.warmup_record_unreadable(record, str(path)) from error
    signatures = servable.signatures
    if isinstance(request, PredictRequest):
        return (plan_predict(signatures, request),)
    if isinstance(request, MultiRequest):
        return plan_multi(signatures, request)
    if isinstance(request, ExamplesRequest):
        return ((plan_classify if kind == "classify_log" else plan_regress)(signatures, request),)
    return ()


def _masked(content: bytes) -> int:
    crc = int(google_crc32c.value(content))
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF


def _truncated(offset: int) -> ServingError:
    return ServingError(
        f"truncated record at {offset}", hint="publish whole versions, by rename", fault=Fault.DATA_LOSS
    )
