"""Runs command lines in this process: TensorFlow starts once for all of them."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from toolkit.building.isolate import Isolated


@dataclass(frozen=True)
class Said:
    """What a command line said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout."""
        found: dict[str, Any] = json.loads(self.out)
        return found


Cli = Callable[..., Said]


@pytest.fixture
def cli(
    project: Path, child: "Isolated", monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    """Runs `tfx-export` with these words in the project; conversions share the session's child."""
    from toolkit import api
    from toolkit.building import several
    from toolkit.cli.main import run

    for module in (several, api):
        monkeypatch.setattr(module, "Isolated", lambda verbose: nullcontext(child))

    def say(*words: object) -> Said:
        capsys.readouterr()
        code = run([str(word) for word in words])
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return say
