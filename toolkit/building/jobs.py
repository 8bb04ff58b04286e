"""What the child process does: converts a saved graph to another format, and judges an artifact."""

import gc
import io
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, redirect_stdout, suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from toolkit.core.artifact import Manifest
from toolkit.core.exporting import ExportSettings
from toolkit.core.files import refuse_if_full
from toolkit.core.model import ModelSpec, TracedModel, TraceFacts
from toolkit.core.parity import Allowed, Parity
from toolkit.core.plugins import FORMATS, RUNTIMES, Opening
from toolkit.core.runner import Runner
from toolkit.core.tensors import Feed, Outputs, Signature
from toolkit.verifying.bundle import judge
from toolkit.verifying.noise import noise_of, times_as_fast


def warm_up() -> None:
    """Loads what conversions and verdicts need, while the parent loads and traces the model."""
    import tensorflow as tf

    tf.constant(0)
    FORMATS.load_all()
    RUNTIMES.load_all()
    for library in ("tf2onnx.convert", "onnxruntime", "ai_edge_litert.interpreter"):
        # What is not installed is for the format or runtime to say.
        with suppress(ImportError):
            import_module(library)
    # A million objects of libraries never become garbage: left out, a collection takes 1 ms in place of 150 ms.
    gc.collect()
    gc.freeze()


def convert(
    format_name: str,
    saved: Path,
    directory: Path,
    signatures: Mapping[str, Signature],
    calibration: Sequence[Feed] = (),
    settings: ExportSettings | None = None,
) -> Sequence[str]:
    """Writes the artifact of one format from the SavedModel at `saved`; gives the export's notes."""
    plugin = FORMATS.load(format_name)
    try:
        # Converters print to both streams; file descriptor 1 of this process goes to the log as well.
        with redirect_stdout(io.StringIO()):
            traced = _reopen(saved, signatures)
            traced = replace(traced, calibration=calibration, settings=settings or ExportSettings())
            return tuple(plugin.export(traced, directory) or ())
    except Exception as error:
        refuse_if_full(error, directory)
        raise


def judge_artifact(bundle: Path, manifest: Manifest, name: str, allowed: Mapping[str, Allowed]) -> Parity:
    """The verdict on one artifact of a staged or published bundle."""
    return judge(bundle, manifest, name, allowed)


def noise(bundle: Path, manifest: Manifest, name: str) -> dict[str, float]:
    """Output to SNR in dB of one artifact of a staged bundle."""
    return noise_of(bundle, manifest, name)


def speed(bundle: Path, manifest: Manifest, plain: str, lossy: str) -> float:
    """How many times as fast one artifact of a staged bundle answers as another."""
    return times_as_fast(bundle, manifest, plain, lossy)


_OPENED: dict[tuple[str, Path, str], tuple[ExitStack, Runner]] = {}


def answer(runtime: str, opening: Opening, feed: Feed) -> Outputs:
    """The outputs of an artifact, which stays open for the next question until another one is asked."""
    key = (runtime, opening.path, opening.signature_name)
    if key not in _OPENED:
        close_runner()
        stack = ExitStack()
        _OPENED[key] = stack, stack.enter_context(RUNTIMES.load(runtime).open(opening))
    return dict(_OPENED[key][1].run(feed))


def close_runner() -> None:
    """Closes what `answer` holds open."""
    while _OPENED:
        _OPENED.popitem()[1][0].close()


def _reopen(saved: Path, signatures: Mapping[str, Signature]) -> TracedModel:
    import tensorflow as tf

    restored = tf.saved_model.load(str(saved))
    return TracedModel(
        spec=ModelSpec(name="restored", build=saved),
        signatures=signatures,
        functions={name: restored.signatures[name] for name in signatures},
        owner=restored,
        eager={},
        facts=TraceFacts(0, 0.0, 0),
        samples={},
        baseline="restored",
        saved=saved,
    )
