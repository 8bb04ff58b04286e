"""A reference, as typed, becomes the model that it names, or one line that says why not."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from toolkit.building.catalog import resolve, resolve_object, shipped
from toolkit.core.model import ModelSpec
from toolkit.core.store import find_root
from toolkit.errors import CatalogError, ExitCode, ToolkitError

Write = Callable[[str, str], Path]
NET = """
    from toolkit import ModelSpec

    def build():
        return "net"

    MODEL = ModelSpec(name="net", build=build)
    OTHER = ModelSpec(name="other", build=build)

    class Nets:
        INNER = ModelSpec(name="inner", build=build)
"""


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("net", "net"),
        ("nets/deep.py", "net"),
        ("./nets/deep.py", "net"),
        ("nets/deep.py:OTHER", "other"),
        ("nets/deep.py:Nets.INNER", "inner"),
        ("nets/deep.py:build", "build"),
        ("nets.deep:MODEL", "net"),
        ("nets.deep:Nets.INNER", "inner"),
        ("nets.deep:build", "build"),
        ("nets/with-dash.v2.py", "net"),
        ("nets/a:b.py:OTHER", "other"),
        ("nets/a:b.py", "net"),
        ("saved/My net.keras", "My_net"),
        ("saved/old.h5", "old"),
        ("saved/net.v2", "net.v2"),
    ],
)
def test_every_form_of_reference_names_its_model(write: Write, project: Path, reference: str, name: str) -> None:
    for file in ("models/net.py", "nets/deep.py", "nets/with-dash.v2.py", "nets/a:b.py"):
        write(file, NET)
    for file in ("saved/My net.keras", "saved/old.h5", "saved/net.v2/saved_model.pb"):
        write(file, "")
    entry = resolve(reference, project)
    assert (entry.spec.name, entry.reference) == (
        name,
        reference.removeprefix("./") if "saved" in reference else reference,
    )


def test_a_full_path_names_a_model_anywhere(write: Write, project: Path, tmp_path: Path) -> None:
    elsewhere = write("../elsewhere/deep.py", NET)
    assert resolve(str(elsewhere.resolve()), project).spec.name == "net"


def test_a_model_of_the_project_goes_before_a_folder_of_the_same_name(write: Write, project: Path) -> None:
    write("models/net.py", NET)
    write("net/notes.txt", "")
    assert resolve("net", project).spec.name == "net"


@pytest.mark.parametrize(
    ("marker", "text"),
    [
        ("tfx-export.toml", ""),
        ("pyproject.toml", "[tool.tfx-export]\n"),
        ("pyproject.toml", "[tool.tfx-export.build]\n"),
    ],
)
def test_the_root_is_found_from_a_folder_below(
    write: Write, project: Path, monkeypatch: pytest.MonkeyPatch, marker: str, text: str
) -> None:
    (project / "tfx-export.toml").unlink()
    write(marker, text)
    write("models/net.py", NET)
    write("deep/pyproject.toml", "[tool.other]\n")
    below = write("deep/down/file", "").parent
    monkeypatch.chdir(below)
    root = find_root(Path.cwd())
    assert root == project
    assert resolve("net", root).spec.name == "net"


def test_a_file_whose_name_begins_with_an_underscore_is_no_model(write: Write, project: Path) -> None:
    for name in ("net", "_data", "__init__"):
        write(f"models/{name}.py", NET)
    assert shipped(project) == ["net"]


@pytest.mark.parametrize("file", ["models/net.py", "nets/net.py"])
@pytest.mark.parametrize("line", ["import numbers_of_net", "from {folder}.numbers_of_net import NAME"])
def test_a_model_file_imports_its_neighbours(write: Write, project: Path, file: str, line: str) -> None:
    folder = Path(file).parent.name
    write(f"{folder}/numbers_of_net.py", "NAME = 'neighbour'")
    prefix = "numbers_of_net." if line.startswith("import") else ""
    body = f"MODEL = ModelSpec(name={prefix}NAME, build=lambda: 0)"
    write(file, f"from toolkit import ModelSpec\n{line.format(folder=folder)}\n{body}")
    assert resolve(file, project).spec.name == "neighbour"


def test_models_of_two_folders_each_import_their_own_neighbour(write: Write, project: Path) -> None:
    for folder in ("one", "two"):
        write(f"{folder}/sizes.py", f"NAME = '{folder}'")
        write(f"{folder}/parts/__init__.py", f"NAME = '{folder}'")
        text = "import parts, sizes\nfrom toolkit import ModelSpec\nMODEL = ModelSpec(sizes.NAME + parts.NAME, dict)"
        write(f"{folder}/net.py", text)
    names = [resolve(f"{folder}/net.py", project).spec.name for folder in ("one", "two", "one")]
    assert names == ["oneone", "twotwo", "oneone"]


def test_a_models_folder_hides_no_library(write: Write, project: Path) -> None:
    write("models/click.py", NET)
    write("models/net.py", f"import click\nassert click.Command\n{NET.strip()}".replace("\n    ", "\n"))
    assert resolve("net", project).spec.name == "net"


def test_modules_to_import_first_are_imported_by_name_or_file(write: Write, project: Path) -> None:
    write("own_layers.py", "SEEN = 1")
    write("deep/more_layers.py", "import own_layers\nown_layers.SEEN += 1")
    write("models/net.py", NET)
    resolve("net", project, imports=["own_layers", "deep/more_layers.py"])
    assert sys.modules["own_layers"].SEEN == 2


@pytest.mark.parametrize(
    ("file", "text", "reference", "message", "hint"),
    [
        ("models/mlp.py", NET, "mpl", "there is no model 'mpl'", "did you mean mlp?"),
        ("models/mlp.py", NET, "wholly-other", "there is no model 'wholly-other'", "known: mlp"),
        ("x", "", "gone.py", "there is no file gone.py", "give a name"),
        ("x", "", "gone.keras", "there is no file gone.keras", "give a name"),
        ("x", "", "models", "models holds no SavedModel", "give a name"),
        ("x", "", "gone_package:NAME", "there is no module 'gone_package'", "PYTHONPATH"),
        ("net.py", NET, "net.py:OTHR", "'net.py:OTHR' has no OTHR", "did you mean OTHER?"),
        ("net.py", NET, "net:MODL", "'net:MODL' has no MODL", "did you mean MODEL?"),
        ("net.py", "NETS = 1", "net.py", "'net.py' has no MODEL", "net.py:NAME"),
        ("net.py", "MODEL = 3", "net.py", "'net.py' is a int", "name a ModelSpec"),
        ("net.py", "x = 1\n1 / 0", "net.py", "net.py does not import: ZeroDivisionError: division", "net.py:2"),
        ("net.py", "x = 1\ndef f(:", "net.py", "net.py does not import: SyntaxError: invalid syntax", "net.py:2"),
        ("net.py", "\nimport gone_one", "net.py", "ModuleNotFoundError: No module named 'gone_one'", "net.py:2"),
        ("net.py", "\nimport gone_one", "net:MODEL", "ModuleNotFoundError: No module named 'gone_one'", "net.py:2"),
        ("net.py", "\n\nimport json\njson.loads('{')", "net.py", "JSONDecodeError: Expecting", "net.py:4"),
        ("net.py", "import sys\nsys.exit(0)", "net.py", "net.py does not import: SystemExit: 0", "net.py:2"),
        ("net.py", "import own\n", "net.py", "net.py does not import: ZeroDivisionError", "own.py:1"),
        ("models/net.py", "1 / 0", "net", "net.py does not import: ZeroDivisionError", "net.py:1"),
        (
            "net.py",
            "from toolkit import ModelSpec\nMODEL = ModelSpec('net', build='gone.keras')",
            "net.py",
            "model 'net' needs gone.keras",
            "check its path",
        ),
        (
            "net.py",
            "from toolkit import ModelSpec\nMODEL = ModelSpec('net', build=dict, files=('gone.npz',))",
            "net.py",
            "model 'net' needs gone.npz",
            "check its path",
        ),
        (
            "net.py",
            "from toolkit import ModelSpec\nMODEL = ModelSpec('a b', build=dict)",
            "net.py",
            "CatalogError: 'a b' cannot name a model",
            "net.py:2",
        ),
    ],
)
def test_what_names_no_model_is_said_in_one_line(
    write: Write, project: Path, *, file: str, text: str, reference: str, message: str, hint: str
) -> None:
    write(file, text)
    write("own.py", "1 / 0")
    with pytest.raises(CatalogError) as caught:
        resolve(reference, project)
    assert message in caught.value.message
    assert "\n" not in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.exit_code == ExitCode.BAD_INPUT


def test_a_broken_module_to_import_first_is_said(write: Write, project: Path) -> None:
    write("own_layers.py", "\n1 / 0")
    write("models/net.py", NET)
    with pytest.raises(CatalogError, match="own_layers does not import: ZeroDivisionError") as caught:
        resolve("net", project, imports=["own_layers"])
    assert caught.value.hint.endswith("own_layers.py:2")


def test_a_file_that_did_not_import_can_be_mended_and_tried_again(write: Write, project: Path) -> None:
    write("models/net.py", "1 / 0")
    with pytest.raises(CatalogError):
        resolve("net", project)
    assert "models.net" not in sys.modules  # where others would take half a module for a whole one
    write("models/net.py", NET)
    assert resolve("net", project).spec.name == "net"


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("models/net.py", True),
        ("models/_data.py", True),
        ("models/deep/_far.py", True),
        ("weights/net.npz", True),
        ("folder/inner/file", True),
        ("models/other.py", False),
        ("readme", False),
    ],
)
def test_the_digest_is_over_all_that_defines_a_model(write: Write, project: Path, file: str, changes: bool) -> None:
    first = "from models import _data\nfrom models._data import far\nfrom toolkit import ModelSpec\n"
    write("models/net.py", f"{first}MODEL = ModelSpec('net', build=dict, files=('weights/net.npz', 'folder'))")
    write("models/_data.py", "from models.deep._far import far\nfrom models import _data  # a circle")
    write("models/deep/_far.py", "far = 1")
    for name in ("models/other.py", "weights/net.npz", "folder/inner/file", "readme"):
        write(name, "")
    before = resolve("net", project).sha256
    write(file, (project / file).read_text() + "\n# changed")
    assert (resolve("net", project).sha256 != before) is changes


def test_the_digest_outlives_a_move(write: Write, project: Path, tmp_path: Path) -> None:
    write("nets/net.py", NET)
    write("nets/more.py", "")
    before = resolve("nets/net.py", project).sha256
    (project / "nets").rename(tmp_path / "moved")
    assert resolve(str(tmp_path / "moved" / "net.py"), project).sha256 == before


class Thing:
    """A model of some library: it has variables and can be called."""

    variables = ()
    name = "thing"

    def __call__(self, x: Any) -> Any:
        return x


def factory() -> Thing:
    return Thing()


@pytest.mark.parametrize(
    ("found", "name"),
    [
        (factory, "factory"),
        (partial(Thing), "model"),
        (Thing, "Thing"),
        (Thing(), "thing"),
        (ModelSpec("s", factory), "s"),
    ],
)
def test_a_program_names_a_spec_a_factory_a_class_or_a_model(found: Any, name: str) -> None:
    entry = resolve_object(found)
    made: Any = entry.spec.build
    assert entry.spec.name == name
    assert isinstance(made(), Thing)


def test_a_model_of_a_program_has_the_digest_of_the_file_that_builds_it() -> None:
    empty = resolve_object(ModelSpec("net", dict)).sha256
    assert resolve_object(factory).sha256 == resolve_object(ModelSpec("f", factory)).sha256 != empty


def test_nothing_else_is_taken_for_a_model() -> None:
    with pytest.raises(ToolkitError, match="is a int, neither a ModelSpec nor a factory"):
        resolve_object(3)
