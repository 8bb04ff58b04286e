"""Facts of every shipped model that need no TensorFlow: its files, and the feeds that it gives."""

import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from models._data import DATA, HERE, WEIGHTS
from toolkit import ModelSpec
from toolkit.building.catalog import resolve, shipped
from toolkit.core.model import DEFAULT_SIGNATURE
from toolkit.core.tensors import Array, Feed, Signature, check_feed

ROOT = HERE.parent
NAMES = shipped(ROOT)
DATA_FILES = sorted(path for path in DATA.iterdir() if path.suffix != ".LICENSE")
WEIGHT_FILES = sorted(WEIGHTS.glob("*.npz"))


def spec_of(name: str) -> ModelSpec:
    return resolve(name, ROOT).spec


def signatures(spec: ModelSpec) -> Iterator[tuple[str, Signature]]:
    yield from (spec.signatures or {DEFAULT_SIGNATURE: Signature(spec.inputs or {})}).items()


def sampled(spec: ModelSpec, signature: str, batch_size: int, seed: int) -> dict[str, Array]:
    sampler = spec.sampler(signature)
    assert sampler is not None
    return dict(sampler(batch_size, seed))


def same(one: Feed, other: Feed) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_all_nine_models_are_in_the_catalogue() -> None:
    expected = ["cnn", "detector", "mlp", "mobilenet", "sequence", "square", "tabular", "text", "transformer"]
    assert expected == NAMES


@pytest.mark.parametrize("path", DATA_FILES, ids=lambda path: path.name)
def test_a_data_file_is_small_and_says_under_what_licence_it_is(path: Path) -> None:
    assert path.stat().st_size <= 300_000
    assert "licen" in path.with_suffix(".LICENSE").read_text(encoding="utf-8").lower()


@pytest.mark.parametrize("path", WEIGHT_FILES, ids=lambda path: path.name)
def test_a_weight_file_is_small_and_holds_plain_finite_numbers(path: Path) -> None:
    assert path.stat().st_size <= 3_000_000
    with np.load(path, allow_pickle=False) as stored:
        assert all(np.isfinite(stored[key]).all() and stored[key].dtype == np.float32 for key in stored.files)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_says_what_it_is_and_its_files_are_there(name: str) -> None:
    spec = spec_of(name)
    assert spec.name == name
    assert spec.description
    assert [path for path in spec.files if not Path(path).is_file()] == []


def test_every_weight_and_data_file_defines_some_model() -> None:
    used = {Path(path) for name in NAMES for path in spec_of(name).files}
    assert {path for path in (*DATA_FILES, *WEIGHTS.iterdir()) if path not in used} == set()


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
@pytest.mark.parametrize("name", NAMES)
def test_samples_have_the_declared_names_dtypes_and_shapes(name: str, batch_size: int) -> None:
    spec = spec_of(name)
    for key, signature in signatures(spec):
        feed = sampled(spec, key, batch_size, 0)
        assert check_feed(signature, feed).keys() == signature.inputs.keys()
        for column, tensor in signature.inputs.items():
            assert (feed[column].dtype, len(feed[column])) == (tensor.numpy_dtype, batch_size)


@pytest.mark.parametrize("name", NAMES)
def test_samples_follow_their_seed(name: str) -> None:
    spec = spec_of(name)
    for key, _ in signatures(spec):
        first = sampled(spec, key, 8, 1)
        assert same(first, sampled(spec, key, 8, 1))
        assert not same(first, sampled(spec, key, 8, 2))


@pytest.mark.parametrize("name", [name for name in NAMES if spec_of(name).calibration])
def test_calibration_gives_single_rows_that_no_sample_holds(name: str) -> None:
    spec = spec_of(name)
    assert spec.calibration is not None
    signature = dict(signatures(spec))[DEFAULT_SIGNATURE]
    (column,) = signature.inputs
    drawn = {row.tobytes() for row in sampled(spec, DEFAULT_SIGNATURE, 450, 0)[column]}
    for feed in islice(spec.calibration(), 100):
        (row,) = check_feed(signature, feed)[column]
        assert row.tobytes() not in drawn


def test_importing_and_sampling_every_model_loads_no_tensorflow() -> None:
    program = (
        "import sys; from pathlib import Path; from toolkit.building.catalog import resolve, shipped\n"
        "root = Path(sys.argv[1])\n"
        "for spec in (resolve(name, root).spec for name in shipped(root)):\n"
        "    for key in spec.signatures or ['serving_default']: spec.sampler(key)(2, 0)\n"
        "sys.exit(' '.join({'tensorflow', 'keras', 'sklearn', 'django', 'pandas'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(ROOT)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
