"""Turns a model reference, as typed, into a ModelSpec and the digest of what it was made from."""

import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from toolkit.building.blame import first_line, own_frame
from toolkit.building.sources import defining_files
from toolkit.core.model import ModelSpec
from toolkit.errors import CatalogError, nearest

FORMS = "give a name in models/, path/file.py[:NAME], package.module:NAME, a .keras file or a SavedModel directory"
# Folders of model files that were given by path: each is where a script of that folder would look first.
_FOLDERS: list[Path] = []


@dataclass(frozen=True)
class Entry:
    """A model that was found: its reference, its spec, and one sha256 over the files that define it."""

    reference: str
    spec: ModelSpec
    sha256: str


def shipped(root: Path) -> list[str]:
    """Names of the models in `<root>/models`."""
    return sorted(path.stem for path in (root / "models").glob("*.py") if not path.name.startswith("_"))


def resolve(reference: str, root: Path, imports: Sequence[str] = ()) -> Entry:
    """The model that a reference names.

    Args:
        reference: any form of the contract.
        root: the project's folder, where models/ is.
        imports: modules (or their files) to import first, which register custom Keras classes.

    Raises:
        CatalogError: nothing is there, or it does not import; the hint gives the nearest names.
    """
    for folder in (root.absolute(), Path.cwd()):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    for name in imports:
        _register(_run_file(Path(name)) if name.endswith(".py") else _import_module(name))
    if reference in shipped(root):
        return _from_file(reference, root / "models" / f"{reference}.py", "MODEL", root)
    path = Path(reference)
    if path.suffix in {".keras", ".h5"} or path.is_dir():
        return _from_saved(path)
    file, attribute = _split(reference)
    if file.endswith(".py"):
        return _from_file(reference, Path(file), attribute or "MODEL", root)
    if attribute:
        module = _import_module(file)
        source = Path(module.__file__) if module.__file__ else None
        return _entry(reference, _member(module, attribute, reference), defining_files(source, [root, Path.cwd()]))
    raise CatalogError(
        f"there is no model '{reference}' in {root / 'models'}", hint=f"{nearest(reference, shipped(root))}; or {FORMS}"
    )


def resolve_object(model: Any) -> Entry:
    """The entry of a ModelSpec or of a factory of a Keras model that a program holds already."""
    build: Any = model.build if isinstance(model, ModelSpec) else model
    try:
        source = inspect.getsourcefile(inspect.unwrap(build))
    except TypeError:  # a path, an instance, or code that was typed at a prompt
        source = None
    file = Path(source) if source and Path(source).is_file() else None
    return _entry("<object>", model, defining_files(file, [file.parent] if file else []))


def _split(reference: str) -> tuple[str, str]:
    """`path/file.py:NAME` and `package.module:NAME` as place and attribute; a path may hold colons."""
    place, _, attribute = reference.rpartition(":")
    return (place, attribute) if place and "/" not in attribute and not attribute.endswith(".py") else (reference, "")


def _from_saved(path: Path) -> Entry:
    if not path.exists():
        raise CatalogError(f"there is no file {path}", hint=FORMS)
    if path.is_dir() and not (path / "saved_model.pb").exists():
        raise CatalogError(f"{path} holds no SavedModel (no saved_model.pb)", hint=FORMS)
    stem = path.resolve().name if path.is_dir() else path.stem
    name = re.sub(r"[^A-Za-z0-9._-]", "_", stem).lstrip("._-")
    return _entry(str(path), ModelSpec(name=name or "model", build=path), [])


def _from_file(reference: str, file: Path, attribute: str, root: Path) -> Entry:
    module = _run_file(file)
    found = _member(module, attribute, reference)
    return _entry(reference, found, defining_files(file, [root, file.absolute().parent]))


def _run_file(file: Path) -> ModuleType:
    if not file.is_file():
        raise CatalogError(f"there is no file {file}", hint=FORMS)
    folder = file.resolve().parent
    stem = re.sub(r"\W", "_", file.stem)
    if folder.name == "models":
        name = f"models.{stem}"
        _look_last_in(folder)
    else:
        name = f"tfx_export_model_{stem}"
        _look_first_in(folder)
    module_spec = importlib.util.spec_from_file_location(name, file)
    assert module_spec is not None, "the name ends in .py"
    assert module_spec.loader is not None, "likewise"
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[name] = module  # Keras and pickle look classes up by their module
    try:
        module_spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a user's file can raise anything while it is imported
        sys.modules.pop(name, None)
        raise _broken_import(str(file), error) from error
    return module


def _look_last_in(folder: Path) -> None:
    """Let a project's model import `models.NAME` of its own project, and its neighbours by their plain names."""
    for name, module in list(sys.modules.items()):
        home = getattr(module, "__file__", None)
        if name.startswith("models.") and home is not None and not Path(home).resolve().is_relative_to(folder):
            del sys.modules[name]  # another project's, which this process read before
    root = str(folder.parent)
    if root in sys.path:
        sys.path.remove(root)
    sys.path.insert(0, root)
    # A models/ folder may hold a keras.py or an onnx.py, which must not hide the libraries.
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _look_first_in(folder: Path) -> None:
    """Let a model file import its neighbours as a script would, not the likes of them beside another model."""
    for name, module in list(sys.modules.items()):
        home = Path(getattr(module, "__file__", None) or "/").parent
        taken = (folder / f"{name}.py").exists() or (folder / name).is_dir()
        if home != folder and taken and (home in _FOLDERS or home.parent in _FOLDERS):
            del sys.modules[name]
    if str(folder) in sys.path:
        sys.path.remove(str(folder))
    sys.path.insert(0, str(folder))
    if folder not in _FOLDERS:
        _FOLDERS.append(folder)


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise CatalogError(
                f"there is no module '{name}'", hint="it must be importable from here; check the name and PYTHONPATH"
            ) from error
        raise _broken_import(name, error) from error
    except (Exception, SystemExit) as error:  # likewise: importing runs a user's code
        raise _broken_import(name, error) from error


def _register(module: ModuleType) -> None:
    """Let Keras find what a module defines by its plain name; a decorated class has registered itself."""
    if "keras" not in sys.modules:
        return
    import keras

    registered = keras.saving.get_custom_objects()
    package = module.__name__.split(".")[0]
    for name, found in vars(module).items():
        home = getattr(found, "__module__", None) or ""
        if callable(found) and home.split(".")[0] == package:
            registered.setdefault(name, found)


def _broken_import(what: str, error: BaseException) -> CatalogError:
    place = f"{error.filename}:{error.lineno}" if isinstance(error, SyntaxError) else own_frame(error)
    return CatalogError(f"{what} does not import: {type(error).__name__}: {first_line(error)}", hint=f"see {place}")


def _member(module: ModuleType, attribute: str, reference: str) -> Any:
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            names = [name for name in vars(module) if not name.startswith("_")]
            hint = nearest(attribute, names)
            if attribute == "MODEL":
                hint = f"end the file in MODEL = ModelSpec(...), or name a factory: {reference}:NAME; {hint}"
            raise CatalogError(f"'{reference}' has no {attribute}", hint=hint)
        found = getattr(found, part)
    return found


def _entry(reference: str, found: Any, files: Iterable[Path]) -> Entry:
    spec = found if isinstance(found, ModelSpec) else _spec_of(reference, found)
    extra = [Path(path) for path in spec.files]
    if not callable(spec.build):
        extra.append(Path(spec.build))
    missing = next((path for path in extra if not path.exists()), None)
    if missing is not None:
        raise CatalogError(f"model '{spec.name}' needs {missing}, which is not there", hint="check its path")
    unique = {path.resolve(): path for path in (*files, *extra)}
    return Entry(reference, spec, _digest(list(unique.values())))


def _spec_of(reference: str, found: Any) -> ModelSpec:
    if not callable(found) and not hasattr(found, "signatures"):
        raise CatalogError(
            f"'{reference}' is a {type(found).__name__}, neither a ModelSpec nor a factory of a Keras model",
            hint="name a ModelSpec, or a function without arguments that returns a model",
        )
    given = getattr(found, "name", None) if _is_built(found) else getattr(found, "__name__", None)
    name = re.sub(r"[^A-Za-z0-9._-]", "_", given if isinstance(given, str) else "").strip("._-")
    return ModelSpec(name=name or "model", build=(lambda: found) if _is_built(found) else found)


def _is_built(found: Any) -> bool:
    """Whether this is a model already, and not what makes one: a Keras model, too, can be called."""
    marks = ("signatures", "weights", "variables", "get_concrete_function")
    return not isinstance(found, type) and any(hasattr(found, mark) for mark in marks)


def _digest(paths: Sequence[Path]) -> str:
    """One sha256 over the contents of files and folders, by name within each, so that a moved project still matches."""
    total = hashlib.sha256()
    for path in paths:
        inside = sorted(item for item in path.rglob("*") if item.is_file()) if path.is_dir() else [path]
        for file in inside:
            total.update(file.relative_to(path).as_posix().encode() + b"\0")
            with file.open("rb") as content:
                total.update(hashlib.file_digest(content, "sha256").digest())
    return total.hexdigest()
