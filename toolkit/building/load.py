"""Builds what a ModelSpec declares: calls its factory, or loads its .keras file or SavedModel."""

import re
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.core.model import ModelSpec
from toolkit.errors import CatalogError


@dataclass(frozen=True)
class Built:
    """A built model, and whether it is a SavedModel that has no eager form left."""

    model: Any
    restored: bool = False


def build_model(spec: ModelSpec, *, unsafe_lambda: bool = False) -> Built:
    """The model of a spec.

    Raises:
        CatalogError: the factory raises (the hint names its own frame), or the file does not load.
    """
    source = spec.build
    if callable(source):
        try:
            made = source()
        except Exception as error:  # a user's factory can raise anything
            raise CatalogError(
                f"building model '{spec.name}' failed: {type(error).__name__}: {first_line(error)}",
                hint=f"see {own_frame(error)}",
            ) from error
        return (
            Built(load_path(Path(made), unsafe_lambda=unsafe_lambda)) if isinstance(made, str | Path) else Built(made)
        )
    path = Path(source)
    return Built(load_path(path, unsafe_lambda=unsafe_lambda), restored=path.is_dir())


def load_path(path: Path, *, unsafe_lambda: bool = False) -> Any:
    """The Keras model of a .keras file, or the restored object of a SavedModel directory."""
    if path.is_dir():
        return _load_saved_model(path)
    import keras

    try:
        return keras.models.load_model(path, compile=False, safe_mode=not unsafe_lambda)
    except Exception as error:  # Keras raises whatever the archive, its JSON or a custom class runs into
        raise _keras_error(path, error) from error


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
    text = str(error)
    lambda_layer = "Lambda" in text or "unsafe" in text.lower() or "safe_mode" in text
    missing = re.search(r"Could not locate class '([^']+)'|Unknown layer:? '?([\w>]+)|class_name': '(\w+)'", text)
    if "Could not locate" in text or "Unknown layer" in text:
        name = next((group for group in missing.groups() if group), "?") if missing else "?"
        return CatalogError(
            f"{path} needs the class '{name}', which is not registered",
            hint="import the module that registers it: --import MODULE",
        )
    if lambda_layer:
        return CatalogError(
            f"{path} holds a Lambda layer: Python code that loading would run",
            hint="if you trust the file, add --unsafe-lambda",
        )
    return CatalogError(
        f"{path} does not load: {type(error).__name__}: {first_line(error)}", hint="is it a whole .keras file?"
    )


def first_line(error: BaseException) -> str:
    """The line of an error's text that says what happened; autograph puts it last, behind a traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    if lines[0].startswith("in user code"):
        return next((line for line in lines if re.match(r"\w*(Error|Exception)\b.*:", line)), lines[-1])
    return lines[0]


def own_frame(error: BaseException) -> str:
    """file:line of the innermost frame that is neither ours nor a library's."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame
        for frame in frames
        if not any(
            part in frame.filename for part in ("site-packages", "/toolkit/", "importlib", "<frozen", "__autograph")
        )
    ]
    if own:
        return f"{own[-1].filename}:{own[-1].lineno}"
    # Autograph and Keras filter tracebacks; they put the user's frame into the text instead.
    places = re.findall(r'File "([^"]+)", line (\d+)', str(error))
    mine = [place for place in places if "site-packages" not in place[0]]
    return ":".join(mine[-1]) if mine else f"{frames[-1].filename}:{frames[-1].lineno}"
