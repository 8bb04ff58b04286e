"""What a verb says keeps its form: narrow tables, JSON that every reader takes, one word for several failures."""

import io
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import ml_dtypes
import numpy as np
import pytest

from toolkit import __version__
from toolkit.building.several import Step
from toolkit.cli.build import SEVERITY
from toolkit.cli.main import VERBS, run
from toolkit.cli.output import Output, plain, readable_bytes, readable_path
from toolkit.cli.progress import Steps
from toolkit.errors import ExitCode

Cli = Callable[..., Any]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, 2.5, None, True]}, '{"a": [1, 2.5, null, true]}'),
        ({1: (Path("x").name,)}, '{"1": ["x"]}'),
        (math.nan, '"NaN"'),
        ([math.inf, -math.inf], '["Infinity", "-Infinity"]'),
        (np.array([[0.1, math.nan]], np.float32), '[[0.1, "NaN"]]'),
        (np.float32(0.1), "0.1"),
        (np.array([0.1], np.float16), "[0.1]"),
        (np.array([0.5], ml_dtypes.bfloat16), "[0.5]"),
        (np.array([0.1 + 0.2]), "[0.30000000000000004]"),
        (np.array([2**63 - 1]), "[9223372036854775807]"),
        (np.array([2**64 - 1], np.uint64), "[18446744073709551615]"),
        (np.array([True]), "[true]"),
        (np.array([1 + 2j]), "[[1.0, 2.0]]"),
        (np.array([b"a", "ž".encode()], object), '["a", "ž"]'),
        (np.array([b"\xff"], object), '[{"b64": "/w=="}]'),
        (np.zeros((0, 2), np.float32), "[]"),
        (np.array(b"", object), '""'),
    ],
)
def test_any_value_is_json(value: Any, text: str) -> None:
    assert json.dumps(plain(value), allow_nan=False, ensure_ascii=False) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (1_234_567, "1.23 MB"), (9 * 10**9, "9.00 GB")]
)
def test_sizes_are_readable(size: int, text: str) -> None:
    assert readable_bytes(size) == text


def test_a_path_below_the_current_folder_is_short(project: Path) -> None:
    assert readable_path(project / "exported" / "net" / "1") == "exported/net/1"
    assert readable_path(Path("/elsewhere/net")) == "/elsewhere/net"


def test_a_table_is_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table(("name", "size"), [("a", "1 B"), ("long one", "22 kB")], right=(1,))
    assert capsys.readouterr().out == "name       size\na           1 B\nlong one  22 kB\n"


def test_every_exit_code_has_its_severity() -> None:
    assert sorted(SEVERITY) == sorted(int(code) for code in ExitCode)


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_begins_with_its_usage(cli: Cli, verb: str) -> None:
    said = cli(verb, "--help")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"Usage: tfx-export {verb} ")
    for flag in ("--json", "-q, --quiet", "-v, --verbose", "-h, --help"):
        assert flag in said.out


def test_the_help_names_every_verb(cli: Cli) -> None:
    said = cli("--help")
    assert said.code == 0
    assert [verb for verb in VERBS if f"\n  {verb} " not in said.out] == []


def test_without_a_verb_the_help_is_an_error(cli: Cli) -> None:
    said = cli()
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("Usage: tfx-export ")


def test_the_version_is_told(cli: Cli) -> None:
    assert cli("--version").out == f"tfx-export, version {__version__}\n"


@pytest.mark.parametrize(("words", "seen"), [(["models"], [False]), (["models", "-v"], [True]), (["--version"], [])])
def test_streams_are_guarded_before_a_verb_runs(project: Path, words: list[str], seen: list[bool]) -> None:
    calls: list[bool] = []

    def guard(*, verbose: bool) -> TextIO:
        calls.append(verbose)
        return sys.stdout

    assert run(words, guard) == 0
    assert calls == seen


def test_elsewhere_than_on_a_terminal_progress_is_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with Steps(Output()) as steps:
        steps.report(Step("net", "tracing", 1, 9))
    assert capsys.readouterr().err.endswith(" s] net: tracing\n")
    with Steps(Output(quiet=True)) as steps:
        steps.report(Step("net", "tracing", 1, 9))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("encoding", "text"), [("ascii", '"\\u017e"'), ("utf-8", '"ž"'), ("latin-1", '"\\u017e"')])
def test_json_stays_json_in_any_encoding(monkeypatch: pytest.MonkeyPatch, encoding: str, text: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding, "backslashreplace", write_through=True)
    monkeypatch.setattr("sys.stdout", stream)
    Output().json_line("ž")
    Output().line("|Δ|")
    lines = stream.buffer.getvalue().decode(encoding).splitlines()
    assert lines == [text, "|Δ|" if encoding == "utf-8" else "|\\u0394|"]


class Gone:
    """A reader who went away."""

    def write(self, text: str) -> int:
        return len(text)

    def isatty(self) -> bool:
        return False

    def flush(self) -> None:
        raise BrokenPipeError

    def fileno(self) -> int:
        return self.descriptor

    descriptor = -1


def test_a_reader_who_leaves_early_is_no_failure(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "stdout").open("w") as file:
        Gone.descriptor = file.fileno()
        monkeypatch.setattr("sys.stdout", Gone())
        assert run(["models"]) == 0
        assert run(["build", "gone", "--json"]) == 2
    assert capsys.readouterr().err == ""
