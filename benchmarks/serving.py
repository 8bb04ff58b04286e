"""Requests per second of `tfx-export serve` beside a bare echo on the same library, in one run.

python -m benchmarks.serving [--rounds 5] [--requests 4000] [--models mlp sequence mobilenet transformer] [--rest] …

Each server is a process of its own; rounds go forwards and backwards in turn. h2load (Debian: nghttp2-client) counts an
answer with HTTP status 200 even where grpc-status is an error, so answers are held against the bundle's golden outputs
before the first round and after the last. CPU time and context switches are the server's own, for each request.
"""

import argparse
import json
import statistics
import tempfile
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np

from benchmarks.loads import (
    Asking,
    Load,
    Run,
    Side,
    grpc_echo,
    http_echo,
    measure,
    over_grpc,
    over_http,
    serve,
    started,
)
from benchmarks.rounds import ROOT, machine, ratio
from toolkit.core.artifact import GOLDEN, read_manifest
from toolkit.core.golden import Case, read_golden
from toolkit.core.store import newest
from toolkit.measure.awake import cores_awake
from toolkit.wire import rest_predict, rpc
from toolkit.wire.messages import PredictRequest, Target

ECHO, FASTEST, SAVED_MODEL = "echo", "fastest", "saved_model"
MIRROR = "mirror"  # over HTTP it writes back all that it reads, where the echo writes what the model answers
CROWD, ALONE, CONNECTIONS = Load(4, 4), Load(1, 1), Load(16, 1)
LIMITS = (  # model, candidate, baseline, load: at least so many times as many requests
    ("mlp", FASTEST, ECHO, CROWD, 2.5),
    ("mlp", FASTEST, ECHO, ALONE, 1.5),
    ("mlp", SAVED_MODEL, ECHO, CROWD, 0.8),
    ("sequence", FASTEST, SAVED_MODEL, CROWD, 6.0),
    ("mobilenet", FASTEST, SAVED_MODEL, CROWD, 4.0),
    ("transformer", FASTEST, SAVED_MODEL, CROWD, 2.5),
    ("mlp", FASTEST, ECHO, CONNECTIONS, 0.8),
    ("mlp", FASTEST, MIRROR, CONNECTIONS, 0.8),
)


@dataclass(frozen=True)
class Question:
    """One call of a model, and what it must be answered."""

    model: str
    case: Case

    @property
    def request(self) -> PredictRequest:
        """The call."""
        return PredictRequest(Target(self.model), self.case.feed)

    def check_grpc(self, side: Side) -> None:
        """Ends the run where a server does not answer as the eager model did."""
        with grpc.insecure_channel(f"127.0.0.1:{side.port}") as channel:
            body = channel.unary_unary(rpc.PREDICT)(rpc.encode_predict_request(self.request), timeout=60)
        outputs = rpc.decode_predict_response(body).outputs
        for name, expected in self.case.outputs.items():
            if not np.allclose(expected, outputs[name], rtol=1e-3, atol=1e-4):
                raise SystemExit(f"{side.name}: {self.model} answers another {name}")

    def check_rest(self, side: Side) -> None:
        """Ends the run where a server does not answer as the eager model did."""
        if side.name in (ECHO, MIRROR):
            return
        found = json.loads(self.ask_rest(side))["outputs"]
        for name, expected in self.case.outputs.items():
            actual = np.array(found[name] if isinstance(found, dict) else found)
            if not np.allclose(expected, actual, rtol=1e-3, atol=1e-4):
                raise SystemExit(f"{side.name}: {self.model} answers another {name}")

    def ask_rest(self, side: Side) -> bytes:
        """The answer over REST."""
        url = f"http://127.0.0.1:{side.port}/v1/models/{self.model}:predict"
        with urllib.request.urlopen(url, rest_predict.encode_predict_request(self.request), timeout=60) as answer:
            body: bytes = answer.read()
        return body


@dataclass(frozen=True)
class Plan:
    """Servers, what they are asked, and under which loads."""

    sides: Sequence[Side]
    asking: Asking
    loads: Sequence[Load]
    check: Callable[[Side], None]


def main() -> int:
    """Print requests, CPU time and context switches of each side; 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--models", nargs="+", default=["mlp", "sequence", "mobilenet", "transformer"])
    parser.add_argument("--rest", action="store_true", help="REST on 16 connections instead of gRPC")
    parser.add_argument("--awake", action="store_true", help="idle cores may not sleep, which few machines in use do")
    given = parser.parse_args()
    held = True
    with cores_awake() if given.awake else nullcontext("may sleep") as idle:
        print(*machine(), f"idle cores: {idle}", sep="\n")
        for model in given.models:
            held &= _held(model, rest=given.rest, requests=given.requests, rounds=given.rounds)
    return 0 if held else 1


def _held(model: str, *, rest: bool, requests: int, rounds: int) -> bool:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        plan = (_rest if rest else _grpc)(stack, _question(model), Path(folder) / "body")
        return _compare(model, plan, requests, rounds)


def _question(model: str) -> Question:
    bundle = newest(ROOT / "exported", model)
    if bundle is None:
        raise SystemExit(f"there is no bundle of {model}: tfx-export build {model}")
    cases = read_golden(bundle / GOLDEN, read_manifest(bundle).signatures)
    return Question(model, next(case for case in cases if case.signature == "serving_default"))


def _grpc(stack: ExitStack, question: Question, body: Path) -> Plan:
    message = rpc.encode_predict_request(question.request)
    body.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
    sides = [stack.enter_context(started(ECHO, grpc_echo()))]
    for runtime in (FASTEST, SAVED_MODEL):
        arguments = serve(question.model, "--runtime", runtime, "--rest_api_port", "-1")
        sides.append(stack.enter_context(started(runtime, arguments, "grpc_port")))
    # One at a time first: a crowd leaves the echo with all its threads and at other speeds (docs/performance.md).
    return Plan(sides, over_grpc(rpc.PREDICT, body), (ALONE, CROWD), question.check_grpc)


def _rest(stack: ExitStack, question: Question, body: Path) -> Plan:
    body.write_bytes(rest_predict.encode_predict_request(question.request))
    arguments = serve(question.model, "--runtime", FASTEST, "--rest_api_port", "0")
    served = stack.enter_context(started(FASTEST, arguments, "rest_api_port"))
    answer = body.with_name("answer")
    answer.write_bytes(question.ask_rest(served))
    sides = [
        stack.enter_context(started(ECHO, http_echo(answer))),
        stack.enter_context(started(MIRROR, http_echo())),
        served,
    ]
    return Plan(sides, over_http(f"/v1/models/{question.model}:predict", body), (CONNECTIONS,), question.check_rest)


def _compare(model: str, plan: Plan, requests: int, rounds: int) -> bool:
    for side in plan.sides[1:]:
        plan.check(side)
    held = True
    for load in plan.loads:
        count = requests if load is not ALONE else max(1, requests // 4)
        found = _rounds(plan, load, count, rounds)
        for name, runs in found.items():
            print(f"{model}, {load}: {name:12} {_shown(runs)}")
        for name, candidate, baseline, under, least in LIMITS:
            if name == model and under == load and {candidate, baseline} <= set(found):
                rates = [[run.per_s for run in found[side]] for side in (candidate, baseline)]
                times = ratio(*rates)
                verdict = "holds" if times.median >= least else "MISSED"
                print(f"{verdict}: {model}, {load}: {candidate} by {baseline} {times}, at least {least:g} x")
                held &= times.median >= least
    for side in plan.sides[1:]:
        plan.check(side)
    return held


def _rounds(plan: Plan, load: Load, count: int, rounds: int) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {}
    for side in plan.sides:
        measure(side, plan.asking, load, max(50, count // 4))  # warms up
    for at in range(rounds):
        for side in plan.sides[:: 1 if at % 2 == 0 else -1]:
            found.setdefault(side.name, []).append(measure(side, plan.asking, load, count))
    return found


def _shown(runs: Sequence[Run]) -> str:
    per_s, cpu_us, switches = (
        statistics.median(getattr(run, key) for run in runs) for key in ("per_s", "cpu_us", "switches")
    )
    return f"{per_s:8.0f} requests/s  {cpu_us:7.0f} us of CPU  {switches:6.1f} context switches"


if __name__ == "__main__":
    raise SystemExit(main())
