"""What a worker does with its one path: what it hands over, and that no collector runs meanwhile."""

import gc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from toolkit.core.tensors import Signature, TensorSpec
from toolkit.measure import worker
from toolkit.measure.machine import machine_facts
from toolkit.measure.opening import OpenPath
from toolkit.measure.plan import Source, Task, Threads
from toolkit.measure.sampling import SECOND_NS, Limits

TASK = Task("m", "graph", "", Source("m", Path()), Path(), "", (1,), Threads(1, 1), device_inputs=True)


@pytest.mark.parametrize(("artifact", "converted"), [("", True), ("saved_model", False)])
def test_device_inputs_are_tensors_where_the_model_itself_is_called(artifact: str, converted: bool) -> None:
    import tensorflow as tf

    path = object.__new__(OpenPath)
    path.task = Task(**{**vars(TASK), "artifact": artifact})
    path.signature = Signature({"x": TensorSpec("float32", (None, 2))})
    found = path.converted({"x": np.ones((1, 2), np.float32)})
    assert isinstance(found["x"], tf.Tensor) is converted


def test_the_collector_is_off_while_a_worker_warms_up_and_takes_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    runner = SimpleNamespace(run=lambda _: seen.append(gc.isenabled()))
    path: Any = SimpleNamespace(runner=runner, moments=[])
    monkeypatch.setattr(worker._BENCH, "path", path, raising=False)
    monkeypatch.setattr(worker._BENCH, "feeds", {1: {}}, raising=False)

    worker.warm(1, Limits(10, 0, SECOND_NS))
    taken = worker.turn(1, Limits(5, 0, SECOND_NS))

    assert len(taken.samples_ns) >= 5
    assert set(seen) == {False}
    assert gc.isenabled()


def test_a_report_says_what_one_must_know_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    found = machine_facts()
    assert found["cpu"]
    assert found["cores"] >= 1
    assert found["governor"]
    assert len(found["load"]) == 3
    assert {"tensorflow", "onnxruntime", "numpy"} <= set(found["versions"])
    assert found["flags"]["TF_ENABLE_ONEDNN_OPTS"] == "0"
    assert found["collector"] == "off while calls are timed"
