"""What memory `tfx-export build` takes for a model of 1 GB, format by format, as a multiple of its weights.

python -m benchmarks.large_model [--layers 16] [--width 4096] [FORMAT[,FORMAT]...]...

Peaks are VmHWM of proc(5), of the parent and of its conversion child; their sum is what must be free at the worst, even
though the two peaks rarely fall together. The memory of TensorFlow itself (about 0.6 GB a process) is included.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.rounds import ROOT, machine, verdict

# The last is one build of them all, in one child.
LIMITS = {"saved_model": 4.0, "tflite": 12.0, "onnx": 5.0, "saved_model,onnx,tflite": 12.0}
_PERIOD_S = 0.02
# A model file of its own, since that is what `build` takes; the sizes are filled in.
MODEL = """
import numpy as np
import tensorflow as tf

from toolkit import ModelSpec, TensorSpec

LAYERS, WIDTH = {layers}, {width}


def kernel(seed):
    values = np.random.default_rng(seed).random((WIDTH, WIDTH), np.float32)
    values -= 0.5
    values *= 2 * (3 / WIDTH) ** 0.5  # so that layers neither swell nor fade
    return values


class Dense(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.kernels = [tf.Variable(kernel(at), name=f"kernel_{{at}}") for at in range(LAYERS)]

    def __call__(self, x):
        for kernel in self.kernels:
            x = tf.nn.tanh(x @ kernel)
        return {{"y": x}}


MODEL = ModelSpec(name="large", build=Dense, inputs={{"x": TensorSpec("float32", (None, WIDTH))}})
"""


@dataclass
class Peaks:
    """The most resident memory of each process of a tree, and of all of them at one moment."""

    by_process: dict[int, list[int]] = field(default_factory=dict)
    together_bytes: int = 0

    def sample(self, root: int) -> None:
        """Look at the tree once more."""
        together = 0
        for process in _tree(root):
            status = _status(process)
            self.by_process.setdefault(process, []).append(status.get("VmHWM", 0))
            together += status.get("VmRSS", 0)
        self.together_bytes = max(self.together_bytes, together)

    @property
    def each_bytes(self) -> list[int]:
        """The peaks; a process between fork and exec shows its parent's memory, and is none of its own."""
        return [max(seen) for seen in self.by_process.values() if len(seen) > 1 / _PERIOD_S]


def main() -> int:
    """Build format by format and print the peaks; 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("formats", nargs="*", default=list(LIMITS), metavar="FORMAT")
    options = parser.parse_args()
    print(*machine(), sep="\n")
    weights = options.layers * options.width**2 * 4
    print(f"{options.layers} layers of {options.width} x {options.width}, {weights / 1e9:.2f} GB of weights")
    holds = True
    for name in options.formats:
        holds &= _measure(name, weights, MODEL.format(layers=options.layers, width=options.width))
    return 0 if holds else 1


def measured(name: str, source: str, folder: Path) -> tuple[dict[str, Any], Peaks]:
    """What `build --json` says of a model file's source in some formats, into a bundle below the folder; the peaks."""
    file = folder / "large.py"
    file.write_text(source)
    command = [sys.executable, "-m", "toolkit.cli.main", "build", str(file), "--formats", name, "--json"]
    return _watched([*command, "--out", f"{folder}/bundle"])


def _measure(name: str, weights: int, source: str) -> bool:
    with tempfile.TemporaryDirectory() as directory:
        started = time.perf_counter()
        answer, peaks = measured(name, source, Path(directory))
        seconds = time.perf_counter() - started
    for artifact in answer["result"][0]["artifacts"]:
        print(f"{artifact['name']}: {artifact['parity']['status']} {artifact['parity']['reason']}")
    shares = ", ".join(f"{peak / weights:.2f} x" for peak in peaks.each_bytes)
    print(f"  {seconds:.0f} s; each process {shares}; at one moment {peaks.together_bytes / weights:.2f} x")
    return verdict(f"  {name}, sum of the peaks", sum(peaks.each_bytes) / weights, LIMITS.get(name, 12.0), " x")


def _watched(command: list[str]) -> tuple[dict[str, Any], Peaks]:
    peaks = Peaks()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with (
        tempfile.TemporaryFile() as answer,
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=answer, stderr=subprocess.DEVNULL) as process,
    ):
        while process.poll() is None:
            peaks.sample(process.pid)
            time.sleep(_PERIOD_S)
        answer.seek(0)
        return json.loads(answer.read()), peaks


def _tree(root: int) -> Iterator[int]:
    yield root
    for children in Path(f"/proc/{root}/task").glob("*/children"):
        for child in _read(children).split():
            yield from _tree(int(child))


def _status(process: int) -> dict[str, int]:
    lines = (line.split() for line in _read(Path(f"/proc/{process}/status")).splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if words[2:] == ["kB"]}


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it has just ended
        return ""


if __name__ == "__main__":
    sys.exit(main())
