"""Clones this repository, then builds and verifies every shipped model in the clone with the installed packages.

python -m benchmarks.shipped_models

What is committed counts, not what lies in the working copy. Installation is not in the figures.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.rounds import ROOT, machine, verdict

LIMIT_S = 300.0
_STEP = re.compile(r"\[ *(?P<at>[0-9.]+) s\] (?P<model>[^:]+): ")


def main() -> int:
    """Print a line for each model; 1 where one does not pass or the limit is missed."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(*machine(), sep="\n")
    with tempfile.TemporaryDirectory() as directory:
        clone = Path(directory, "clone")
        subprocess.run(["git", "clone", "--quiet", "--depth=1", ROOT.as_uri(), str(clone)], check=True)
        build_s, built, progress = _timed(clone, "build")
        begins = _begins(progress)
        for manifest in built["result"]:
            print(
                f"  {manifest['model']:14} {_seconds(begins, manifest['model'], build_s):6.1f} s  {_verdicts(manifest)}"
            )
        verify_s, good = 0.0, built["exit_code"] == 0
        for manifest in built["result"]:
            seconds, answer, _ = _timed(clone, "verify", manifest["bundle"])
            verify_s, good = verify_s + seconds, good and answer["exit_code"] == 0
    print(f"build {build_s:.0f} s (one process), then verify {verify_s:.0f} s (a process each); all pass: {good}")
    return 0 if verdict("build and verify of all shipped models", build_s + verify_s, LIMIT_S, " s") and good else 1


def _timed(clone: Path, *arguments: str) -> tuple[float, dict[str, Any], str]:
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "toolkit.cli.main", *arguments, "--json"],
        cwd=clone,
        env=os.environ | {"PYTHONPATH": str(clone)},
        capture_output=True,
        text=True,
        check=False,
    )
    return time.perf_counter() - started, json.loads(done.stdout), done.stderr


def _begins(progress: str) -> list[tuple[str, float]]:
    """Each model and the second at which its first step began, in order."""
    found: dict[str, float] = {}
    for step in _STEP.finditer(progress):
        found.setdefault(step["model"], float(step["at"]))
    return list(found.items())


def _seconds(begins: list[tuple[str, float]], model: str, end: float) -> float:
    names = [name for name, _ in begins]
    times = [*(at for _, at in begins), end]
    return times[names.index(model) + 1] - times[names.index(model)]


def _verdicts(manifest: dict[str, Any]) -> str:
    return ", ".join(f"{artifact['name']} {artifact['parity']['status']}" for artifact in manifest["artifacts"])


if __name__ == "__main__":
    sys.exit(main())
