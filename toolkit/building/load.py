"""Builds what a ModelSpec declares: calls its factory, or loads its .keras file or SavedModel."""

import inspect
import re
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.building.blame import first_line, own_frame
from toolkit.core.model import ModelSpec
from toolkit.errors import CatalogError

_MISSING = re.compile(r"Could not locate (class|function) '([^']+)'|Unknown (layer|\w+ function): '?([\w>]+)")
_HOME = re.compile(r"Full object config: \{'module': '([\w.]+)'")
_LAMBDA = re.compile(r"Lambda|unsafe|safe_mode", re.IGNORECASE)


@dataclass(frozen=True)
class Built:
    """A built model, and whether it is a SavedModel that has no eager form left."""

    model: Any
    restored: bool = False


def build_model(spec: ModelSpec, *, unsafe_lambda: bool = False) -> Built:
    """The model of a spec; a factory may also give the path of a .keras file or a SavedModel.

    Raises:
        CatalogError: the factory raises (the hint names its own frame), or the file does not load.
    """
    made: Any = spec.build
    with _names_from_the_start():
        if callable(made):
            made = _made_by(spec, made)
        if isinstance(made, str | Path):
            return load_path(Path(made), unsafe_lambda=unsafe_lambda)
    return Built(made, restored=_is_restored(made))


def load_path(path: Path, *, unsafe_lambda: bool = False) -> Built:
    """The Keras model of a .keras file, or the restored object of a SavedModel directory."""
    if not path.exists():
        raise CatalogError(f"there is no file {path}", hint="check its path")
    if path.is_dir():
        return Built(_load_saved_model(path), restored=True)
    if path.suffix == ".keras" and not zipfile.is_zipfile(path):
        raise CatalogError(
            f"{path} is no whole .keras file ({path.stat().st_size} bytes, no zip archive)",
            hint="copy or save it again",
        )
    import keras

    try:
        return Built(keras.models.load_model(path, compile=False, safe_mode=not unsafe_lambda))
    except Exception as error:  # Keras raises whatever the archive, its JSON or a custom class runs into
        raise _keras_error(path, error) from error


def _made_by(spec: ModelSpec, factory: Callable[[], Any]) -> Any:
    try:
        inspect.signature(factory).bind()
    except TypeError as error:
        raise CatalogError(
            f"the build function of '{spec.name}' cannot be called without arguments: {error}",
            hint="name a function that takes none and returns the model",
        ) from error
    except ValueError:
        pass  # a built-in, which tells nothing of its parameters
    try:
        made = factory()
    except (Exception, SystemExit) as error:  # a user's factory can raise anything
        raise CatalogError(
            f"building model '{spec.name}' failed: {type(error).__name__}: {first_line(error)}",
            hint=f"see {own_frame(error)}",
        ) from error
    if made is None:
        raise CatalogError(f"the build function of '{spec.name}' returned nothing", hint="end it with `return model`")
    return made


@contextmanager
def _names_from_the_start() -> Iterator[None]:
    """Gives layers without a name the one that a fresh process would give them, whatever was built before.

    Outputs are called after layers: the second model of a process must not serve `dense_7` instead of `dense`.
    """
    naming = sys.modules.get("keras.src.backend.common.global_state")
    before = naming.get_global_attribute("object_name_uids") if naming else None
    if naming is None or before is None:
        yield
        return
    kept = dict(before)
    before.clear()
    try:
        yield
    finally:
        for name, count in kept.items():
            before[name] = max(count, before.get(name, 0))


def _is_restored(made: Any) -> bool:
    # What tf.saved_model.load gives has signatures and, other than a Keras model, no layers.
    return hasattr(made, "signatures") and not hasattr(made, "layers") and "tensorflow" in type(made).__module__


def _load_saved_model(path: Path) -> Any:
    import tensorflow as tf

    try:
        restored = tf.saved_model.load(str(path))
    except Exception as error:  # the loader raises from a dozen modules without a common class
        raise CatalogError(
            f"the SavedModel {path} does not load: {first_line(error)}", hint="is it complete, and of this TensorFlow?"
        ) from error
    if not getattr(restored, "signatures", None):
        raise CatalogError(
            f"the SavedModel {path} has no signatures", hint="save it with signatures, as in model.export(...)"
        )
    return restored


def _keras_error(path: Path, error: Exception) -> CatalogError:
    # Keras wraps what went wrong in the config of every layer around it.
    text = str(error).rpartition("Exception encountered: ")[2]
    missing = _MISSING.search(text)
    if missing:
        kind, name = (found for found in missing.groups() if found)
        home = _HOME.search(text)
        module = home[1] if home and home[1] != "builtins" else "MODULE"
        return CatalogError(
            f"{path} needs the {kind} '{name}', which is not registered",
            hint=f"import the module that defines it: --import {module}",
        )
    if _LAMBDA.search(text):
        return CatalogError(
            f"{path} holds a Lambda layer: Python code that loading would run",
            hint="if you trust the file, add --unsafe-lambda",
        )
    reason = f"{type(error).__name__}: {first_line(text)}"
    return CatalogError(f"{path} does not load: {reason}", hint="is it whole, and of this Keras?")
