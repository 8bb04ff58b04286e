"""Asks a server everything the eager model answered, over both protocols, and times it: findings, and one verdict."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from toolkit.core.tensors import Feed
from toolkit.deploying.proofs import Proof
from toolkit.deploying.servers import PrivateServer
from toolkit.errors import DeployError, ToolkitError, WireError
from toolkit.runtimes.served import open_remote
from toolkit.verifying.parity import check_runner
from toolkit.wire.endpoints import Remote
from toolkit.wire.messages import Endpoint, Target

# Below this a first request is as quick as any: on a busy machine 3 x a p50 of 0.5 ms is the scheduler's noise.
FIRST_REQUEST_FLOOR_S = 0.05
FIRST_REQUEST_FACTOR = 3.0
# The smallest count whose largest sample bounds p99 with 99 % confidence: ceil(log(0.01) / log(0.99)).
P99_SAMPLES = 459


@dataclass(frozen=True)
class Limits:
    """What a version must hold to be published.

    Args:
        max_p99_s: p99 of batch 1 over gRPC at `rate`; None does not time it against a limit.
        rate: requests a second.
        max_memory_bytes: of the server with only this version loaded.
        max_change: largest difference to the answers of the version in production; None does not compare.
    """

    load_timeout_s: float = 120.0
    max_p99_s: float | None = None
    rate: float = 50.0
    requests: int = 100
    max_memory_bytes: int | None = None
    max_change: float | None = None


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
            remote = Remote(endpoint, Target(target.model, target.version, target.label, signature))
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


def check_latency(endpoint: Endpoint, target: Target, proof: Proof, limits: Limits) -> Iterator[Finding]:
    """The first request against the rest, and p99 at the wanted rate."""
    case = proof.cases[0]
    remote = Remote(endpoint, Target(target.model, target.version, target.label, case.signature))
    with open_remote(remote) as runner:
        # Metadata was asked while the runner opened: the connection stands, and no Predict has run yet.
        first = _timed(partial(runner.run, case.feed))
        count = max(limits.requests, P99_SAMPLES if limits.max_p99_s is not None else 0)
        samples = sorted(_paced(runner.run, case.feed, limits.rate, count))
    p50, p99 = statistics.median(samples), samples[min(len(samples) - 1, int(len(samples) * 0.99))]
    allowed = max(FIRST_REQUEST_FACTOR * p50, FIRST_REQUEST_FLOOR_S)
    facts = {"first_ms": round(first * 1e3, 3), "p50_ms": round(p50 * 1e3, 3), "p99_ms": round(p99 * 1e3, 3)}
    yield Finding("first request", first <= allowed, f"{first * 1e3:.1f} ms, p50 is {p50 * 1e3:.1f} ms", facts)
    if limits.max_p99_s is not None:
        passed = p99 <= limits.max_p99_s
        text = f"p99 {p99 * 1e3:.1f} ms at {limits.rate:g}/s, allowed {limits.max_p99_s * 1e3:g} ms"
        yield Finding("latency", passed, text, facts | {"rate": limits.rate, "requests": len(samples)})


def check_memory(server: PrivateServer, limits: Limits) -> Iterator[Finding]:
    """The server's largest resident memory."""
    used = server.memory_bytes()
    if used is None:
        return
    passed = limits.max_memory_bytes is None or used <= limits.max_memory_bytes
    allowed = "" if limits.max_memory_bytes is None else f", allowed {limits.max_memory_bytes / 1e6:.0f} MB"
    yield Finding("memory", passed, f"{used / 1e6:.0f} MB{allowed}", {"memory_bytes": used})


def check_change(baseline: Remote, candidate: Remote, proof: Proof, limits: Limits) -> Iterator[Finding]:
    """How far the new version's answers are from those of the one in production, on the same feeds."""
    largest, place = 0.0, ""
    with open_remote(baseline) as old, open_remote(candidate) as new:
        for case in proof.cases:
            if case.signature != candidate.target.signature_name:
                continue
            try:
                before, after = old.run(case.feed), new.run(case.feed)
            except ToolkitError as error:
                yield Finding("change", False, f"the version in production does not take {case.name}: {error.message}")
                return
            for name, array in after.items():
                gap = _gap(before.get(name), array)
                if gap > largest:
                    largest, place = gap, f"'{name}' of {case.name}"
    passed = limits.max_change is None or largest <= limits.max_change
    allowed = "" if limits.max_change is None else f", allowed {limits.max_change:g}"
    yield Finding("change", passed, f"largest {largest:.2e} {place}{allowed}".strip(), {"max_change": _finite(largest)})


def refuse(findings: Sequence[Finding]) -> None:
    """Raises for the findings that did not pass.

    Raises:
        DeployError: all of them, in one line.
    """
    failed = [f"{found.name}: {found.text}" for found in findings if not found.passed]
    if failed:
        raise DeployError("; ".join(failed), hint="nothing was published; mend the model, or change the limit")


def _json_cannot(remote: Remote, proof: Proof, signature: str) -> str:
    """Why JSON cannot carry a signature's feeds; gRPC carries everything."""
    from toolkit.wire import rest_predict
    from toolkit.wire.messages import PredictRequest, Protocol

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


def _paced(call: Callable[[Feed], object], feed: Feed, rate: float, count: int) -> Iterator[float]:
    """Latencies counted from the scheduled time, so that a slow answer does not hide the wait of the next one."""
    started = time.perf_counter()
    for number in range(count):
        scheduled = started + number / rate
        wait = scheduled - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        call(feed)
        yield time.perf_counter() - scheduled


def _gap(before: Any, after: Any) -> float:
    import numpy as np

    if before is None or before.shape != after.shape or before.dtype != after.dtype:
        return float("inf")
    if before.dtype.kind in "OSUb":
        return 0.0 if (before == after).all() else float("inf")
    same = (before == after) | (np.isnan(before.astype(float)) & np.isnan(after.astype(float)))
    return float(np.where(same, 0.0, np.abs(after.astype(float) - before.astype(float))).max(initial=0.0))


def _finite(value: float) -> float | str:
    return value if value != float("inf") else "Infinity"
