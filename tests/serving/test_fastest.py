"""`fastest` measures and takes what was fastest for each batch size, among what may answer at all."""

import importlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.serving.timed import Clock, candidates_of, cases_of, manifest_of
from toolkit.core.artifact import MANIFEST, Behaviour, Manifest, read_manifest
from toolkit.core.parity import Parity
from toolkit.core.plugins import Opening
from toolkit.core.runner import FunctionRunner
from toolkit.core.tensors import Feed, Outputs
from toolkit.errors import Fault, ParityError, ServingError
from toolkit.serving.fastest import Choice, FastestServable, choose, open_fastest
from toolkit.serving.servables import Loading, load_servable


@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        ({"slow": (0.02, 0.0), "quick": (0.01, 0.0)}, [Choice(1, "quick", 0.01)]),
        ({"light": (0.0, 0.002), "heavy": (0.02, 0.0)}, [Choice(1, "light", 0.002), Choice(32, "heavy", 0.02)]),
        ({"only": (0.5, 0.0)}, [Choice(1, "only", 0.5)]),
    ],
)
@pytest.mark.parametrize("order", [(1, 8, 32), (32, 8, 1)])
def test_each_batch_size_is_answered_by_what_was_fastest_for_it(
    costs: dict[str, tuple[float, float]], expected: list[Choice], order: tuple[int, ...]
) -> None:
    clock = Clock()
    chosen = choose(manifest_of({"s": Behaviour()}), cases_of("s", *order), candidates_of(clock, costs), clock)["s"]
    assert [(one.rows, one.artifact) for one in chosen] == [(one.rows, one.artifact) for one in expected]
    assert [one.median_s for one in chosen] == pytest.approx([one.median_s for one in expected])


@pytest.mark.parametrize(("shared_s", "expected"), [(0.0109, "shared"), (0.0111, "lent"), (0.009, "shared")])
def test_of_two_about_as_fast_the_one_that_callers_share_answers(shared_s: float, expected: str) -> None:
    clock = Clock()
    candidates = candidates_of(clock, {"lent": (0.01, 0.0), "shared": (shared_s, 0.0)})
    candidates["shared"].shared = True

    chosen = choose(manifest_of({"s": Behaviour()}), cases_of("s", 1), candidates, clock)

    assert [one.artifact for one in chosen["s"]] == [expected]


def test_a_slow_model_is_measured_with_fewer_calls() -> None:
    clock = Clock()
    candidates = candidates_of(clock, {"slow": (1.0, 0.0), "quick": (0.001, 0.0)})
    choose(manifest_of({"s": Behaviour()}), cases_of("s", 1), candidates, clock)
    assert (candidates["slow"].runs, candidates["quick"].runs) == (3, 15)


def test_a_candidate_that_refuses_a_feed_is_not_chosen_for_it() -> None:
    clock = Clock()
    candidates = candidates_of(clock, {"quick": (0.001, 0.0), "slow": (1.0, 0.0)})
    candidates["quick"].refuses = True
    chosen = choose(manifest_of({"s": Behaviour()}), cases_of("s", 1), candidates, clock)
    assert [one.artifact for one in chosen["s"]] == ["slow"]


def test_where_nothing_can_be_measured_the_first_answers() -> None:
    clock = Clock()
    candidates = candidates_of(clock, {"first": (0.1, 0.0), "second": (0.1, 0.0)})
    for candidate in candidates.values():
        candidate.refuses = True
    behaviours = {"s": Behaviour()}
    assert choose(manifest_of(behaviours), cases_of("s", 1), candidates, clock) == {"s": [Choice(0, "first")]}
    assert choose(manifest_of(behaviours), [], candidates, clock) == {"s": [Choice(0, "first")]}


def test_state_is_kept_by_one_artifact_which_is_not_run_before() -> None:
    clock = Clock()
    one = candidates_of(clock, {"quick": (0.001, 0.0)}, "add")
    both = candidates_of(clock, {"whole": (1.0, 0.0)}, "add", "get")
    manifest = manifest_of({"add": Behaviour(stateful=True), "get": Behaviour()})
    chosen = choose(manifest, [*cases_of("add", 1), *cases_of("get", 1)], one | both, clock)
    assert chosen == {"add": [Choice(0, "whole")], "get": [Choice(0, "whole")]}
    assert (one["quick"].runs, both["whole"].runs) == (0, 0)


def test_a_signature_that_only_one_artifact_has_is_answered_by_it() -> None:
    clock = Clock()
    candidates = candidates_of(clock, {"quick": (0.001, 0.0)})
    candidates |= candidates_of(clock, {"whole": (1.0, 0.0)}, "s", "text")
    manifest = manifest_of({"s": Behaviour(), "text": Behaviour(), "nobody": Behaviour()})
    chosen = choose(manifest, [*cases_of("s", 1), *cases_of("text", 1)], candidates, clock)
    assert {name: one[0].artifact for name, one in chosen.items()} == {"s": "quick", "text": "whole"}


def test_a_feed_goes_where_its_rows_were_measured_and_the_answer_names_it() -> None:
    clock = Clock()
    candidates = candidates_of(clock, {"light": (0.0, 0.001), "heavy": (0.01, 0.0)})
    servable = FastestServable(
        candidates["light"].signatures, candidates, {"s": [Choice(1, "light", 0.001), Choice(32, "heavy", 0.01)]}
    )
    for rows, expected in ((0, "light"), (1, "light"), (31, "light"), (32, "heavy"), (1000, "heavy")):
        feed = {"x": np.zeros((rows, 2), np.float32)}
        assert servable.able("s", feed)[0].artifact == expected
        before = candidates[expected].runs
        servable.run("s", feed)
        assert candidates[expected].runs == before + 1
    assert servable.artifact == "fastest: s from 1 rows light (1.000 ms), from 32 rows heavy (10.000 ms)"
    servable.close()
    assert [candidate.closed for candidate in candidates.values()] == [1, 1]


@pytest.fixture
def bundle(shipped: Callable[[str], Path], tmp_path: Path) -> Path:
    """The mlp, which a test may damage."""
    copy = tmp_path / "1"
    shutil.copytree(shipped("mlp"), copy)
    return copy


def _slow_down(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Makes the runners of some runtimes take a second, by a clock that nothing else moves."""
    clock = Clock()
    monkeypatch.setattr("toolkit.serving.fastest.choose", partial(choose, clock=clock))
    for name in names:
        module: Any = importlib.import_module(f"toolkit.runtimes.{name}")
        opened = module.RUNTIME.open

        @contextmanager
        def open_slowly(opening: Opening, opened: Any = opened) -> Iterator[FunctionRunner]:
            with opened(opening) as runner:

                def slowly(feed: Feed, run: Any = runner.function) -> Outputs:
                    clock.now += 1.0
                    return run(feed)

                yield replace(runner, function=slowly)

        monkeypatch.setattr(module, "RUNTIME", replace(module.RUNTIME, open=open_slowly))


@pytest.mark.parametrize("left", ["onnx", "tflite", "saved_model"])
def test_the_choice_changes_when_the_others_are_slowed(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    _slow_down(monkeypatch, *({"onnx", "tflite", "saved_model"} - {left}))
    servable = open_fastest(bundle, Loading(), allow_lossy=False)
    try:
        assert set(servable.candidates) == {left}, servable.artifact
        feed = {"image": np.zeros((1, 28, 28), np.float32)}
        assert servable.able("serving_default", feed)[0].artifact == left
        assert servable.run("serving_default", feed)
        assert list(servable.signatures) == ["serving_default"]
    finally:
        servable.close()


def _rewrite(bundle: Path, change: Callable[[Manifest], Manifest]) -> None:
    """A manifest that a build might have written."""
    (bundle / MANIFEST).write_bytes(change(read_manifest(bundle)).to_bytes())


def _with_parity(name: str, parity: Parity) -> Callable[[Manifest], Manifest]:
    return lambda manifest: replace(
        manifest,
        artifacts=tuple(replace(one, parity=parity) if one.name == name else one for one in manifest.artifacts),
    )


def _open(bundle: Path, runtime: str, *, allow_lossy: bool = False) -> Any:
    if runtime == "fastest":
        return open_fastest(bundle, Loading(), allow_lossy=allow_lossy)
    return load_servable(bundle, Loading(runtime), allow_lossy=allow_lossy)


@pytest.mark.parametrize("runtime", ["fastest", "saved_model", "onnx"])
def test_a_bundle_whose_parity_failed_is_refused(bundle: Path, runtime: str) -> None:
    _rewrite(bundle, _with_parity("onnx", Parity("fail", "off by one")))
    with pytest.raises(ServingError, match="onnx did not agree with the eager model") as found:
        _open(bundle, runtime)
    assert found.value.fault is Fault.PRECONDITION


def test_an_artifact_that_was_skipped_is_not_missed(bundle: Path) -> None:
    _rewrite(bundle, _with_parity("onnx", Parity("skipped", "an op")))
    servable = _open(bundle, "fastest")
    assert "onnx" not in servable.candidates
    servable.close()


def _flip_a_byte(bundle: Path) -> None:
    path = bundle / "onnx" / "serving_default.onnx"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _edit_the_verdict(bundle: Path) -> None:
    document = json.loads((bundle / MANIFEST).read_text())
    document["artifacts"][0]["parity"]["reason"] = "fine"
    (bundle / MANIFEST).write_text(json.dumps(document))


def _add_a_file(bundle: Path) -> None:
    (bundle / "saved_model" / "assets.extra" / "more").write_text("x")


def _remove_a_file(bundle: Path) -> None:
    (bundle / "tflite" / "serving_default.tflite").unlink()


@pytest.mark.parametrize("runtime", ["fastest", "saved_model", "onnx"])
@pytest.mark.parametrize("edit", [_flip_a_byte, _edit_the_verdict, _add_a_file, _remove_a_file])
def test_a_bundle_edited_by_hand_is_refused(bundle: Path, runtime: str, edit: Callable[[Path], None]) -> None:
    edit(bundle)
    with pytest.raises(ParityError, match=r"was changed|does not belong there|is missing"):
        _open(bundle, runtime)


def test_batching_parameters_may_be_put_beside_a_bundles_files(bundle: Path) -> None:
    (bundle / "batching_params.pbtxt").write_text("max_batch_size { value: 4 }")
    _open(bundle, "onnx").close()


def _as_variant(manifest: Manifest) -> Manifest:
    """The ONNX file as if it were a quantized one, and the only one."""
    artifacts = tuple(
        replace(one, name="onnx-int8", variant="int8") if one.name == "onnx" else one for one in manifest.artifacts
    )
    return replace(manifest, artifacts=artifacts)


def test_a_quantized_artifact_answers_only_where_that_is_allowed(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _slow_down(monkeypatch, "tflite", "saved_model")
    _rewrite(bundle, _as_variant)
    with pytest.raises(ServingError, match="no artifact for --runtime onnx") as found:
        _open(bundle, "onnx")
    assert "--allow-lossy" in found.value.hint
    allowed, strict = _open(bundle, "onnx", allow_lossy=True), _open(bundle, "fastest")
    assert allowed.artifact == "onnx-int8"
    assert "onnx-int8" not in strict.candidates
    lossy = _open(bundle, "fastest", allow_lossy=True)
    assert set(lossy.candidates) == {"onnx-int8"}
    for servable in (allowed, strict, lossy):
        servable.close()


def test_nothing_stays_open_of_a_choice_that_breaks(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from toolkit.runtimes import saved_model

    def break_off(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("toolkit.serving.fastest.read_golden", break_off)
    with pytest.raises(KeyboardInterrupt):
        _open(bundle, "fastest")
    assert not saved_model._SESSIONS.loaded
