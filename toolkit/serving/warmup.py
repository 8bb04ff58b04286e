"""Replays a version's recorded requests before it answers: assets.extra/tf_serving_warmup_requests."""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import google_crc32c

from toolkit.core.tensors import Outputs
from toolkit.errors import WireError
from toolkit.serving.servables import Servable
from toolkit.wire import lifecycle_wording as wording
from toolkit.wire.messages import ExamplesRequest, MultiRequest, PredictRequest, Target
from toolkit.wire.plans import Plan, plan_predict
from toolkit.wire.plans_examples import classification, plan_classify, plan_multi, plan_regress, regression
from toolkit.wire.rpc_examples import decode_warmup_record
from toolkit.wire.signatures import CLASSIFY_METHOD, REGRESS_METHOD

WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_MASK = 0xA282EAD8  # of TFRecord's checksums (tensorflow/core/lib/hash/crc32c.h)
# Kinds of PredictionLog that TensorFlow Serving does not replay, by the numbers that it names them by.
_UNSUPPORTED = {"session_run_log": 5, "predict_streamed_log": 7}
Interpret = Callable[[Plan, Target, Outputs], object]
_INTERPRETS: Mapping[str, Interpret] = {CLASSIFY_METHOD: classification, REGRESS_METHOD: regression}


def warm_up(servable: Servable, directory: Path, iterations: int = 1) -> int:
    """Runs every recorded request; gives how many there were. The model's name in the records is not checked.

    Raises:
        ToolkitError: the file is damaged, holds too many records, or one of them does not run; the load has failed.
    """
    path = directory / WARMUP_FILE
    if not path.is_file():
        return 0
    count = 0
    for record in read_records(path):
        count += 1
        if count > wording.MAX_WARMUP_RECORDS:
            raise wording.too_many_warmup_records(str(path))
        run = _reader(servable, record, path)
        for _ in range(max(1, iterations)):
            run()
    return count


def read_records(path: Path) -> Iterator[bytes]:
    """The records of a TFRecord file; a few bytes at its end that are no header are passed over, as TensorFlow does.

    Raises:
        ServingError: the file is damaged; in TensorFlow Serving's words.
    """
    content = path.read_bytes()
    at = 0
    while len(content) - at >= _HEADER.size:
        start, body = at, at + _HEADER.size
        length, checksum = _HEADER.unpack_from(content, start)
        if _masked(content[start : start + 8]) != checksum:
            raise wording.warmup_corrupted(start)
        at = body + length + _FOOTER.size
        if at > len(content):
            raise wording.warmup_truncated(start)
        record = content[body : body + length]
        if _masked(record) != _FOOTER.unpack_from(content, body + length)[0]:
            raise wording.warmup_corrupted(body)
        yield record


def _reader(servable: Servable, record: bytes, path: Path) -> Callable[[], None]:
    """What one record asks for, interpreted as the answer of a request would be."""
    try:
        kind, request = decode_warmup_record(record)
    except WireError as error:
        raise wording.warmup_record_unreadable(record, str(path)) from error
    if kind in _UNSUPPORTED:
        raise wording.warmup_kind_unsupported(_UNSUPPORTED[kind])
    plans: Sequence[tuple[Plan, Interpret]] = ()
    signatures = servable.signatures
    if isinstance(request, PredictRequest):
        plans = [(plan_predict(signatures, request), _as_it_is)]
    elif isinstance(request, MultiRequest):
        interprets = [_INTERPRETS[task.method] for task in request.tasks if task.method in _INTERPRETS]
        plans = list(zip(plan_multi(signatures, request), interprets, strict=True))
    elif isinstance(request, ExamplesRequest) and kind == "classify_log":
        plans = [(plan_classify(signatures, request), classification)]
    elif isinstance(request, ExamplesRequest):
        plans = [(plan_regress(signatures, request), regression)]
    return lambda: _run(servable, plans)


def _run(servable: Servable, plans: "Sequence[tuple[Plan, Interpret]]") -> None:
    for plan, interpret in plans:
        found = servable.run(plan.signature.name, plan.feed)
        interpret(plan, Target(""), {name: found[name] for name in plan.outputs})


def _as_it_is(_plan: Plan, _target: Target, _outputs: Outputs) -> None:
    pass


def _masked(content: bytes) -> int:
    crc = int(google_crc32c.value(content))
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF
