"""deploy, versions, rollback, promote and gc as they are typed: exit codes, --json, --dry-run, and what is said."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.deploying.conftest import StandIn, endpoints
from toolkit.cli.main import run
from toolkit.deploying import requests
from toolkit.deploying.layout import Layout
from toolkit.serving.host import Host

Make = Callable[..., Path]
Publish = Callable[[int], None]


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def result(self) -> Any:
        return json.loads(self.out)["result"]


Cli = Callable[..., Said]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command line; the gate's own server is the stand-in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(requests, "EmbeddedCommand", StandIn)

    def say(*words: object) -> Said:
        capsys.readouterr()
        code = run([str(word) for word in words])
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return say


def test_a_deployment_says_its_steps_and_its_findings(cli: Cli, bundle: Make) -> None:
    said = cli("deploy", bundle(), "--to", "serving", "--rate", "1000")
    assert said.code == 0
    assert "gate: ok   load: AVAILABLE\n" in said.err
    lines = said.out.splitlines()
    assert lines[0].split() == ["finding", "verdict", "what", "was", "seen"]
    assert lines[-1].startswith("times version 1 is at ")
    document = cli("deploy", bundle(3.0, 2), "--to", "serving", "--as", "mine", "--rate", "1000", "--json", "-q")
    assert (document.result["model"], document.result["version"], document.err) == ("mine", 2, "")
    assert {found["name"] for found in document.result["findings"]} >= {"load", "latency", "memory"}


def test_a_dry_run_says_the_steps_and_makes_nothing(
    cli: Cli, bundle: Make, tmp_path: Path, production: Callable[..., Host]
) -> None:
    made = bundle()
    said = cli("deploy", made, "--to", "serving", "--dry-run", "--json")
    assert (said.code, (tmp_path / "serving").exists()) == (0, False)
    assert said.result["dry_run"]
    assert said.result["steps"][-1] == f"would publish to {tmp_path / 'serving' / 'times'} by one rename"
    address = endpoints(production())[0].address
    with_server = cli("deploy", made, "--to", "serving", "--dry-run", "--grpc", address)
    assert f"would watch {address} take it up, and ask it\n" in with_server.err
    assert not (tmp_path / "serving").exists()


def test_a_flipped_bit_is_exit_3(cli: Cli, bundle: Make) -> None:
    made = bundle()
    (made / "saved_model" / "factor").write_text("2.1")
    said = cli("deploy", made, "--to", "serving")
    assert (said.code, "saved_model/factor was changed" in said.err) == (3, True)


def test_a_refusal_is_exit_6(cli: Cli, bundle: Make, tmp_path: Path) -> None:
    said = cli("deploy", bundle(), "--to", "serving", "--max-memory", "1", "--rate", "1000", "-q")
    assert said.code == 6
    assert said.err.startswith("error: memory: ")
    assert not (tmp_path / "serving" / "times").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--server", "remote"], 2, "--server remote needs --config"),
        (["--config", "models.config"], 2, "--config needs --grpc"),
        (["--hold"], 2, "--hold stops at a canary"),
        (["--rest", "localhost:8501"], 2, "--rest alone"),
        (["--grpc", "localhost"], 2, "is no HOST:PORT"),
        (["--rate", "0"], 2, "asks nothing"),
        (["--as", "no/name"], 2, "cannot name a served model"),
        (["--server", "binary", "--server-binary", "no_such_server"], 4, "there is no no_such_server here"),
        (["--config", "gone", "--grpc", "localhost:8500"], 2, "No such file"),
    ],
)
def test_what_makes_no_sense_is_told_before_anything_is_made(
    cli: Cli, bundle: Make, tmp_path: Path, *, words: list[str], code: int, message: str
) -> None:
    said = cli("deploy", bundle(), "--to", "serving", *words)
    assert (said.code, message in said.err) == (code, True)
    assert not (tmp_path / "serving").exists()


def test_versions_shows_what_is_there_and_pins_it(cli: Cli, published: Publish, layout: Layout) -> None:
    published(2)
    (layout.base_path / "5").mkdir()
    rows = cli("versions", layout.base_path).out.splitlines()
    assert rows[0].split() == ["version", "place", "labels", "state", "digest", "when", "gate"]
    assert [row.split()[0] for row in rows[1:]] == ["1", "2", "5"]
    assert "by hand" in rows[3]
    assert "p50_ms 1.5" in rows[1]
    assert [found["pinned"] for found in cli("versions", layout.base_path, "--pin", "1", "--json").result] == [
        *(True, False, False)
    ]
    assert cli("gc", layout.base_path, "--keep", "1", "--json").result["versions"] == [1, 5]
    assert not cli("versions", layout.base_path, "--unpin", "1", "--json").result[0]["pinned"]
    assert cli("versions", layout.base_path, "--pin", "8").code == 2


def test_versions_shows_states(cli: Cli, published: Publish, layout: Layout, production: Callable[..., Host]) -> None:
    published(2)
    address = endpoints(production())[0].address
    found = cli("versions", layout.base_path, "--grpc", address, "--json").result
    assert [facts["state"] for facts in found] == ["UNKNOWN", "AVAILABLE"]
    assert cli("versions", layout.base_path, "--grpc", "127.0.0.1:1").code == 4


@pytest.mark.parametrize(
    ("verb", "words", "step", "left"),
    [
        ("rollback", [], "take out version 3", [1, 2]),
        ("rollback", ["--version", "1"], "take out version 2", [1]),
        ("gc", ["--keep", "2"], "remove version 1", [2, 3]),
    ],
)
def test_an_operation_says_its_steps_and_a_dry_run_only_says_them(
    cli: Cli, published: Publish, layout: Layout, *, verb: str, words: list[str], step: str, left: list[int]
) -> None:
    published(3)
    dry = cli(verb, layout.base_path, *words, "--dry-run", "--json").result
    assert (dry["steps"][0], dry["versions"], dry["dry_run"]) == (f"would {step}", [1, 2, 3], True)
    done = cli(verb, layout.base_path, *words)
    assert (done.code, done.out.splitlines()[0]) == (0, step)
    assert layout.versions() == left


def test_promote_brings_back_what_rollback_took_out(cli: Cli, published: Publish, layout: Layout) -> None:
    published(2)
    cli("rollback", layout.base_path)
    assert cli("promote", layout.base_path, "--dry-run").out == "would bring back version 2\n"
    assert layout.versions() == [1]
    assert cli("promote", layout.base_path, "--json").result == {
        "steps": ["bring back version 2"],
        "versions": [1, 2],
        "dry_run": False,
    }
    assert (cli("promote", layout.base_path).code, cli("rollback", layout.base_path, "--version", "9").code) == (6, 2)
    assert cli("gc", layout.base_path).out == "nothing to do\n"


def test_with_a_config_labels_move(
    cli: Cli, bundle: Make, layout: Layout, production: Callable[..., Host], tmp_path: Path
) -> None:
    config = tmp_path / "models.config"
    config.write_text("model_config_list {}")
    grpc, rest = endpoints(production(model_config_file=str(config)))
    server = ("--config", config, "--grpc", grpc.address, "--rest", rest.address)
    for version in (1, 2):
        made = bundle(version + 1.0, version)
        assert cli("deploy", made, "--to", layout.base, *server, "--server", "remote", "--rate", "1000").code == 0
    assert cli("rollback", layout.base_path, *server, "--dry-run").out == "would move stable to version 1\n"
    assert cli("rollback", layout.base_path, *server).out == "move stable to version 1\n"
    labels = {
        found["version"]: found["labels"] for found in cli("versions", layout.base_path, *server, "--json").result
    }
    assert labels == {1: ["stable"], 2: ["canary"]}
    assert cli("promote", layout.base_path, *server).out == "move stable to version 2\n"
    assert cli("gc", layout.base_path, "--keep", "1", *server).out == "nothing to do\n"


@pytest.mark.parametrize("verb", ["versions", "rollback", "promote", "gc"])
def test_a_place_where_nothing_is_deployed_is_told_and_stays_empty(cli: Cli, tmp_path: Path, verb: str) -> None:
    said = cli(verb, "serving/times")
    assert (said.code, "nothing is deployed at" in said.err) == (2, True)
    assert list(tmp_path.iterdir()) == []
