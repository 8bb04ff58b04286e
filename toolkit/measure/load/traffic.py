"""What requests hold: feeds cut into batches, encoded for their protocol, ready to send."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit.core.tensors import Array, Feed, Signature, check_feed, composite_parts
from toolkit.errors import FeedError
from toolkit.measure.load.jobs import Route
from toolkit.verifying.parity import batch_size
from toolkit.wire import rest, rest_predict, rpc
from toolkit.wire.endpoints import Remote
from toolkit.wire.messages import PredictRequest, Protocol
from toolkit.wire.rest import Call

# Different payloads of one stream: enough that no cache holds the answer, few enough to hold each answer to.
PAYLOADS = 16
# Answers under load may come from another batch than at rest, and so with other rounding.
_RTOL, _ATOL = 1e-3, 1e-4


def cut(feeds: Sequence[Mapping[str, Any]], signature: Signature, rows: int | None) -> Sequence[Feed]:
    """Up to PAYLOADS feeds of so many rows each; None sends the feeds as they are.

    Raises:
        FeedError: the feeds do not fit the signature, or have no rows to cut.
    """
    checked = [check_feed(signature, feed) for feed in feeds]
    if rows is None:
        return list(checked[:PAYLOADS])
    batched = [name for name, spec in signature.inputs.items() if spec.batched]
    if composite_parts(signature.inputs):
        fitting = [feed for feed in checked if batch_size(signature, feed) == rows]
        if not fitting:
            raise FeedError(f"no feed has {rows} rows, and ragged ones are not cut", hint="leave --batch out")
        return fitting[:PAYLOADS]
    if not batched:
        if rows != 1:
            raise FeedError("its inputs have no open batch dimension", hint="load it with --batch 1")
        return list(checked[:PAYLOADS])
    whole = [feed for feed in checked if batch_size(signature, feed) == rows]
    if len(whole) == len(checked):
        return list(whole[:PAYLOADS])
    joined = _joined(checked, signature)
    lengths = {len(joined[name]) for name in batched}
    if len(lengths) > 1:
        raise FeedError(f"its inputs differ in length, so no batch of {rows} can be cut", hint="leave --batch out")
    most = lengths.pop()
    if not most:
        raise FeedError("the feed has no rows", hint="give at least one")
    count = min(PAYLOADS, max(1, most // rows))
    return [_rows(joined, batched, (np.arange(rows) + at * rows) % most) for at in range(count)]


def _joined(feeds: Sequence[Mapping[str, Array]], signature: Signature) -> dict[str, Array]:
    """All rows of feeds that can stand below each other; of others those of the largest alone."""
    largest = max(feeds, key=lambda feed: sum(array.size for array in feed.values()))
    alike = [
        feed
        for feed in feeds
        if all(
            feed[name].shape[1:] == largest[name].shape[1:]
            if spec.batched
            else np.array_equal(feed[name], largest[name])
            for name, spec in signature.inputs.items()
        )
    ]
    return {
        name: np.concatenate([feed[name] for feed in alike]) if spec.batched else largest[name]
        for name, spec in signature.inputs.items()
    }


def _rows(feed: Mapping[str, Array], batched: Sequence[str], at: Any) -> dict[str, Array]:
    return {name: array[at] if name in batched else array for name, array in feed.items()}


@dataclass(frozen=True)
class Traffic:
    """One stream's feeds, encoded.

    Args:
        name: of its model.
        weight: its share of the requests, in any unit.
    """

    name: str
    remote: Remote
    feeds: tuple[Feed, ...]
    weight: float = 1.0

    @property
    def route(self) -> Route:
        """Where and what to send.

        Raises:
            WireError: the protocol cannot carry a feed.
        """
        endpoint, target = self.remote.endpoint, self.remote.target
        requests = [PredictRequest(target, feed) for feed in self.feeds]
        if endpoint.protocol is Protocol.GRPC:
            return Route(endpoint, rpc.PREDICT, tuple(map(rpc.encode_predict_request, requests)))
        bodies = tuple(map(rest_predict.encode_predict_request, requests))
        return Route(endpoint, rest.path_of(Call.PREDICT, target), bodies)


def difference(protocol: Protocol, expected: bytes, actual: bytes) -> str:
    """In what two answers of one protocol differ by more than rounding; empty where they do not."""
    if expected == actual:
        return ""
    wanted, found = _READERS[protocol](expected), _READERS[protocol](actual)
    if sorted(wanted) != sorted(found):
        return f"outputs {sorted(found)}, at rest {sorted(wanted)}"
    return next((problem for name in wanted if (problem := _unlike(name, wanted[name], found[name]))), "")


def _unlike(name: str, expected: Array, actual: Array) -> str:
    if expected.shape != actual.shape:
        return f"'{name}' has shape {actual.shape}, at rest {expected.shape}"
    if expected.dtype.kind in "fciub" and actual.dtype.kind in "fciub":
        close = np.isclose(actual, expected, _RTOL, _ATOL, equal_nan=True)
        if close.all():
            return ""
        worst = np.unravel_index(int(np.argmin(close)), close.shape)
        return f"'{name}' is {actual[worst]} at {[int(at) for at in worst]}, at rest {expected[worst]}"
    return "" if np.array_equal(expected, actual) else f"'{name}' is another than at rest"


def _read_grpc(body: bytes) -> dict[str, Array]:
    return {name: np.asarray(array) for name, array in rpc.decode_predict_response(body).outputs.items()}


def _read_rest(body: bytes) -> dict[str, Array]:
    document = json.loads(body)
    outputs = document.get("outputs", document.get("predictions"))
    named = outputs if isinstance(outputs, dict) else {"predictions": outputs}
    return {name: _plain(values) for name, values in named.items()}


def _plain(values: Any) -> Array:
    """Numbers as an array; what is no array of numbers as its text."""
    try:
        array = np.asarray(values)
    except ValueError:
        array = np.asarray(None)
    return array if array.dtype.kind in "fiub" else np.asarray(json.dumps(values, sort_keys=True))


_READERS = {Protocol.GRPC: _read_grpc, Protocol.REST: _read_rest}
