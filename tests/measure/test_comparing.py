"""Two reports side by side: faster, slower or no difference, and the gate."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.measure.reports import MACHINE, MS, measurement, report, three_paths
from toolkit.cli.main import run
from toolkit.errors import BenchError
from toolkit.measure.comparing import compare_reports


def test_a_report_against_itself_shows_no_difference() -> None:
    assert {change.verdict for change in compare_reports(three_paths(), three_paths()).changes} == {"no difference"}


@pytest.mark.parametrize(("new_ms", "verdict"), [(1, "faster"), (2, "no difference"), (3, "slower")])
def test_a_change_is_named(new_ms: int, verdict: str) -> None:
    found = compare_reports(report([measurement("graph", 2 * MS)]), report([measurement("graph", new_ms * MS)]))
    assert [change.verdict for change in found.changes] == [verdict]


def test_unlike_machines_are_refused_and_other_versions_named() -> None:
    with pytest.raises(BenchError, match="unlike machines: cores: 2 and 64"):
        compare_reports(three_paths(), replace(three_paths(), machine=MACHINE | {"cores": 64}))
    other = replace(three_paths(), machine=MACHINE | {"versions": {"tensorflow": "2.22.0"}})
    assert compare_reports(three_paths(), other).differences == ("tensorflow 2.21.0 -> 2.22.0",)


def test_reports_without_a_row_in_common_are_refused() -> None:
    with pytest.raises(BenchError, match="no path stands in both"):
        compare_reports(report([measurement("graph", MS)]), report([measurement("xla", MS)]))


@pytest.mark.parametrize(("new_us", "share", "refused"), [(2200, 0.05, True), (2200, 0.2, False), (1500, 0.05, False)])
def test_the_gate_refuses_what_is_surely_slower(new_us: int, share: float, refused: bool) -> None:
    found = compare_reports(report([measurement("graph", 2 * MS)]), report([measurement("graph", new_us * 1000)]))
    assert (found.refusal(share) is not None) is refused
    assert found.refusal(None) is None


def test_the_gate_refuses_a_path_that_became_wrong() -> None:
    wrong = replace(measurement("graph", MS), problem="output 'y' at [0]: expected 1, actual 2")
    refusal = compare_reports(report([measurement("graph", MS)]), report([wrong])).refusal(0.05)
    assert refusal is not None
    assert "WRONG" in refusal.message


@pytest.mark.parametrize(("limit", "code"), [([], 0), (["--fail-above", "5%"], 6), (["--fail-above", "1.0"], 0)])
def test_the_command_ends_with_6_where_the_gate_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], limit: list[str], code: int
) -> None:
    for name, milliseconds in (("base", 2), ("new", 3)):
        document = report([measurement("graph", milliseconds * MS)]).to_json()
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    arguments = ["compare", str(tmp_path / "base.json"), str(tmp_path / "new.json"), *limit]
    assert run(arguments) == code
    assert "slower" in capsys.readouterr().out


def test_the_command_takes_no_other_share(tmp_path: Path) -> None:
    assert run(["compare", "a", "b", "--fail-above", "much"]) == 2
