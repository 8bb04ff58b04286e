"""A published bundle is verified without its model: hashes, a replay of the golden cases, in runtimes of today."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.building import misbehaving, planted
from toolkit import verify
from toolkit.api import verified
from toolkit.building import jobs
from toolkit.building.catalog import Entry
from toolkit.building.isolate import Isolated
from toolkit.building.pipeline import Options, build_bundle
from toolkit.core.artifact import MANIFEST, Manifest, read_manifest
from toolkit.core.store import digest_of, hash_files
from toolkit.errors import ExitCode, ParityError

LONG_S = 300.0


@pytest.fixture
def bundle(child: Isolated, tmp_path: Path) -> Path:
    """A bundle of ONNX alone, which verifies without TensorFlow."""
    from tests.building.small_models import DENSE

    options = Options(tmp_path / "exported", ("onnx",))
    outcome = build_bundle(Entry("dense", DENSE, "0" * 64), options, child, lambda _: None)
    assert outcome.bundle is not None, outcome.error
    return outcome.bundle


def sign(bundle: Path) -> None:
    """Writes a manifest that fits the files as they are: what a hash cannot find, a replay must."""
    manifest = read_manifest(bundle)
    (entry,) = manifest.artifacts
    files = {f"onnx/{name}": digest for name, digest in hash_files(bundle / "onnx").items()}
    changed = replace(manifest, artifacts=(replace(entry, files=files, sha256=digest_of(files)),))
    (bundle / MANIFEST).write_bytes(changed.to_bytes())


def statuses(manifest: Manifest) -> dict[str, str]:
    return {entry.name: entry.parity.status for entry in manifest.artifacts}


def test_a_whole_bundle_is_verified_with_the_parity_found_now(bundle: Path) -> None:
    found = verify(bundle)
    assert statuses(found) == {"onnx": "pass"}
    assert verified(found) is None
    assert [check.batch_sizes for check in found.artifacts[0].parity.checks] == [(1, 7, 32)]
    assert verify(bundle.parent).version == found.version


def test_an_artifact_that_answers_otherwise_is_found_even_where_its_hash_fits(bundle: Path) -> None:
    import onnx

    model = onnx.load(bundle / "onnx" / "serving_default.onnx")
    planted.weight_in_onnx(4.01)(model)
    onnx.save(model, bundle / "onnx" / "serving_default.onnx")
    with pytest.raises(ParityError, match=r"onnx/serving_default\.onnx was changed"):
        verify(bundle)
    sign(bundle)
    error = verified(verify(bundle))
    assert error is not None
    assert error.exit_code == ExitCode.WRONG_ARTIFACT
    assert error.message.startswith("dense as onnx, signature 'serving_default' in onnx: ")
    assert "output 'y' at [" in error.message


def test_an_artifact_that_kills_its_runtime_is_told_and_not_followed(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "judge_artifact", misbehaving.die_judging)
    error = verified(verify(bundle))
    assert error is not None
    assert error.message == "dense as onnx does not run: its process ended with exit code 3"


@pytest.mark.long
def test_what_was_not_made_is_not_asked(shipped: Callable[[str], Path]) -> None:
    found = verify(shipped("tabular"))
    assert statuses(found) == statuses(read_manifest(shipped("tabular")))
    assert statuses(found)["saved_model"] == "pass"
    assert verified(found) is None


def test_every_artifact_gives_the_golden_answers_where_no_code_of_the_model_is(
    shipped: Callable[[str], Path], root: Path, tmp_path: Path
) -> None:
    bundles = []
    for name in ("mlp", "detector", "tabular"):
        shutil.copytree(shipped(name), tmp_path / name)
        bundles.append(tmp_path / name)
    # -I: neither the current folder nor PYTHONPATH is looked into.
    command = [sys.executable, "-I", str(root / "tests" / "building" / "replay.py"), *map(str, bundles)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=LONG_S)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines.pop() == "blocked: []"
    expected = [
        f"{manifest.model} {entry.name} {signature} {runtime}"
        for manifest in map(read_manifest, bundles)
        for entry in manifest.artifacts
        for signature in entry.paths
        if f"{entry.path}/{signature}.split.json" not in entry.files
        for runtime in RUNTIMES[entry.format]
    ]
    assert [line.rpartition(" ")[0] for line in lines] == expected
    assert all(int(line.rpartition(" ")[2]) >= 3 for line in lines)


RUNTIMES = {"saved_model": ["in_tensorflow", "in_session"], "tflite": ["in_litert"], "onnx": ["in_onnxruntime"]}
