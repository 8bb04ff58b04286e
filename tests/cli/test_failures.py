"""What goes wrong half-way leaves nothing behind, is one line, and stops nothing else."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_errors import model
from toolkit.errors import StoreError

Write = Callable[[str, str], Path]
Cli = Callable[..., Any]


def test_a_failure_leaves_nothing_behind(write: Write, cli: Cli, project: Path) -> None:
    write("models/net.py", model(options=""))
    assert cli("build", "net").code == 2
    assert not (project / "exported").exists()


def test_a_place_that_cannot_be_written_is_exit_4(write: Write, cli: Cli) -> None:
    write("models/net.py", model())
    write("exported", "a file")
    said = cli("build", "net")
    assert said.code == 4
    assert "exported/net: not a directory" in said.err
    assert "hint: a file is where a folder should be: move it away" in said.err


def full_for_python(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def full_for_tensorflow(*_: Any) -> None:
    import tensorflow as tf

    raise tf.errors.UnknownError(None, None, "{{node SaveV2}} part-00000; No space left on device [Op:SaveV2]")


@pytest.mark.parametrize(
    ("place", "full"),
    [
        ("toolkit.building.pipeline.write_golden", full_for_python),
        ("toolkit.formats.saved_model.write", full_for_tensorflow),
        ("toolkit.formats.saved_model.write", full_for_python),
    ],
)
def test_a_full_disk_is_exit_4(
    write: Write, cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch, *, place: str, full: Callable[..., None]
) -> None:
    write("models/net.py", model())
    monkeypatch.setattr(place, full)
    said = cli("build", "net")
    assert said.code == 4
    assert "no space left on device" in said.err
    assert "bytes free)" in said.err
    assert "hint: free some space" in said.err
    assert not (project / "exported").exists()


def test_a_disk_that_is_full_for_a_converter_is_no_fault_of_the_format(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toolkit.building import jobs

    monkeypatch.setattr(jobs, "_reopen", full_for_python)
    with pytest.raises(StoreError, match=r"onnx: no space left on device \(.* bytes free\)"):
        jobs.convert("onnx", project, project / "onnx", {})


@pytest.mark.parametrize(
    ("name", "error", "code"),
    [("ValueError", ValueError("a\nb"), 1), ("EOFError", EOFError(), 1), ("SystemExit", SystemExit(0), 1)],
)
def test_a_bug_is_one_line_too(
    write: Write, cli: Cli, monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException, code: int
) -> None:
    from toolkit.building import pipeline

    def bug(*_: Any) -> None:
        raise error

    write("models/net.py", model())
    monkeypatch.setattr(pipeline, "record_baseline", bug)
    said = cli("build", "net")
    assert said.code == code
    assert f"error: {name}: " in said.err
    assert "hint: this is a bug of tfx-export; -v shows more" in said.err
    assert "Traceback" not in said.err
    assert "Traceback" in cli("build", "net", "-v").err
    assert cli("build", "net", "--json").document["error"]["type"] == "UnexpectedError"


def test_an_interrupt_is_exit_130(write: Write, cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from toolkit.building import pipeline

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    write("models/net.py", model())
    monkeypatch.setattr(pipeline, "record_baseline", interrupt)
    said = cli("build", "net")
    assert said.code == 130
    assert "error: interrupted" in said.err
    assert not (project / "exported").exists()
    assert cli("build", "net", "--json").document["error"]["type"] == "InterruptedError"


def test_one_model_that_fails_does_not_stop_the_others(write: Write, cli: Cli) -> None:
    write("models/broken.py", "1 / 0")
    write("models/net.py", model())
    write("models/vague.py", model(options="").replace('"net"', '"vague"'))
    said = cli("build", "--formats", "saved_model")
    assert said.code == 2
    assert said.out.startswith("net: 1 trace, ")
    errors = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 3
    assert "broken.py does not import" in errors[0]
    assert "nothing says what the inputs of model 'vague' are" in errors[1]
    assert errors[2] == "error: 2 of 3 models failed"
    document = cli("build", "--formats", "saved_model", "--json").document
    assert [manifest["model"] for manifest in document["result"]] == ["net"]
    assert "broken.py does not import" in document["error"]["message"]
    assert "nothing says what the inputs" in document["error"]["message"]


def test_two_models_of_one_name_are_not_built_as_one(write: Write, cli: Cli, project: Path) -> None:
    write("models/net.py", model())
    write("other/net.py", model())
    said = cli("build", "net", "other/net.py", "--formats", "saved_model")
    assert said.code == 2
    assert "error: net and other/net.py are both named 'net'" in said.err
    assert [path.name for path in (project / "exported" / "net").iterdir() if path.name.isdigit()] == ["1"]


def test_a_keras_file_that_lacks_its_classes_names_them(write: Write, cli: Cli, project: Path) -> None:
    import keras

    class Unknown(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x

    x = keras.Input((3,), name="x")
    keras.Model(x, Unknown()(x)).save(project / "own.keras")
    said = cli("build", "own.keras")
    assert said.code == 2
    assert "error: own.keras needs the class 'Unknown', which is not registered" in said.err
    assert "hint: import the module that defines it: --import " in said.err


def test_a_saved_model_that_does_not_load_is_said(write: Write, cli: Cli, project: Path) -> None:
    write("saved/saved_model.pb", "no graph")
    said = cli("build", "saved")
    assert said.code == 2
    assert "error: the SavedModel saved does not load: Cannot parse file" in said.err
    shutil.rmtree(project / "saved")
