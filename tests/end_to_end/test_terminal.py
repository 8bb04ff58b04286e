"""The real command line on a terminal, in pipes, and interrupted: what is seen, and what is left behind."""

import errno
import json
import os
import pty
import re
import select
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Write = Callable[[str, str], Path]
Start = Callable[..., "subprocess.Popen[str]"]
# Writes to the descriptors themselves, past Python, as native libraries do.
NET = """
    import os, threading
    import numpy as np
    from toolkit import ModelSpec, TensorSpec

    def build():
        os.write(1, b"native words\\n")
        os.write(2, b"native words\\n")
        return lambda x: {"twice": 2 * x}

    def samples(size, seed):
        if os.environ.get("WAIT"):
            os.write(int(os.environ["WAIT"]), b"here")
            threading.Event().wait()
        return {"x": np.ones((size, 2), np.float32)}

    MODEL = ModelSpec("net", build, inputs={"x": TensorSpec("float32", (None, 2))}, samples=samples)
"""
TABLE = re.compile(r"net: 1 trace, .* -> exported/net/1\nartifact .*\nsaved_model .* pass *\n\n")


def read_all(descriptor: int) -> str:
    """What a terminal shows until its last writer is gone."""
    shown = b""
    while True:
        try:
            part = os.read(descriptor, 4096)
        except OSError as error:
            if error.errno != errno.EIO:  # which is how a terminal ends
                raise
            part = b""
        if not part:
            return shown.decode()
        shown += part


def test_on_a_terminal_a_bar_counts_and_the_table_stays(write: Write, start: Start) -> None:
    write("models/net.py", NET)
    ours, theirs = pty.openpty()
    process = start("build", "net", "--formats", "saved_model", stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = read_all(ours)
    os.close(ours)
    assert process.wait() == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", shown)
    assert re.search(r"1/5 \d:\d\d:\d\d net: tracing", plain)
    assert re.search(r"4/5 \d:\d\d:\d\d net: running saved_model", plain)
    assert TABLE.search(plain)
    assert "native words" not in plain


def test_in_pipes_stdout_is_one_document_and_all_else_is_on_stderr(write: Write, start: Start) -> None:
    write("models/net.py", NET)
    process = start("build", "net", "--formats", "saved_model", "--json", "-v")
    out, err = process.communicate()
    assert process.returncode == 0
    assert json.loads(out)["result"][0]["model"] == "net"
    assert re.findall(r"^\[ *\d+\.\d s\] (.*)$", err, re.MULTILINE) == [
        "net: building the model",
        "net: tracing",
        "net: asking the eager model",
        "net: exporting saved_model",
        "net: running saved_model",
    ]
    assert err.count("native words") == 2


def children_of(process: int) -> list[int]:
    text = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(word) for word in text.split()]


def test_an_interrupted_build_leaves_nothing_behind(write: Write, start: Start, project: Path) -> None:
    write("models/net.py", NET)
    ours, theirs = os.pipe()
    os.set_inheritable(theirs, True)
    os.environ["WAIT"] = str(theirs)
    try:
        process = start("build", "net", pass_fds=[theirs])
    finally:
        del os.environ["WAIT"]
    os.close(theirs)
    assert select.select([ours], [], [], 120)[0]
    assert os.read(ours, 4) == b"here"
    children = children_of(process.pid)
    assert children
    assert list((project / "exported" / "net").iterdir())
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate()
    os.close(ours)
    assert (process.returncode, out) == (130, "")
    assert err.endswith("error: interrupted\nhint: nothing half-written was left\n")
    assert "Traceback" not in err
    assert not (project / "exported").exists()
    assert [child for child in children if Path(f"/proc/{child}").exists()] == []


@pytest.mark.parametrize("words", [("models",), ("models", "--json"), ("predict", "gone", "--json")])
def test_a_reader_who_leaves_at_once_is_not_complained_about(start: Start, words: tuple[str, ...]) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    process = start(*words, stdout=theirs)
    os.close(theirs)
    _, err = process.communicate()
    assert process.returncode == (2 if words[0] == "predict" else 0)
    assert err in {"", "no --input: asking with a golden feed of the bundle's, or else with made-up values\n"}
