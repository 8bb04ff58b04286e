"""A batch size that cannot be measured takes no other along."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.measure.test_session import TINY, task
from toolkit.building.isolate import ChildDied, Isolated
from toolkit.core.golden import Case
from toolkit.core.tensors import Signature, TensorSpec
from toolkit.errors import BenchError, RunError
from toolkit.measure import worker
from toolkit.measure.measurement import Status
from toolkit.measure.session import Session


def test_a_batch_size_that_cannot_be_fed_keeps_no_other_from_being_measured() -> None:
    fixed = Signature({"x": TensorSpec("float32", (3,))})
    path: Any = SimpleNamespace(cases=[Case("predict", "first", {"x": np.zeros(3, np.float32)})], signature=fixed)

    feeds, absent = worker._feeds(path, (1, 2))

    assert list(feeds) == [1]
    assert absent == {2: "its inputs have no open batch dimension"}
    with pytest.raises(BenchError, match="no open batch dimension"):
        worker._feeds(path, (2, 4))


@pytest.mark.parametrize("dies", [False, True])
def test_a_batch_size_that_fails_takes_no_other_along_unless_the_process_dies(
    shipped: Callable[[str], Path], root: Path, monkeypatch: pytest.MonkeyPatch, dies: bool
) -> None:
    class Short(Isolated):
        def run(self, function: Callable[..., Any], *args: Any, timeout_s: float) -> Any:
            if function is worker.warm and args[0] == 60:
                raise (ChildDied if dies else RunError)("no memory", hint="")
            return super().run(function, *args, timeout_s=timeout_s)

    monkeypatch.setattr("toolkit.measure.session.Isolated", Short)
    session = Session([task(shipped("mlp"), root, "tflite", (1, 60))], TINY, lambda *_: None, seed=1)
    assert session.run()
    one, sixty = session.measurements
    assert sixty.status(TINY) == (Status.UNAVAILABLE, "no memory")
    assert sixty.rounds == ()
    assert one.status(TINY)[1] == ("no memory" if dies else "")
    assert one.timed is not dies
