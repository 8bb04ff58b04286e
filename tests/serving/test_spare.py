"""What `fastest` chose may refuse a feed that the model takes: the SavedModel then answers, and says so."""

import importlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from tests.serving.running import PATIENCE_S
from toolkit.core.artifact import Behaviour, Manifest, read_manifest
from toolkit.core.plugins import Opening
from toolkit.core.runner import FunctionRunner
from toolkit.core.tensors import Feed, Outputs
from toolkit.errors import Fault, RunError, ToolkitError, UnavailableError
from toolkit.runtimes import saved_model
from toolkit.serving import fastest
from toolkit.serving.fastest import Choice, FastestServable, open_fastest
from toolkit.serving.host import Host
from toolkit.serving.servables import Able, Answered, Loading, OpenedServable, first_answer, proven_manifest
from toolkit.serving.settings import settings_of
from toolkit.wire import rpc
from toolkit.wire.messages import ModelConfig, PredictRequest, Target

REFUSED_ROWS = 5
SHAPE, VALUE, GONE = (
    RunError("not this shape", fault=Fault.INVALID),
    RunError("not this value", fault=Fault.INVALID),
    UnavailableError("not there any more", hint="build it"),
)


def able(name: str, failure: ToolkitError | None) -> Able:
    def run(feed: Feed) -> Outputs:
        if failure is not None:
            raise failure
        return {"y": np.array(name)}

    return Able(name, run)


@pytest.mark.parametrize(
    ("failures", "answers"), [((None,), 0), ((None, SHAPE), 0), ((SHAPE, None), 1), ((SHAPE, GONE, None), 2)]
)
def test_the_first_that_takes_a_feed_answers_it(failures: tuple[ToolkitError | None, ...], answers: int) -> None:
    found = first_answer([able(str(at), failure) for at, failure in enumerate(failures)], {})
    assert found == Answered(str(answers), {"y": np.array(str(answers))})


@pytest.mark.parametrize(
    ("failures", "said"), [((SHAPE,), SHAPE), ((SHAPE, VALUE), VALUE), ((SHAPE, GONE), SHAPE), ((GONE,), GONE)]
)
def test_where_none_takes_it_the_last_that_was_there_says_why(
    failures: tuple[ToolkitError, ...], said: ToolkitError
) -> None:
    with pytest.raises(ToolkitError) as raised:
        first_answer([able("one", failure) for failure in failures], {})
    assert raised.value is said


@pytest.fixture
def bundle(shipped: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The mlp, of which `fastest` takes the ONNX file, which refuses feeds of so many rows."""
    copy = tmp_path / "mlp" / "1"
    shutil.copytree(shipped("mlp"), copy)
    module: Any = importlib.import_module("toolkit.runtimes.onnx")
    opened = module.RUNTIME.open

    @contextmanager
    def open_choosy(opening: Opening) -> Iterator[FunctionRunner]:
        with opened(opening) as runner:

            def run(feed: Feed) -> Outputs:
                if len(feed["image"]) == REFUSED_ROWS:
                    raise SHAPE
                found: Outputs = runner.function(feed)
                return found

            yield replace(runner, function=run)

    monkeypatch.setattr(module, "RUNTIME", replace(module.RUNTIME, open=open_choosy))
    monkeypatch.setattr(fastest, "choose", lambda *_: {"serving_default": [Choice(0, "onnx")]})
    return copy


def feed_of(rows: int) -> dict[str, Any]:
    return {"image": np.random.default_rng(rows).random((rows, 28, 28), np.float32)}


@pytest.mark.parametrize("batching", [False, True])
def test_a_served_bundle_answers_what_the_chosen_artifact_refuses_as_its_saved_model_does(
    bundle: Path, batching: bool
) -> None:
    given = {"port": 0, "rest_api_port": -1, "runtime": "fastest", "enable_batching": batching}
    host = Host(settings_of(given, [ModelConfig("mlp", str(bundle.parent))]))
    port = host.start().grpc_port
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            # Before, while and after: the one that refused goes on with what it takes.
            for rows, artifact in (
                (3, "onnx"),
                (REFUSED_ROWS, "saved_model"),
                (REFUSED_ROWS, "saved_model"),
                (3, "onnx"),
            ):
                request = rpc.encode_predict_request(PredictRequest(Target("mlp"), feed_of(rows)))
                body, call = channel.unary_unary(rpc.PREDICT).with_call(request, timeout=PATIENCE_S)
                assert dict(call.trailing_metadata())["tfx-artifact"] == artifact
                (actual,) = rpc.decode_predict_response(body).outputs.values()
                assert np.allclose(expected(bundle, rows), actual, rtol=1e-4, atol=1e-5)
    finally:
        host.stop()
    assert not saved_model._SESSIONS.loaded


def expected(bundle: Path, rows: int) -> Any:
    """What the SavedModel answers, asked by itself."""
    manifest = read_manifest(bundle)
    signature = manifest.signatures["serving_default"]
    opening = Opening(bundle / "saved_model", "serving_default", signature)
    with saved_model.open_runner(opening) as runner:
        (found,) = runner.run(feed_of(rows)).values()
    return found


def opened_of(bundle: Path) -> FastestServable:
    return open_fastest(bundle, Loading(), allow_lossy=False)


def test_the_saved_model_is_opened_only_once_it_is_needed(bundle: Path) -> None:
    servable = opened_of(bundle)
    servable.run("serving_default", feed_of(3))
    assert not saved_model._SESSIONS.loaded
    servable.run("serving_default", feed_of(REFUSED_ROWS))
    assert saved_model._SESSIONS.loaded
    servable.close()
    assert not saved_model._SESSIONS.loaded


def test_an_error_that_the_model_itself_gives_is_the_one_that_is_answered(bundle: Path) -> None:
    servable = opened_of(bundle)
    with (
        pytest.raises(RunError) as own,
        saved_model.open_runner(
            Opening(bundle / "saved_model", "serving_default", read_manifest(bundle).signatures["serving_default"])
        ) as runner,
    ):
        runner.run({"image": np.zeros((2, 9), np.float32)})
    with pytest.raises(RunError) as served:
        servable.run("serving_default", {"image": np.zeros((2, 9), np.float32)})
    assert served.value.message == own.value.message
    servable.close()


def test_a_file_changed_since_is_not_opened_and_the_refusal_stays(bundle: Path) -> None:
    servable = opened_of(bundle)
    path = bundle / "saved_model" / "saved_model.pb"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(RunError, match="not this shape"):
        servable.run("serving_default", feed_of(REFUSED_ROWS))
    servable.close()


def test_files_are_looked_at_once_and_not_for_every_feed_that_is_refused(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    servable = opened_of(bundle)
    looks: list[Path] = []

    def look(directory: Path) -> Manifest:
        looks.append(directory)
        return real(directory)

    real = proven_manifest
    monkeypatch.setattr(fastest, "proven_manifest", look)
    path = bundle / "saved_model" / "saved_model.pb"
    path.write_bytes(path.read_bytes() + b"\0")
    for _ in range(3):
        with pytest.raises(RunError, match="not this shape"):
            servable.run("serving_default", feed_of(REFUSED_ROWS))
    assert looks == [bundle]
    spare = servable.spare
    assert spare is not None
    with pytest.raises(UnavailableError, match="was changed"):
        spare.run("serving_default", feed_of(1))
    servable.close()


def test_nothing_stays_open_where_there_is_no_spare_to_be_had(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []
    real = OpenedServable.close

    def close(servable: OpenedServable) -> None:
        closed.append(servable.artifact)
        real(servable)

    def fail(*_: object) -> None:
        raise UnavailableError("the disk is gone")

    monkeypatch.setattr(OpenedServable, "close", close)
    monkeypatch.setattr(fastest, "_spare", fail)
    with pytest.raises(UnavailableError, match="the disk is gone"):
        opened_of(bundle)
    assert set(closed) >= {"onnx", "tflite", "saved_model"}


def test_a_state_is_not_kept_twice(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = proven_manifest
    stateful = {"serving_default": Behaviour(stateful=True)}
    monkeypatch.setattr(fastest, "proven_manifest", lambda directory: replace(real(directory), behaviour=stateful))
    servable = opened_of(bundle)
    with pytest.raises(RunError, match="not this shape"):
        servable.run("serving_default", feed_of(REFUSED_ROWS))
    servable.close()
