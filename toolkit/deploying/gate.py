"""Asks a server everything the eager model answered, over both protocols, and times it: findings, and one verdict."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from toolkit.core.golden import Case
from toolkit.deploying.proofs import Proof
from toolkit.deploying.servers import PrivateServer
from toolkit.errors import ServingError, WireError
from toolkit.measure.load.steady import steady_load
from toolkit.measure.statistics import samples_needed
from toolkit.runtimes.served import open_remote
from toolkit.verifying.parity import check_runner
from toolkit.wire import rest_predict, rpc
from toolkit.wire.endpoints import Remote
from toolkit.wire.messages import Endpoint, PredictRequest, PredictResponse, Protocol, Target

# Below this a first request is as quick as any: 3 x a p50 of 0.5 ms is the scheduler's noise. The smallest shipped
# model takes 6 to 11 ms without its warm-up file and 2 to 3 ms with it (p50 1.1 ms).
FIRST_REQUEST_FLOOR_S = 0.004
FIRST_REQUEST_FACTOR = 3.0
# A server has one first request only; what was slow by chance is not slow again in a server of its own.
FIRST_REQUEST_TRIES = 3
_CLIENT_WARM_UP = 10


@dataclass(frozen=True)
class Limits:
    """What a version must hold to be published.

    Args:
        max_p99_s: p99 of the smallest golden feed over gRPC at `rate`; None only says it.
        rate: requests a second.
        max_memory_bytes: of the server with only this version loaded.
        max_change: largest difference to the answers of the version in production; None only says it.
        max_message_bytes: the largest request or answer that clients take; gRPC's own default.
    """

    load_timeout_s: float = 120.0
    max_p99_s: float | None = None
    rate: float = 50.0
    requests: int = 100
    max_memory_bytes: int | None = None
    max_change: float | None = None
    max_message_bytes: int = 4 * 2**20


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    passed: bool
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def check_answers(endpoints: Sequence[Endpoint], target: Target, proof: Proof) -> Iterator[Finding]:
    """Every golden feed of every signature over every endpoint equals the eager outputs within tolerance."""
    for endpoint in endpoints:
        protocol = endpoint.protocol.value
        for signature in proof.manifest.signatures:
            remote = _remote(endpoint, target, signature)
            problem = _json_cannot(remote, proof, signature)
            name = f"answers over {protocol} ({signature})"
            if problem:
                yield Finding(name, True, f"not asked: {problem}")
                continue
            check = check_runner(protocol, partial(open_remote, remote), proof.expectation(signature))
            worst = max((found.max_abs for found in check.outputs.values()), default=0.0)
            wrong = [*check.problems, *(found.problem for found in check.outputs.values() if not found.passed)]
            text = (
                wrong[0]
                if wrong
                else f"{len(check.batch_sizes) or 'all'} batch sizes agree, largest difference {worst:.1e}"
            )
            yield Finding(name, check.passed, text, {"max_abs": _finite(worst)})


def check_first(endpoint: Endpoint, target: Target, proof: Proof) -> Finding:
    """The first request against those after it: that the warm-up file works."""
    case = proof.cases[0]
    with open_remote(_remote(endpoint, target, case.signature)) as runner:
        for _ in range(_CLIENT_WARM_UP):
            # Refused before the model runs: what is cold in the client is not the server's fault.
            with suppress(ServingError):
                runner.run({"": np.zeros(1, np.float32)})
        call = partial(runner.run, case.feed)
        first = _timed(call)
        p50 = statistics.median(_timed(call) for _ in range(20))
    allowed = max(FIRST_REQUEST_FACTOR * p50, FIRST_REQUEST_FLOOR_S)
    facts = {"first_ms": round(first * 1e3, 3)}
    return Finding("first request", first <= allowed, f"{first * 1e3:.1f} ms, p50 is {p50 * 1e3:.1f} ms", facts)


def check_latency(endpoint: Endpoint, target: Target, proof: Proof, limits: Limits) -> Iterator[Finding]:
    """p50 and p99 of batch 1 at the wanted rate; measured to the end unless the verdict stands before it."""
    samples = sample_latency(endpoint, target, proof, limits)
    p50, p99 = statistics.median(samples), samples[min(len(samples) - 1, int(len(samples) * 0.99))]
    passed = limits.max_p99_s is None or p99 <= limits.max_p99_s
    allowed = "" if limits.max_p99_s is None else f", allowed {limits.max_p99_s * 1e3:g} ms"
    facts = {"p50_ms": round(p50 * 1e3, 3), "p99_ms": round(p99 * 1e3, 3)}
    text = f"p50 {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms at {limits.rate:g}/s{allowed}"
    yield Finding("latency", passed, text, facts | {"rate": limits.rate, "requests": len(samples)})


def sample_latency(endpoint: Endpoint, target: Target, proof: Proof, limits: Limits) -> list[float]:
    """Latencies in seconds, ascending; fewer than asked for where so many were slow that p99 is lost."""
    case = _smallest(proof)
    count = max(limits.requests, samples_needed(99) if limits.max_p99_s is not None else 0)
    tolerated = count - int(count * 0.99) - 1
    slow: list[float] = []

    def lost(taken_s: float) -> bool:
        if limits.max_p99_s is not None and taken_s > limits.max_p99_s:
            slow.append(taken_s)
        return len(slow) > tolerated

    found = steady_load(_remote(endpoint, target, case.signature), case.feed, limits.rate, count, lost)
    return sorted((found.corrected_ns / 1e9).tolist())


def check_memory(server: PrivateServer, limits: Limits) -> Iterator[Finding]:
    """The server's largest resident memory."""
    used = server.memory_bytes()
    if used is None:
        if limits.max_memory_bytes is not None:
            yield Finding("memory", False, "nobody can say how much this server uses; leave --max-memory out")
        return
    passed = limits.max_memory_bytes is None or used <= limits.max_memory_bytes
    allowed = "" if limits.max_memory_bytes is None else f", allowed {limits.max_memory_bytes / 1e6:.0f} MB"
    yield Finding("memory", passed, f"{used / 1e6:.0f} MB{allowed}", {"memory_bytes": used})


def check_sizes(proof: Proof, limits: Limits) -> Iterator[Finding]:
    """The largest golden request and answer against what a client takes."""
    largest, place = 0, ""
    for case in proof.cases:
        target = Target(proof.manifest.model, 1, signature=case.signature)
        for what, body in (
            ("request", rpc.encode_predict_request(PredictRequest(target, case.feed))),
            ("answer", rpc.encode_predict_response(PredictResponse(target, case.outputs))),
        ):
            if len(body) > largest:
                largest, place = len(body), f"the {what} of {case.name}"
    passed = largest <= limits.max_message_bytes
    text = f"{largest / 1e6:.2f} MB, {place}"
    if not passed:
        text += f"; clients take {limits.max_message_bytes / 1e6:.2f} MB (--max-message-mb)"
    yield Finding("message size", passed, text, {"message_bytes": largest})


def check_change(baseline: Remote, candidate: Remote, proof: Proof, limits: Limits) -> Iterator[Finding]:
    """How far the new version's answers are from those of the one in production, on the same feeds."""
    largest, place = 0.0, ""
    name = f"change against version {baseline.target.version} ({candidate.target.signature_name})"
    with open_remote(baseline) as old, open_remote(candidate) as new:
        for case in proof.cases:
            if case.signature != candidate.target.signature_name:
                continue
            before, after = old.run(case.feed), new.run(case.feed)
            for output in sorted({*before, *after}):
                gap = _gap(before.get(output), after.get(output))
                if gap > largest:
                    largest, place = gap, f"'{output}' of {case.name}"
    passed = limits.max_change is None or largest <= limits.max_change
    allowed = "" if limits.max_change is None else f", allowed {limits.max_change:g}"
    text = f"largest {largest:.2e} {place}".strip() + allowed
    yield Finding(name, passed, text, {"change": _finite(largest)})


def compare_latency(
    baseline: Endpoint, candidate: Endpoint, targets: tuple[Target, Target], proof: Proof
) -> Iterator[Finding]:
    """p50 of both versions, in turns on the same feed, one request at a time; says, and does not judge."""
    case = _smallest(proof)
    with (
        open_remote(_remote(baseline, targets[0], case.signature)) as old,
        open_remote(_remote(candidate, targets[1], case.signature)) as new,
    ):
        turns = [(_timed(partial(old.run, case.feed)), _timed(partial(new.run, case.feed))) for _ in range(100)]
    before, after = (statistics.median(turn[which] for turn in turns) for which in (0, 1))
    text = f"p50 {after * 1e3:.2f} ms, version {targets[0].version} has {before * 1e3:.2f} ms"
    yield Finding("latency against production", True, text, {"production_p50_ms": round(before * 1e3, 3)})


def _smallest(proof: Proof) -> Case:
    return min(proof.cases, key=lambda case: sum(array.nbytes for array in case.feed.values()))


def _remote(endpoint: Endpoint, target: Target, signature: str) -> Remote:
    return Remote(endpoint, replace(target, signature=signature))


def _json_cannot(remote: Remote, proof: Proof, signature: str) -> str:
    """Why JSON cannot carry a signature's feeds; gRPC carries everything."""
    if remote.endpoint.protocol is not Protocol.REST:
        return ""
    case = next((found for found in proof.cases if found.signature == signature), None)
    try:
        if case is not None:
            rest_predict.encode_predict_request(PredictRequest(remote.target, case.feed))
    except WireError as error:
        return error.message
    return ""


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _gap(before: Any, after: Any) -> float:
    if before is None or after is None or before.shape != after.shape or before.dtype != after.dtype:
        return float("inf")
    if before.dtype.kind in "OSUb":
        return 0.0 if (before == after).all() else float("inf")
    wide = complex if before.dtype.kind == "c" else float
    old, new = before.astype(wide), after.astype(wide)
    with np.errstate(invalid="ignore"):  # infinity less infinity, which is the same and not looked at
        gaps = np.where((old == new) | (np.isnan(old) & np.isnan(new)), 0.0, np.abs(new - old))
    # A NaN where there was a number is as far away as can be.
    return float(np.nan_to_num(gaps, nan=np.inf, posinf=np.inf).max(initial=0.0))


def _finite(value: float) -> float | str:
    return value if value != float("inf") else "Infinity"
