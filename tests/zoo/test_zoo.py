"""Every model of the zoo gives the verdict that stands beside it, in every format: no more and no less."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.zoo.families import FAMILIES, specimens
from tests.zoo.specimen import PASS, Specimen

if TYPE_CHECKING:
    from toolkit.building.isolate import Isolated

FORMATS = ("saved_model", "tflite", "onnx")
# Of 58 models of these classes so many must come out right, and none wrong.
LEAST = {"saved_model": 1.0, "tflite": 48 / 58, "onnx": 48 / 58}


def marked() -> Iterator[Any]:
    for specimen in specimens():
        yield pytest.param(specimen, id=specimen.name, marks=() if specimen.fast else pytest.mark.long)


@pytest.mark.parametrize("specimen", list(marked()))
def test_a_model_has_the_verdicts_that_were_written_down(specimen: Specimen, child: "Isolated", tmp_path: Path) -> None:
    from toolkit.building.catalog import Entry
    from toolkit.building.pipeline import Options, build_bundle

    entry = Entry(specimen.name, specimen.spec, "0" * 64)
    outcome = build_bundle(entry, Options(tmp_path, FORMATS), child, lambda _: None)
    found = {one.name: (one.parity.status, one.parity.reason) for one in outcome.manifest.artifacts}
    assert set(found) == set(FORMATS)
    for name, (status, reason) in found.items():
        if name in specimen.fails:
            # Skipped and not failed: an artifact that answers wrong would be a failure.
            assert status == "skipped", f"{name} passes now, or fails: {status} {reason}"
            assert specimen.fails[name] in reason
        else:
            assert (status, reason) == (PASS, "")


def test_what_is_expected_is_as_much_as_was_promised() -> None:
    everything = list(specimens())
    for name, share in LEAST.items():
        passing = sum(name not in specimen.fails for specimen in everything)
        assert passing >= share * len(everything), name
    assert len(everything) >= 58
    assert len({specimen.name for specimen in everything}) == len(everything)
    assert 10 <= sum(specimen.fast for specimen in everything) <= 14
    assert len(FAMILIES) >= 9
