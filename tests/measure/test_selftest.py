"""The self-test sees a stopped server, and says what fails where something does."""

import pytest

from toolkit.cli.main import run
from toolkit.measure import selftest
from toolkit.measure.selftest import Finding, check_stop


def test_a_server_that_stood_still_for_a_second_is_seen() -> None:
    found = check_stop()
    assert found.passed, found.said


@pytest.mark.parametrize(("passed", "code", "word"), [(True, 0, "ok"), (False, 7, "FAILED")])
def test_the_command_says_whether_this_machine_can_measure(
    passed: bool, code: int, word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(selftest, "check_itself", lambda: Finding("itself", "as known", passed))
    monkeypatch.setattr(selftest, "check_sleep", lambda: Finding("sleep", "as known", True))
    monkeypatch.setattr(selftest, "check_stop", lambda: Finding("stop", "as known", True))
    assert run(["bench", "--selftest"]) == code
    assert word in capsys.readouterr().out


@pytest.mark.parametrize("more", [["mlp"], ["--quick"], ["--report", "page.html"]])
def test_the_self_test_takes_no_model_and_no_option_that_it_would_ignore(
    more: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(selftest, "run_selftest", lambda tell: [])
    assert run(["bench", "--selftest", *more]) == 2
    assert "hint: tfx-export bench --selftest, alone" in capsys.readouterr().err
    assert run(["bench", "--selftest", "--json", "-q", "-v"]) == 0


@pytest.mark.long
def test_the_same_path_against_itself_and_a_sleep() -> None:
    assert [found.said for found in selftest.run_selftest() if not found.passed] == []
