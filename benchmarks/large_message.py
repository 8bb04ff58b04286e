"""How long a gRPC message of 12.8 MB takes over the fast transport, and over the public one, in one run.

python -m benchmarks.large_message [--rounds 6] [--requests 40]

The model adds up its rows, so that nearly all of the time is the message's. Exit code 1 where the fast transport takes
more than twice the public one's time, or answers anything else.
"""

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import grpc
import numpy as np

from benchmarks.loads import Asking, Load, Side, measure, over_grpc, started
from benchmarks.rounds import machine, python, ratio, verdict
from toolkit.serving.transport import FAST, PUBLIC
from toolkit.wire import rpc
from toolkit.wire.messages import PredictRequest, Target

LIMIT = 2.0
ROWS, COLUMNS = 3200, 1000  # of four bytes: 12.8 MB
ALONE = Load(1, 1)
_MODEL = """
import sys
import tensorflow as tf
class Sums(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, %d], tf.float32, "x")])
    def __call__(self, x):
        return {"sums": tf.reduce_sum(x, 0)}
model = Sums()
tf.saved_model.save(model, sys.argv[1], signatures=model.__call__)
print("{}")
"""


def main() -> int:
    """Print both transports' times; 1 where the limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--requests", type=int, default=40)
    given = parser.parse_args()
    print(*machine(), sep="\n")
    values = np.arange(ROWS * COLUMNS, dtype=np.float32).reshape(ROWS, COLUMNS) % 7
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        base = Path(folder) / "sums"
        saved = python(("-c", _MODEL % COLUMNS, str(base / "1")))
        if saved.returncode:
            raise SystemExit(saved.stderr[-4000:])
        message = rpc.encode_predict_request(PredictRequest(Target("sums"), {"x": values}))
        body = Path(folder) / "body"
        body.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
        sides = [stack.enter_context(started(name, _served(base, name), "grpc_port")) for name in (FAST, PUBLIC)]
        for side in sides:
            _check(side, message, values.sum(0))
        times_s = _times_s(sides, over_grpc(rpc.PREDICT, body), given.requests, given.rounds)
        for side in sides:
            _check(side, message, values.sum(0))
    for name, found in times_s.items():
        print(f"{name:6} {statistics.median(found) * 1e3:.1f} ms a message of {len(message) / 1e6:.1f} MB")
    times = ratio(times_s[FAST], times_s[PUBLIC])
    print(f"{FAST} by {PUBLIC}: {times}")
    return 0 if verdict("time of a large message, fast by public", times.median, LIMIT, " x") else 1


def _served(base: Path, transport: str) -> Sequence[str]:
    flags = (f"--model_name={base.name}", f"--model_base_path={base}", "--port=0", "--rest_api_port=-1")
    return ("-m", "toolkit.cli.main", "serve", *flags, f"--transport={transport}")


def _check(side: Side, message: bytes, expected: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]") -> None:
    """Ends the run where the message is not answered right."""
    with grpc.insecure_channel(f"127.0.0.1:{side.port}") as channel:
        answer = channel.unary_unary(rpc.PREDICT)(message, timeout=60)
    if not np.allclose(expected, rpc.decode_predict_response(answer).outputs["sums"]):
        raise SystemExit(f"{side.name} answers other sums")


def _times_s(sides: Sequence[Side], asking: Asking, count: int, rounds: int) -> dict[str, list[float]]:
    """Seconds a message, round by round."""
    found: dict[str, list[float]] = {side.name: [] for side in sides}
    for side in sides:
        measure(side, asking, ALONE, count)  # warms up
    for at in range(rounds):
        for side in sides[:: 1 if at % 2 == 0 else -1]:
            found[side.name].append(1 / measure(side, asking, ALONE, count).per_s)
    return found


if __name__ == "__main__":
    raise SystemExit(main())
