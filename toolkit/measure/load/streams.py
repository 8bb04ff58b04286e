"""Asks each target before it is loaded: that it answers, what it takes, that it is right, and what encoding costs."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from toolkit.core.tensors import Feed, Signature, sample_feed
from toolkit.errors import Fault, ServingError, UnavailableError
from toolkit.measure.load.point import CLIENT_DECODE, CLIENT_ENCODE
from toolkit.measure.load.targets import Aim
from toolkit.measure.load.traffic import PAYLOADS, Traffic, cut
from toolkit.runtimes.served import Moments, open_remote
from toolkit.verifying.parity import AGAIN, check_runner
from toolkit.wire.endpoints import Remote

_CALLS = 25


@dataclass(frozen=True)
class Payload:
    """What requests are to hold.

    Args:
        feeds: by model's name, or under an empty name for all; without any, golden feeds or made-up values.
        rows: of a request; None sends feeds as they are.
        signature: in place of the URL's.
        seed: of made-up values.
    """

    feeds: Mapping[str, Sequence[Mapping[str, Any]]]
    rows: int | None
    signature: str = ""
    seed: int = 0


@dataclass(frozen=True)
class Stream:
    """A target that has answered, and what to send it.

    Args:
        codec_s: seconds to encode a request and to decode an answer.
        problem: what is wrong with its answers to the golden feeds; empty when nothing is, or nothing is known.
    """

    traffic: Traffic
    codec_s: Mapping[str, float]
    problem: str = ""


def prepare(aim: Aim, payload: Payload, weight: float, timeout_s: float) -> Stream:
    """Ask a target once.

    Raises:
        UnavailableError: nobody answers there in time.
        ServingError: there is no such model or signature, or the request is not taken; in the server's words.
        FeedError: the feeds do not fit.
    """
    remote = aim.remote
    if payload.signature:
        remote = replace(remote, target=replace(remote.target, signature=payload.signature))
    moments: list[Moments] = []
    try:
        with open_remote(remote, timeout_s, moments.append) as runner:
            feeds = _feeds(aim, remote, runner.signature, payload)
            for feed in feeds:
                runner.run(feed)
            moments.clear()
            for at in range(_CALLS):
                runner.run(feeds[at % len(feeds)])
    except ServingError as error:
        if error.fault is not Fault.DEADLINE:
            raise
        raise UnavailableError(
            f"{remote.endpoint.address} takes connections and gave no answer in {timeout_s:g} s",
            hint="is it up, and does it speak this protocol? --timeout gives it more time",
        ) from error
    codec_s = {
        CLIENT_ENCODE: statistics.median(one.encoded - one.begun for one in moments) / 1e9,
        CLIENT_DECODE: statistics.median(one.decoded - one.answered for one in moments) / 1e9,
    }
    traffic = Traffic(remote.target.model, remote, tuple(feeds), weight)
    return Stream(traffic, codec_s, _problem(aim, remote, timeout_s))


def _problem(aim: Aim, remote: Remote, timeout_s: float) -> str:
    """What is wrong with the answers to the golden feeds, which the bundle knows."""
    wanted = aim.expectations.get(remote.target.signature_name)
    if wanted is None:
        return ""
    check = check_runner(remote.endpoint.protocol.value, partial(open_remote, remote, timeout_s), wanted)
    return next(iter((*check.problems, *(one.problem for one in check.outputs.values() if not one.passed))), "")


def _feeds(aim: Aim, remote: Remote, signature: Signature, payload: Payload) -> Sequence[Feed]:
    given = payload.feeds.get(remote.target.model, payload.feeds.get("", ()))
    if given:
        return cut(given, signature, payload.rows)
    wanted = aim.expectations.get(remote.target.signature_name)
    if wanted is not None and wanted.cases:
        golden = [case.feed for case in wanted.cases if not case.name.endswith(AGAIN)]
        return cut(golden, signature, payload.rows or 1)
    return [sample_feed(signature, payload.rows or 1, payload.seed + at) for at in range(PAYLOADS)]
