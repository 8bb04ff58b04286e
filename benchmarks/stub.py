"""A model server of known service times: python -m benchmarks.stub KIND MEAN_MS [SERVERS]; its port is on stdout.

KIND is constant, exponential (seeded), or cycle, which takes 0.2 to 5 times MEAN_MS in turn. So many SERVERS serve one
queue. A service is a sleep that ends in a spin, so that it is as long as it should be.
"""

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np

from toolkit.core.tensors import Signature, TensorSpec
from toolkit.measure.load.pacing import sharpen_timers
from toolkit.wire import rpc, rpc_models
from toolkit.wire.messages import PredictResponse, Target
from toolkit.wire.signatures import write_signature

SPEC = TensorSpec("float32", (None, 2))
CYCLE = (0.2, 0.5, 1.0, 2.0, 5.0)
_TARGET = Target("stub", 1, None, "serving_default")
_SPIN_S = 0.0002
_SEED = 3
_DRAWN = 1 << 17


class Stub(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Answers Predict after its service time, and GetModelMetadata at once."""

    def __init__(self, kind: str, mean_s: float) -> None:
        drawn = {
            "constant": lambda: np.full(_DRAWN, mean_s),
            "exponential": lambda: np.random.default_rng(_SEED).exponential(mean_s, _DRAWN),
            "cycle": lambda: np.resize(np.array(CYCLE) * mean_s, _DRAWN),
        }
        self._times = drawn[kind]().tolist()
        self._number, self._counting = 0, threading.Lock()
        self._answer = rpc.encode_predict_response(PredictResponse(_TARGET, {"y": np.ones((1, 2), np.float32)}))
        written = write_signature("serving_default", Signature({"x": SPEC}, {"y": SPEC}))
        self._metadata = rpc_models.encode_metadata_response(_TARGET, {"serving_default": written})

    def service(self, details: Any) -> Any:
        """The handler of a method."""
        known = {rpc.PREDICT: self._predict, rpc.GET_MODEL_METADATA: lambda body, context: self._metadata}
        return grpc.unary_unary_rpc_method_handler(known[details.method]) if details.method in known else None

    def _predict(self, body: bytes, context: Any) -> bytes:
        begun = time.perf_counter()
        with self._counting:
            number = self._number
            self._number += 1
        until = begun + self._times[number % _DRAWN]
        sharpen_timers()
        if (left := until - time.perf_counter() - _SPIN_S) > 0:
            time.sleep(left)
        while time.perf_counter() < until:
            pass
        context.set_trailing_metadata((("tfx-compute-ns", str(round((time.perf_counter() - begun) * 1e9))),))
        return self._answer


def main() -> None:
    """Serves until it is ended."""
    kind, mean_ms, servers = sys.argv[1], float(sys.argv[2]), int((*sys.argv[3:], "1")[0])
    server = grpc.server(ThreadPoolExecutor(servers), handlers=(Stub(kind, mean_ms / 1e3),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(json.dumps({"port": port}), flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
