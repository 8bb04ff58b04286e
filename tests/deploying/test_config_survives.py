"""Config mode, killed at any call: the file is whole, names only versions that are, and the next run goes on."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deploying.config_builder import CONFIG, deployed, rollout
from toolkit.core.files import hash_files
from toolkit.deploying import canary, gate
from toolkit.deploying.config_file import CANARY, STABLE, ConfigFile, Entry
from toolkit.deploying.layout import FACTS_FILE, Layout
from toolkit.wire import protos

FIRST = Entry((1,), {STABLE: 1})
ADDED = Entry((1, 2), {STABLE: 1})
TRIED = Entry((1, 2), {STABLE: 1, CANARY: 2})
MOVED = Entry((1, 2), {STABLE: 2, CANARY: 2})


@pytest.fixture(autouse=True)
def obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What config_builder puts in place of a server is taken away again."""
    for module, name in ((canary, "ask_reload"), (canary, "ask_label"), (canary, "answers_again")):
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(gate, "check_answers", gate.check_answers)


@pytest.mark.parametrize(
    ("verb", "states"),
    [
        ("deploy", [FIRST, ADDED, TRIED, MOVED]),
        ("refuse", [FIRST, ADDED, TRIED]),
        ("rollback", [MOVED, TRIED]),
    ],
)
def test_killed_at_any_call_the_file_names_whole_versions_only_and_the_next_deployment_goes_on(
    tmp_path: Path, root: Path, bundle: Callable[..., Path], *, verb: str, states: list[Entry]
) -> None:
    made, at = bundle(), tmp_path / "at"
    at.mkdir()
    script = str(Path(__file__).with_name("config_builder.py"))
    command = [sys.executable, script, verb, str(at), str(made), "before"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, check=True)
    wanted, seen = hash_files(made / "saved_model"), []
    for number in range(1, int(done.stdout)):
        layout = Layout(at / str(number), "times")
        entry = ConfigFile(layout.base / CONFIG).read(layout)
        assert entry in states, number
        seen.append(entry)
        for version in entry.named:
            found = hash_files(layout.version_path(version))
            assert {name: digest for name, digest in found.items() if name != FACTS_FILE} == wanted, number
        with layout.alone():
            deployed(layout, made)
        newest = max(layout.versions())
        assert rollout(layout).config.read(layout).label(STABLE) == newest, number
        config = protos.parse_text(protos.ModelServerConfig, (layout.base / CONFIG).read_text())
        other = next(model for model in config.model_config_list.config if model.name == "other")
        assert list(other.model_version_policy.specific.versions) == [4], number
        assert {path.name for path in layout.base.glob(".models.config*")} == set(), number
    assert [state for state in states if state not in seen] == []
