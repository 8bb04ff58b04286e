"""What a user waits for on every command: the package and the help load nothing heavy."""

import subprocess
import sys
from pathlib import Path

import pytest

from toolkit.cli.main import VERBS

HEAVY = {"tensorflow", "keras", "onnx", "onnxruntime", "tf2onnx", "ai_edge_litert", "grpc", "h5py", "uvicorn"}


@pytest.mark.parametrize(
    "arguments", [["-c", "import toolkit"], ["-m", "toolkit.cli.main", "--help"]], ids=["import", "--help"]
)
def test_the_package_and_the_help_load_nothing_heavy(root: Path, arguments: list[str]) -> None:
    assert loaded(root, arguments) & (HEAVY | {"numpy"}) == set()


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_loads_no_framework(root: Path, verb: str) -> None:
    assert loaded(root, ["-m", "toolkit.cli.main", verb, "--help"]) & HEAVY == set()


def test_a_heavy_import_would_be_seen(root: Path) -> None:
    assert "onnx" in loaded(root, ["-c", "import toolkit, onnx"])


def loaded(root: Path, arguments: list[str]) -> set[str]:
    """The top-level packages that the interpreter imports, however deep and however it ends."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}
