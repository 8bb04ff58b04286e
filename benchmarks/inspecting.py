"""How long `tfx-export inspect` takes for a SavedModel of 100 MB, and whether it loads TensorFlow.

Once with the weights in variables, as exporters write them, and once with all of them as constants of the graph.

python -m benchmarks.inspecting [--rounds 7]
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.rounds import machine, python, verdict
from tests.insight import artifacts

LIMIT_S = 2.0
_BYTES = 100_000_000
_LOADED = """
import sys
from pathlib import Path
from toolkit.insight.inspecting import read
read(Path(sys.argv[1]))
print("tensorflow" in sys.modules)
"""


def main() -> int:
    """Print both times; 1 where one misses the limit or TensorFlow is loaded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds: int = parser.parse_args().rounds
    print(*machine(), sep="\n")
    with tempfile.TemporaryDirectory() as folder:
        models = {
            "variables": _variables(Path(folder) / "variables"),
            "constants": _constants(Path(folder) / "constants"),
        }
        times: dict[str, list[float]] = {name: [] for name in models}
        for _ in range(rounds):
            for name, model in models.items():
                times[name].append(_wall_s(model))
        holds = [verdict(f"inspect, {name}", statistics.median(found), LIMIT_S, " s") for name, found in times.items()]
        loads = [python(["-c", _LOADED, str(model)]).stdout.strip() for model in models.values()]
    print(f"loads TensorFlow: {', '.join(loads)}")
    return 0 if all(holds) and set(loads) == {"False"} else 1


def _variables(place: Path) -> Path:
    made = artifacts.saved_model(place)
    artifacts.variables(made / "variables", {f"layer_{at}/kernel": _BYTES // 100 for at in range(100)})
    return made


def _constants(place: Path) -> Path:
    chance = np.random.default_rng(0)

    def fill(graph: object) -> None:
        for at in range(100):
            content = chance.bytes(_BYTES // 100)
            artifacts.node(graph.graph_def.node, f"c{at}", "Const", value=artifacts.values(content))  # type: ignore[attr-defined]

    return artifacts.saved_model(place, fill)


def _wall_s(model: Path) -> float:
    started = time.perf_counter()
    done = python(["-m", "toolkit.cli.main", "inspect", str(model), "--no-modelscan"])
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
