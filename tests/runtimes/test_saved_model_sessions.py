"""Sessions over SavedModels: two models load at the same time, one model once, and what failed is forgotten."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolkit.core.artifact import GOLDEN, read_manifest
from toolkit.core.golden import read_golden
from toolkit.core.plugins import Opening
from toolkit.core.tensors import Signature
from toolkit.errors import ParityError
from toolkit.runtimes import saved_model

PATIENCE_S = 60.0
Shipped = Callable[[str], Path]


def ask(bundle: Path) -> None:
    """Opens the bundle's SavedModel, and holds its answer against the eager model's."""
    case = next(iter(read_golden(bundle / GOLDEN, read_manifest(bundle).signatures)))
    opening = Opening(bundle / "saved_model", case.signature, Signature({}), threads=1)
    with saved_model.open_runner(opening) as runner:
        found = runner.run(case.feed)
    for name, expected in case.outputs.items():
        assert np.allclose(expected, found[name], rtol=1e-4, atol=1e-5)


def test_two_models_load_at_the_same_time_and_both_answer_right(
    shipped: Shipped, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, load = threading.Barrier(2), saved_model._load

    def meeting(*key: Any) -> Any:
        both.wait(PATIENCE_S)  # broken where one load waits for the other to end
        return load(*key)

    monkeypatch.setattr(saved_model, "_load", meeting)
    with ThreadPoolExecutor(2) as pool:
        for asked in [pool.submit(ask, shipped(name)) for name in ("mlp", "tabular")]:
            asked.result(PATIENCE_S)
    assert not saved_model._SESSIONS.loaded


def test_who_wants_a_model_that_is_being_loaded_waits_for_it(shipped: Shipped, monkeypatch: pytest.MonkeyPatch) -> None:
    began, goes_on, load, loads = threading.Event(), threading.Event(), saved_model._load, []

    def held(*key: Any) -> Any:
        loads.append(key)
        began.set()
        assert goes_on.wait(PATIENCE_S)
        return load(*key)

    monkeypatch.setattr(saved_model, "_load", held)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, shipped("mlp"))
        assert began.wait(PATIENCE_S)
        second = pool.submit(ask, shipped("mlp"))
        (shared,) = saved_model._SESSIONS.loaded.values()
        pause = threading.Event()
        while shared.users < 2:
            assert not second.done()
            pause.wait(0.001)
        goes_on.set()
        first.result(PATIENCE_S)
        second.result(PATIENCE_S)
    assert len(loads) == 1
    assert not saved_model._SESSIONS.loaded


def test_a_load_that_failed_leaves_nothing_and_the_next_one_tries_anew(shipped: Shipped, tmp_path: Path) -> None:
    opening = Opening(tmp_path, "serving_default", Signature({}), threads=1)
    for _ in range(2):
        with pytest.raises(ParityError, match="does not load in graph mode"), saved_model.open_runner(opening):
            pass
        assert not saved_model._SESSIONS.loaded
