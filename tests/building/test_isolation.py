"""Format plug-ins that die, hang or shout in the middle of a build: one entry each, the other formats come out."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.building import planted
from tests.building.small_models import CENTRED, DENSE
from toolkit import ModelSpec
from toolkit.building import exports, jobs
from toolkit.building.catalog import Entry
from toolkit.building.isolate import Isolated
from toolkit.building.pipeline import Options, Outcome, build_bundle
from toolkit.core.artifact import read_manifest
from toolkit.errors import ExitCode

LONG_S = 300.0


@pytest.fixture(scope="module")
def own_child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Isolated]:
    """A child that sees the installed plug-ins."""
    folder = tmp_path_factory.mktemp("installed")
    planted.install(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        with Isolated() as child:
            child.prepare(jobs.warm_up)
            yield child


def build(child: Isolated, folder: Path, *formats: str, spec: ModelSpec = DENSE, timeout_s: float = LONG_S) -> Outcome:
    options = Options(folder / "exported", formats, timeout_s=timeout_s)
    return build_bundle(Entry(spec.name, spec, "0" * 64), options, child, lambda _: None)


def verdicts(outcome: Outcome) -> dict[str, str]:
    return {
        entry.name: f"{entry.parity.status}: {entry.parity.reason}".rstrip(": ") for entry in outcome.manifest.artifacts
    }


def test_a_crash_is_one_entry_and_the_formats_after_it_come_out(own_child: Isolated, tmp_path: Path) -> None:
    outcome = build(own_child, tmp_path, "shouts", "raises-in-child", "segfaults", "saved_model", "onnx")
    assert verdicts(outcome) == {
        "saved_model": "pass",
        "shouts": "pass",
        "raises-in-child": "fail: ZeroDivisionError: a line; -v shows what the converter wrote",
        "segfaults": "fail: its process was killed by SIGSEGV: about to read nothing; -v shows what it wrote",
        "onnx": "pass",
    }
    assert outcome.exit_code == ExitCode.CONVERTER
    assert outcome.bundle is not None
    assert read_manifest(outcome.bundle).artifacts == outcome.manifest.artifacts
    assert sorted(path.name for path in outcome.bundle.iterdir()) == sorted(
        ["golden.npz", "manifest.json", "onnx", "saved_model", "shouts"]
    )
    assert [path.name for path in outcome.bundle.parent.iterdir() if path.name.startswith(".staging")] == []


@pytest.mark.long
def test_every_way_to_end_is_one_entry_and_the_next_model_builds(own_child: Isolated, tmp_path: Path) -> None:
    outcome = build(
        own_child, tmp_path, "exits", "exits-at-once", "onnx", "leaves-a-grandchild", "tflite", timeout_s=20
    )
    assert verdicts(outcome) == {
        "exits": "fail: its process ended with exit code 3; -v shows what it wrote",
        "exits-at-once": "fail: its process ended with exit code 3; -v shows what it wrote",
        "onnx": "pass",
        "leaves-a-grandchild": "fail: it ran out of time after 20 s; give it more with --timeout",
        "tflite": "pass",
    }
    assert outcome.exit_code == ExitCode.CONVERTER
    wait_for_end(int((tmp_path / "exported" / "dense" / "grandchild").read_text()))
    following = build(own_child, tmp_path, "saved_model", "onnx", spec=CENTRED)
    assert (following.exit_code, set(verdicts(following).values())) == (ExitCode.DONE, {"pass"})


def wait_for_end(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    assert poll.poll(LONG_S * 1000)
    os.close(descriptor)


MODEL_FILE = """
from tests.building.small_models import DENSE

MODEL = DENSE
"""


@pytest.mark.long
def test_the_command_ends_with_the_code_of_a_failed_converter(root: Path, tmp_path: Path) -> None:
    planted.install(tmp_path / "installed")
    (tmp_path / "dense.py").write_text(MODEL_FILE)
    (tmp_path / "tfx-export.toml").touch()
    command = [sys.executable, "-m", "toolkit.cli.main", "build", "dense.py", "--json"]
    done = subprocess.run(
        [*command, "--formats", "saved_model,sleeps,segfaults,onnx", "--timeout", "20s"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path / "installed"), str(root)])},
        capture_output=True,
        text=True,
        check=False,
    )
    document = json.loads(done.stdout)
    assert (done.returncode, document["exit_code"]) == (ExitCode.CONVERTER, ExitCode.CONVERTER), done.stderr
    assert "sleeps: it ran out of time after 20 s" in document["error"]["message"]
    assert "segfaults: its process was killed by SIGSEGV" in document["error"]["message"]
    (model,) = document["result"]
    statuses = {entry["name"]: entry["parity"]["status"] for entry in model["artifacts"]}
    assert statuses == {"saved_model": "pass", "sleeps": "fail", "segfaults": "fail", "onnx": "pass"}
    assert (Path(model["bundle"]) / "manifest.json").exists()


def test_a_converter_that_needs_more_memory_than_is_free_is_not_started(
    child: Isolated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    def run(function: Callable[..., object], *args: object, timeout_s: float) -> object:
        started.append((function.__name__, args[2] if function is jobs.judge_artifact else args[0]))
        return Isolated.run(child, function, *args, timeout_s=timeout_s)

    monkeypatch.setattr(exports, "available_bytes", lambda: int(4e9))
    monkeypatch.setattr(exports, "resources_of", lambda _: SimpleNamespace(variable_bytes=int(1e9)))
    monkeypatch.setattr(child, "run", run)
    outcome = build(child, tmp_path, "saved_model", "onnx", "tflite")
    needs = "needs about {0}.0 GB of memory ({0} x the weights' 1.00 GB), 4.0 GB is free"
    hint = "build it on a larger machine, or leave it out with --formats"
    assert verdicts(outcome) == {
        "saved_model": "pass",
        "onnx": f"skipped: onnx {needs.format(5)}; {hint}",
        "tflite": f"skipped: tflite {needs.format(12)}; {hint}",
    }
    assert started == [("judge_artifact", "saved_model")]
    assert (outcome.exit_code, outcome.bundle is not None) == (ExitCode.DONE, True)


@pytest.mark.parametrize("free", [int(12e9), None])
def test_a_converter_is_started_where_memory_suffices_or_is_not_known(
    free: int | None, child: Isolated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "available_bytes", lambda: free)
    monkeypatch.setattr(exports, "resources_of", lambda _: SimpleNamespace(variable_bytes=int(1e9)))
    assert verdicts(build(child, tmp_path, "onnx")) == {"onnx": "pass"}
