"""A benchmark that a person ends with Ctrl-C shows what there is, and leaves no process behind."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from toolkit.building.catalog import resolve
from toolkit.building.isolate import Isolated
from toolkit.building.pipeline import Options, build_bundle

NET = """
    from toolkit import ModelSpec, TensorSpec

    MODEL = ModelSpec("net", lambda: lambda x: {"twice": 2 * x}, inputs={"x": TensorSpec("float32", (None, 2))})
"""


def test_what_was_measured_is_shown(
    write: Callable[[str, str], Path],
    project: Path,
    child: Isolated,
    start: Callable[..., "subprocess.Popen[str]"],
) -> None:
    write("models/net.py", NET)
    options = Options(project / "exported", formats=("saved_model",))
    outcome = build_bundle(resolve("net", project), options, child, lambda _: None)
    assert outcome.bundle is not None, outcome.error
    process = start("bench", "net", "--paths", "eager")
    assert process.stderr is not None
    said: list[str] = []
    while "round 2" not in (line := process.stderr.readline()):
        assert line, said
        said.append(line)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert children
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130, err
    assert "net, batch 1" in out
    assert "INVALID" in out
    assert "error: interrupted\nhint: what was measured so far is shown\n" in err
    assert "Traceback" not in err
    assert [one for one in children if Path(f"/proc/{one}").exists()] == []
