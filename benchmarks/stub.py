"""A model server of known service times: python -m benchmarks.stub KIND MEAN_MS [SERVERS]; its port is on stdout.

KIND is constant, exponential (seeded), or cycle, which takes 0.5 to 5 times MEAN_MS in turn. So many SERVERS serve one
queue by the clock: each request is answered when its turn would be over, so that what the stub itself takes keeps no
server busy and only adds to the latency.
"""

import heapq
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
CYCLE = (0.5, 0.8, 1.0, 2.0, 5.0)
_TARGET = Target("stub", 1, None, "serving_default")
_THREADS = 64
_SEED = 3
_DRAWN = 1 << 17


class Stub(grpc.GenericRpcHandler):
    """Answers Predict after its service time, and GetModelMetadata at once."""

    def __init__(self, kind: str, mean_s: float, servers: int) -> None:
        drawn = {
            "constant": np.full(_DRAWN, mean_s),
            "exponential": np.random.default_rng(_SEED).exponential(mean_s, _DRAWN),
            "cycle": np.resize(np.array(CYCLE) * mean_s, _DRAWN),
        }
        self._times = drawn[kind].tolist()
        self._free, self._number, self._counting = [0.0] * servers, 0, threading.Lock()
        self._answer = rpc.encode_predict_response(PredictResponse(_TARGET, {"y": np.ones((1, 2), np.float32)}))
        written = write_signature("serving_default", Signature({"x": SPEC}, {"y": SPEC}))
        self._metadata = rpc_models.encode_metadata_response(_TARGET, {"serving_default": written})

    def service(self, details: Any) -> Any:
        """The handler of a method."""
        known = {rpc.PREDICT: self._predict, rpc.GET_MODEL_METADATA: lambda body, context: self._metadata}
        return grpc.unary_unary_rpc_method_handler(known[details.method]) if details.method in known else None

    def _predict(self, body: bytes, context: Any) -> bytes:
        arrived = time.perf_counter()
        with self._counting:
            takes = self._times[self._number % _DRAWN]
            self._number += 1
            until = max(arrived, self._free[0]) + takes
            heapq.heapreplace(self._free, until)
        sharpen_timers()
        if (left := until - time.perf_counter()) > 0:
            time.sleep(left)
        context.set_trailing_metadata((("tfx-compute-ns", str(round(takes * 1e9))),))
        return self._answer


def main() -> None:
    """Serves until it is ended."""
    kind, mean_ms, servers = sys.argv[1], float(sys.argv[2]), int((*sys.argv[3:], "1")[0])
    server = grpc.server(ThreadPoolExecutor(_THREADS), handlers=(Stub(kind, mean_ms / 1e3, servers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(json.dumps({"port": port}), flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
