"""Two reports side by side: faster, slower or no difference, and the gate."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.measure.reports import MACHINE, MS, measurement, report, three_paths
from toolkit.cli.main import run
from toolkit.errors import BenchError
from toolkit.measure.comparing import compare_reports
from toolkit.measure.measurement import Measurement
from toolkit.measure.plan import EFFORTS, Threads
from toolkit.measure.report import Report


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


EAGER, GRAPH = measurement("eager", 4 * MS), measurement("graph", 2 * MS)
DEAD = replace(GRAPH, rounds=(), absent="its process died")
WRONG = replace(GRAPH, problem="output 'y' at [0]: expected 1, actual 2")
SINGLE = measurement("graph", 2 * MS, rounds=1, calls=3000)
SHORT = measurement("graph", 2 * MS, calls=90)


@pytest.mark.parametrize(
    ("base", "new", "verdict", "note", "refused"),
    [
        ([GRAPH], [], "lost", "not in the new report", True),
        ([], [GRAPH], "unknown", "not in the base report", False),
        ([GRAPH], [DEAD], "lost", "new n/a: its process died", True),
        ([DEAD], [GRAPH], "unknown", "base n/a: its process died", False),
        ([DEAD], [DEAD], "unknown", "new n/a: its process died", False),
        ([DEAD], [], "unknown", "not in the new report", False),
        ([GRAPH], [WRONG], "WRONG", "new WRONG: output 'y' at [0]: expected 1, actual 2", True),
        ([WRONG], [GRAPH], "unknown", "base WRONG: output 'y' at [0]: expected 1, actual 2", False),
        ([WRONG], [WRONG], "WRONG", "new WRONG: output 'y' at [0]: expected 1, actual 2", True),
        ([], [WRONG], "WRONG", "new WRONG: output 'y' at [0]: expected 1, actual 2", True),
        ([GRAPH], [SINGLE], "lost", "new: fewer than 2 rounds", True),
        ([SINGLE], [GRAPH], "unknown", "base: fewer than 2 rounds", False),
        ([GRAPH], [SHORT], "no difference", "new INVALID: 1.8 s of calls, 5 s wanted", False),
        ([GRAPH], [GRAPH], "no difference", "", False),
    ],
)
def test_a_row_is_judged_by_what_the_new_report_has_of_it(
    base: list[Measurement], new: list[Measurement], verdict: str, note: str, refused: bool
) -> None:
    found = compare_reports(report([EAGER, *base]), report([EAGER, *new]))
    assert [(change.key.path, change.verdict, change.note) for change in found.changes] == [
        ("eager", "no difference", ""),
        ("graph", verdict, note),
    ]
    refusal = found.refusal(5.0)  # no time is too long for this gate
    assert (refusal is not None) is refused
    assert refusal is None or refusal.message == f"mlp graph at batch 1, 2 threads: {verdict}: {note}"


def with_settings(signature: str | None, **settings: object) -> Report:
    """A path in one process and a served one, measured as asked."""
    found = report([GRAPH, replace(GRAPH, key=replace(GRAPH.key, path="grpc"))])
    models = {"mlp": {} if signature is None else {"signature": signature}}
    return replace(found, settings={**found.settings, **settings}, models=models)


PLAIN = {"device": "", "device_inputs": False, "server": ""}


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"device": "GPU:0"}, {"graph": "device: none and GPU:0"}),
        ({"device_inputs": True}, {"graph": "device_inputs: none and True"}),
        ({"server": "host:8500"}, {"grpc": "server: none and host:8500"}),
        ({}, {}),
    ],
)
def test_rows_of_unlike_settings_are_not_comparable(other: dict[str, object], said: dict[str, str]) -> None:
    base, new = with_settings("a", **PLAIN), with_settings("a", **PLAIN | other)
    found = compare_reports(base, new)
    assert {change.key.path: change.note for change in found.changes if change.failure} == said
    assert {change.verdict for change in found.changes} == {"no difference"} | ({"not comparable"} if said else set())
    assert (found.refusal(0.05) is not None) is bool(said)


def test_another_signature_is_another_thing() -> None:
    with pytest.raises(BenchError, match="unlike things: signature of mlp: serving_default and classify"):
        compare_reports(with_settings("serving_default"), with_settings("classify"))


def test_what_an_older_report_does_not_say_counts_as_like() -> None:
    found = compare_reports(with_settings(None), with_settings("classify", **PLAIN | {"device": "GPU:0"}))
    assert {change.verdict for change in found.changes} == {"no difference"}


@pytest.mark.parametrize(
    ("settings", "lost"),
    [
        ({"paths": []}, True),
        ({"paths": ["graph", "onnx"]}, True),
        ({"paths": ["onnx"]}, False),
        ({"batch_sizes": [1]}, True),
        ({"batch_sizes": [32]}, False),
    ],
)
def test_what_the_new_run_was_not_asked_for_is_not_lost(settings: dict[str, object], lost: bool) -> None:
    new = report([EAGER])
    found = compare_reports(report([EAGER, GRAPH]), replace(new, settings={**new.settings, **settings}))
    change = next(change for change in found.changes if change.key.path == "graph")
    assert change.note == ("not in the new report" if lost else "not asked for in the new report")
    assert (change.verdict, found.refusal(0.05) is not None) == (("lost", True) if lost else ("unknown", False))


def test_another_thread_setting_or_model_is_not_lost() -> None:
    more = replace(GRAPH, key=replace(GRAPH.key, threads=Threads(1, 1)))
    other = replace(GRAPH, key=replace(GRAPH.key, model="cnn"))
    found = compare_reports(report([EAGER, more, other]), report([EAGER]))
    assert [change.note for change in found.changes] == ["", *["not asked for in the new report"] * 2]
    assert found.refusal(0.05) is None


def test_another_effort_is_only_said() -> None:
    quick = replace(three_paths(), effort=EFFORTS["quick"])
    found = compare_reports(three_paths(), quick)
    assert found.differences == ("effort normal -> quick", "seconds per path at most 60 -> 10")
    assert found.refusal(0.05) is None


def test_what_a_gate_refuses_stands_in_the_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / "base.json", tmp_path / "new.json"]
    for file, rows in zip(files, ([EAGER, GRAPH], [EAGER, measurement("xla", MS)]), strict=True):
        file.write_text(json.dumps(report(rows).to_json()))
    assert run(["compare", *map(str, files), "--fail-above", "5%", "--json"]) == 6
    document = json.loads(capsys.readouterr().out)
    changes = document["result"]["changes"]
    assert {row["path"]: (row["verdict"], row["failure"], row["note"]) for row in changes} == {
        "eager": ("no difference", "", ""),
        "graph": ("lost", "lost", "not in the new report"),
        "xla": ("unknown", "", "not in the base report"),
    }
    assert document["result"]["fail_above"] == 0.05
    assert document["error"]["message"] == "mlp graph at batch 1, 2 threads: lost: not in the new report"


@pytest.mark.parametrize(
    ("limit", "code"),
    [
        ([], 0),
        (["--fail-above", "5%"], 6),
        (["--fail-above", "0.05"], 6),
        (["--fail-above", "1.0"], 0),
        (["--fail-above", "150%"], 0),
    ],
)
def test_the_command_ends_with_6_where_the_gate_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], limit: list[str], code: int
) -> None:
    for name, milliseconds in (("base", 2), ("new", 3)):
        document = report([measurement("graph", milliseconds * MS)]).to_json()
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    arguments = ["compare", str(tmp_path / "base.json"), str(tmp_path / "new.json"), *limit]
    assert run(arguments) == code
    assert "slower" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("share", "said"),
    [
        ("much", "'much' is no share"),
        ("%", "'%' is no share"),
        ("5", "5 would be 500%; write 5% if you mean"),
        ("1.5", "1.5 would be 150%; write 1.5% if you mean"),
        ("0", "no share above nothing"),
        ("0%", "no share above nothing"),
        ("-5%", "no share above nothing"),
        ("nan", "no share above nothing"),
        ("nan%", "no share above nothing"),
        ("inf", "no share above nothing"),
        ("1e999%", "no share above nothing"),
    ],
)
def test_the_command_takes_no_other_share(share: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", "a", "b", f"--fail-above={share}"]) == 2
    assert said in capsys.readouterr().err
