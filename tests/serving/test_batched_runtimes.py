"""What a batch of a real bundle answers each request over gRPC is what that request is answered alone."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from tests.serving.running import PATIENCE_S
from toolkit.core.tensors import Feed, Outputs
from toolkit.serving.host import Host
from toolkit.serving.settings import settings_of
from toolkit.wire import rpc
from toolkit.wire.messages import ModelConfig, PredictRequest, Target

ROWS = (1, 2, 3, 2)
# A batch runs when it is full and not before, so all of them are in one.
PARAMETERS = f"max_batch_size {{ value: {sum(ROWS)} }} batch_timeout_micros {{ value: 3600000000 }}"


@dataclass(frozen=True)
class Asked:
    """What a server of one runtime can be asked."""

    host: Host
    channel: grpc.Channel

    def __call__(self, feed: Feed) -> tuple[Outputs, str]:
        """The outputs, and the artifact that answered."""
        request = rpc.encode_predict_request(PredictRequest(Target("mlp"), feed))
        body, call = self.channel.unary_unary(rpc.PREDICT).with_call(request, timeout=PATIENCE_S)
        return rpc.decode_predict_response(body).outputs, dict(call.trailing_metadata())["tfx-artifact"]

    def batches(self) -> float | None:
        self.host.metrics.page()
        prefix = ":tensorflow:serving:batching_session:"
        return self.host.metrics.registry.get_sample_value(f"{prefix}wrapped_run_count")


@contextmanager
def served(bundle: Path, base: Path, **flags: Any) -> Iterator[Asked]:
    base.mkdir()
    (base / "1").symlink_to(bundle)
    given = {"port": 0, "rest_api_port": -1} | flags
    with (
        Host(settings_of(given, [ModelConfig("mlp", str(base))])) as host,
        grpc.insecure_channel(f"127.0.0.1:{host.ready().grpc_port}") as channel,
    ):
        yield Asked(host, channel)


@pytest.mark.parametrize("runtime", ["onnx", "tflite"])
def test_each_request_of_a_batch_gets_what_it_gets_alone(
    shipped: Callable[[str], Path], tmp_path: Path, runtime: str
) -> None:
    feeds = [
        {"image": np.random.default_rng(seed).random((rows, 28, 28), np.float32)} for seed, rows in enumerate(ROWS)
    ]
    (tmp_path / "batching.config").write_text(PARAMETERS)
    batching = {"enable_batching": True, "batching_parameters_file": str(tmp_path / "batching.config")}
    with served(shipped("mlp"), tmp_path / "alone", runtime=runtime) as ask:
        alone = [ask(feed)[0] for feed in feeds]
    with served(shipped("mlp"), tmp_path / "batched", runtime=runtime, **batching) as ask:
        with ThreadPoolExecutor(len(ROWS)) as pool:
            batched = list(pool.map(ask, feeds))
        assert ask.batches() == 1
    for expected, (actual, artifact), rows in zip(alone, batched, ROWS, strict=True):
        assert artifact == runtime
        assert expected.keys() == actual.keys()
        for name, array in expected.items():
            assert array.shape[0] == rows
            np.testing.assert_allclose(actual[name], array, rtol=1e-4, atol=1e-5)
    assert len({float(next(iter(found.values()))[0, 0]) for found in alone}) == len(ROWS), "they can be told apart"
