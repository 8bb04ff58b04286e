"""A load worker is light: it loads no framework, so that the client is not the limit and starts at once."""

import subprocess
import sys
from pathlib import Path

MODULES = "worker, core_sender, grpc_sender, rest_sender, loadgen"
FRAMEWORKS = ("tensorflow", "keras", "onnxruntime", "ai_edge_litert", "h5py")
PRINTED = f"""
import sys
from toolkit.measure.load import {MODULES}
print([name for name in {FRAMEWORKS} if name in sys.modules])
"""


def test_a_worker_loads_no_framework(root: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PRINTED], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
