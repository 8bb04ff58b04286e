"""What a user waits for on every command: the package and the help load nothing heavy."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"tensorflow", "keras", "numpy", "onnx", "onnxruntime", "tf2onnx", "ai_edge_litert", "grpc", "h5py", "granian"}
STARTS = {
    "import toolkit": ["-c", "import toolkit"],
    "tfx-export --help": ["-m", "toolkit.cli.main", "--help"],
    "tfx-export build --help": ["-m", "toolkit.cli.main", "build", "--help"],
}


@pytest.mark.parametrize("arguments", STARTS.values(), ids=STARTS)
def test_it_loads_no_heavy_package(root: Path, arguments: list[str]) -> None:
    assert loaded(root, arguments) & HEAVY == set()


def test_a_heavy_import_would_be_seen(root: Path) -> None:
    assert "numpy" in loaded(root, ["-c", "import toolkit.core.tensors, numpy"])


def loaded(root: Path, arguments: list[str]) -> set[str]:
    """The top-level packages that the interpreter imports, however deep and however it ends."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}
