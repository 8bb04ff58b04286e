"""What `tfx-export --help` takes, byte-compiled, and whether it loads TensorFlow.

python -m benchmarks.startup [--rounds 20]
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

from benchmarks.rounds import machine, python, verdict

LIMIT_MS = 150.0
# The installed command where there is one, else its module.
_SCRIPT = Path(sys.executable).with_name("tfx-export")
COMMAND = [str(_SCRIPT)] if _SCRIPT.exists() else ["-m", "toolkit.cli.main"]
SIDES = {
    "a bare Python": ["-c", "pass"],
    "tfx-export --help": [*COMMAND, "--help"],
    "tfx-export build --help": [*COMMAND, "build", "--help"],
}
FRAMEWORKS = {"tensorflow", "keras", "numpy", "onnx", "tf2onnx", "onnxruntime", "ai_edge_litert", "grpc"}
_LOADED = """
import contextlib, io, sys
from toolkit.cli.main import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main(["--help"])
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def main() -> int:
    """Print each side's times; 1 where the limit is missed or a framework is loaded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    rounds: int = parser.parse_args().rounds
    print(*machine(), sep="\n")
    for arguments in SIDES.values():
        _wall_ms(arguments)  # the first run compiles to byte code
    found: dict[str, list[float]] = {name: [] for name in SIDES}
    for _ in range(rounds):
        for name, arguments in SIDES.items():
            found[name].append(_wall_ms(arguments))
    for name, times in found.items():
        print(f"{name:24} median {statistics.median(times):6.1f} ms, {min(times):.1f} to {max(times):.1f}")
    loaded = sorted(FRAMEWORKS & set(python(["-c", _LOADED]).stdout.split()))
    print(f"frameworks that --help loads: {', '.join(loaded) or 'none'}")
    holds = verdict("tfx-export --help", statistics.median(found["tfx-export --help"]), LIMIT_MS, " ms")
    return 0 if holds and not loaded else 1


def _wall_ms(arguments: list[str]) -> float:
    started = time.perf_counter()
    done = python(arguments)
    wall_ms = (time.perf_counter() - started) * 1e3
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return wall_ms


if __name__ == "__main__":
    sys.exit(main())
