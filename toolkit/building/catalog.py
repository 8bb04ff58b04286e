"""Turns a model reference, as typed, into a ModelSpec and the digest of what it was made from."""

import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from toolkit.core.model import ModelSpec
from toolkit.errors import CatalogError, nearest

FORMS = "give a name in models/, path/file.py[:NAME], package.module:NAME, a .keras file or a SavedModel directory"


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
        imports: modules to import first, which register custom Keras classes.

    Raises:
        CatalogError: nothing is there, or it does not import; the hint gives the nearest names.
    """
    for path in (str(root), str(Path.cwd())):
        if path not in sys.path:
            sys.path.insert(0, path)
    for module in imports:
        _import_module(module)
    path = Path(reference)
    if reference.endswith((".keras", ".h5")) or path.is_dir():
        return _from_saved(path)
    file, _, attribute = reference.rpartition(":") if ".py:" in reference else (reference, "", "")
    if file.endswith(".py"):
        return _from_file(reference, Path(file), attribute or "MODEL")
    if ":" in reference:
        module_name, _, attribute = reference.partition(":")
        module = _import_module(module_name)
        source = [Path(module.__file__)] if module.__file__ else []
        return _entry(reference, _member(module, attribute, reference), source)
    shipped_file = root / "models" / f"{reference}.py"
    if reference in shipped(root):
        return _from_file(reference, shipped_file, "MODEL")
    raise CatalogError(
        f"there is no model '{reference}' in {root / 'models'}", hint=f"{nearest(reference, shipped(root))}; or {FORMS}"
    )


def resolve_object(model: Any) -> Entry:
    """The entry of a ModelSpec or of a factory of a Keras model that a program holds already."""
    return _entry("<object>", model, [])


def _from_saved(path: Path) -> Entry:
    if not path.exists():
        raise CatalogError(f"there is no file {path}", hint=FORMS)
    if path.is_dir() and not (path / "saved_model.pb").exists():
        raise CatalogError(f"{path} holds no SavedModel (no saved_model.pb)", hint=FORMS)
    name = "".join(char if char.isalnum() or char in "._-" else "_" for char in path.resolve().stem).lstrip("._-")
    return _entry(str(path), ModelSpec(name=name or "model", build=path), [path])


def _from_file(reference: str, file: Path, attribute: str) -> Entry:
    if not file.exists():
        raise CatalogError(f"there is no file {file}", hint=FORMS)
    name = f"models.{file.stem}" if file.parent.name == "models" else f"tfx_export_model_{file.stem}"
    module_spec = importlib.util.spec_from_file_location(name, file)
    if module_spec is None or module_spec.loader is None:
        raise CatalogError(f"{file} is no Python file", hint=FORMS)
    module = importlib.util.module_from_spec(module_spec)
    parent = str(file.resolve().parent)
    if parent not in sys.path and file.parent.name != "models":
        sys.path.append(parent)  # a model file may import its neighbours
    sys.modules[name] = module  # Keras and pickle look classes up by their module
    try:
        module_spec.loader.exec_module(module)
    except Exception as error:  # a user's file can raise anything while it is imported
        sys.modules.pop(name, None)
        raise _broken_import(str(file), error) from error
    return _entry(reference, _member(module, attribute, reference), [file])


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise CatalogError(
                f"there is no module '{name}'", hint="it must be importable from here; check the name and PYTHONPATH"
            ) from error
        raise _broken_import(name, error) from error
    except Exception as error:  # likewise: importing runs a user's code
        raise _broken_import(name, error) from error


def _broken_import(what: str, error: Exception) -> CatalogError:
    if isinstance(error, SyntaxError):
        place = f"{error.filename}:{error.lineno}"
    else:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
        own = [frame for frame in frames if "/toolkit/building/" not in frame.filename] or frames
        place = f"{own[-1].filename}:{own[-1].lineno}" if own else what
    text = (str(error).splitlines() or [""])[0]
    return CatalogError(f"{what} does not import: {type(error).__name__}: {text}", hint=f"see {place}")


def _member(module: ModuleType, attribute: str, reference: str) -> Any:
    if not hasattr(module, attribute):
        names = [name for name in vars(module) if not name.startswith("_")]
        raise CatalogError(
            f"'{reference}' has no {attribute}",
            hint=f"end the file in {attribute} = ModelSpec(...); {nearest(attribute, names)}",
        )
    return getattr(module, attribute)


def _entry(reference: str, found: Any, files: Sequence[Path]) -> Entry:
    if not isinstance(found, ModelSpec):
        if not callable(found):
            raise CatalogError(
                f"'{reference}' is a {type(found).__name__}, neither a ModelSpec nor a factory of a Keras model",
                hint="name a ModelSpec, or a function without arguments that returns a model",
            )
        name = getattr(found, "__name__", "model")
        found = ModelSpec(name=name.strip("_<>") or "model", build=_as_factory(found))
    extra = [Path(path) for path in found.files]
    if not callable(found.build):
        extra.append(Path(found.build))
    missing = next((path for path in extra if not path.exists()), None)
    if missing is not None:
        raise CatalogError(f"model '{found.name}' needs {missing}, which is not there", hint="check its path")
    return Entry(reference, found, _digest([*files, *extra]))


def _as_factory(found: Any) -> Any:
    # A Keras model is callable too; named directly it is the built object itself, not something that builds.
    return (lambda: found) if hasattr(found, "signatures") or hasattr(found, "weights") else found


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
