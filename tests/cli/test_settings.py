"""Options may stand in tfx-export.toml or [tool.tfx-export]; the command line wins, and a typo is said."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from toolkit.cli.main import command_of
from toolkit.cli.settings import settings_for
from toolkit.errors import UsageError

Write = Callable[[str, str], Path]
Cli = Callable[..., Any]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ('formats = "onnx,tflite"', {"formats": ["onnx,tflite"]}),
        ('formats = ["onnx", "tflite"]', {"formats": ["onnx", "tflite"]}),
        ("timeout = 30", {"timeout": "30"}),
        ('timeout = "5m"', {"timeout": "5m"}),
        ("keep-going = true", {"keep_going": True}),
        ('import = ["own_layers"]', {"imports": ["own_layers"]}),
        ('allow-diff = "y=1"\nreason = "known"', {"allow_diff": ["y=1"], "reason": "known"}),
        ('[build]\nformats = "onnx"', {"formats": ["onnx"]}),
        ('formats = "tflite"\n[build]\nformats = "onnx"', {"formats": ["onnx"]}),
        ("[verify]\ntimeout = 3", {}),
        ('artifact = "onnx"', {}),  # an option of predict
    ],
)
def test_keys_are_long_flags(write: Write, text: str, found: dict[str, Any]) -> None:
    write("tfx-export.toml", text)
    assert settings_for("build").get("build", {}) == found


@pytest.mark.parametrize("table", ["[tool.tfx-export]", "[tool.tfx-export.build]"])
def test_pyproject_holds_settings_too(write: Write, project: Path, table: str) -> None:
    (project / "tfx-export.toml").unlink()
    write("pyproject.toml", f'[project]\nname = "x"\n{table}\nformats = "onnx"')
    assert settings_for("build") == {"build": {"formats": ["onnx"]}}


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[build]\nfromats = 1", r"\[build\] has no option 'fromats'", "did you mean formats"),
        ("fromats = 1", "the settings have 'fromats', which is no option of any command", "did you mean formats"),
        ("models = 1", "the settings have 'models', which is no option of any command", ""),
        ("[biuld]\nformats = 1", "there is no command 'biuld' for the settings", "did you mean build"),
        ("formats = ", "is not TOML", ""),
    ],
)
def test_a_typo_is_said(write: Write, cli: Cli, text: str, message: str, hint: str) -> None:
    write("tfx-export.toml", text)
    with pytest.raises(UsageError, match=message) as caught:
        settings_for("build")
    assert hint in caught.value.hint
    assert cli("build", "net").code == 2
    assert cli("build", "--help").code == 0


def test_settings_are_defaults_and_the_command_line_wins(write: Write, cli: Cli) -> None:
    write("models/net.py", "")
    write("tfx-export.toml", 'formats = ["onxx"]\ntimeout = "soon"')
    assert "'soon' is no duration" in cli("build", "net").err
    assert "there is no format 'onxx'" in cli("build", "net", "--timeout", "1s").err
    assert "'net' has no MODEL" in cli("build", "net", "--timeout", "1s", "--formats", "onnx").err


def test_settings_are_found_from_a_folder_below(write: Write, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    write("models/net.py", "")
    write("tfx-export.toml", 'formats = "onxx"')
    monkeypatch.chdir(write("deep/down/file", "").parent)
    assert "there is no format 'onxx'" in cli("build", "net").err


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20ms", 0.02),
        ("3s", 3.0),
        ("10m", 600.0),
        ("1h", 3600.0),
        ("7", 7.0),
        ("1.5", 1.5),
        (" 2 s ", 2.0),
        ("50us", 5e-5),
    ],
)
def test_a_duration_is_written_as_people_write_it(text: str, seconds: float) -> None:
    (timeout,) = (option for option in command_of("build").params if option.name == "timeout")
    assert timeout.type.convert(text, timeout, None) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "1d", "-1s", "1 2", "nan", "inf", "1e3"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    (timeout,) = (option for option in command_of("build").params if option.name == "timeout")
    with pytest.raises(click.BadParameter, match="is no duration; write 20ms, 3s or 10m"):
        timeout.type.convert(text, timeout, None)
