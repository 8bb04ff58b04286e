"""The curl lines of README.md, against a server: they are answered as it says."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from toolkit.serving.embedded import ServeRequest, serve

PATIENCE_S = 60.0


def shown(text: str) -> list[tuple[str, str]]:
    """Each curl line in a console block, and what stands below it."""
    blocks = re.findall(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    found = [part.partition("\n") for block in blocks for part in re.split(r"^\$ ", block, flags=re.MULTILINE)]
    return [(line, output.strip()) for line, _, output in found if line.startswith("curl ")]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_lines_of_the_readme_are_answered_as_it_says(root: Path, shipped: Callable[[str], Path]) -> None:
    lines = shown((root / "README.md").read_text(encoding="utf-8"))
    assert len(lines) >= 3
    with serve(shipped("square").parent, ServeRequest({"port": 0, "rest_api_port": 0})) as serving:
        for line, expected in lines:
            words = shlex.split(line.replace("localhost:8501", f"127.0.0.1:{serving.ready.rest_api_port}"))
            assert line.count("localhost:8501") == 1
            done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
            assert done.stdout.strip() == expected
