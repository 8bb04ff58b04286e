"""Starts the real command line in processes of its own, and ends what is left of them."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(root: Path, project: Path) -> Iterator[Start]:
    """Starts `tfx-export` with these words in the project, as a shell starts a job: in a process group of its own."""
    started: list[subprocess.Popen[str]] = []

    def begin(*words: str, **streams: Any) -> subprocess.Popen[str]:
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
        process = subprocess.Popen(
            [sys.executable, "-m", "toolkit.cli.main", *words],
            cwd=project,
            env=os.environ | {"PYTHONPATH": str(root)},
            text=True,
            start_new_session=True,
            **streams,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()
