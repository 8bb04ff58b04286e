"""Writes a traced model's artifacts into a stage: the saved graph in this process, converters in the child."""

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from toolkit.building.blame import first_line
from toolkit.building.evaluating import Calibration
from toolkit.building.isolate import Isolated
from toolkit.building.jobs import convert
from toolkit.building.machine import available_bytes
from toolkit.core.artifact import Artifact
from toolkit.core.exporting import ExportSettings
from toolkit.core.files import refuse_if_full
from toolkit.core.model import TracedModel
from toolkit.core.parity import ComputesInFloat32, Parity, Unproven
from toolkit.core.plugins import FORMATS, Format
from toolkit.core.quantized import QuantizedEdges
from toolkit.core.store import digest_of, hash_files
from toolkit.errors import ExportError, StoreError, ToolkitError, UnavailableError, UnsupportedError
from toolkit.graphs.resources import resources_of

# What the child reads; in the stage, so that it goes where the stage goes. The format that writes it may be asked for.
SOURCE_FORMAT = "saved_model"


class Exporter:
    """Exports of one traced model."""

    def __init__(self, traced: TracedModel, stage: Path, child: Isolated, timeout_s: float) -> None:
        self._traced, self._stage, self._child, self._timeout_s = traced, stage, child, timeout_s
        self._weight_bytes = resources_of(traced.functions).variable_bytes
        self._saved: tuple[Sequence[str], float] = ((), 0.0)
        self.calibration = Calibration(traced)

    def save(self) -> None:
        """Saves the graph, from which the child makes every other format."""
        started = time.perf_counter()
        plugin = FORMATS.load(SOURCE_FORMAT)
        lacking = self._lacking_memory(plugin)
        if lacking:
            raise UnavailableError(lacking, hint="build it on a larger machine")
        notes = self._write(plugin, self._stage / SOURCE_FORMAT)
        self._saved = (notes, time.perf_counter() - started)

    def export(self, name: str) -> Artifact:
        """The artifact of one format, not yet judged; one that could not be made says why in its parity."""
        plugin = FORMATS.load(name)
        if name == SOURCE_FORMAT:
            notes, seconds = self._saved
            return self._describe(plugin, notes, seconds)
        directory = self._stage / name
        directory.mkdir()
        started = time.perf_counter()
        try:
            self._refuse_for_size(plugin)
            notes = self._convert(plugin, directory)
            return self._describe(plugin, notes, time.perf_counter() - started)
        except StoreError:
            raise  # a full disk is no format's fault
        except ToolkitError as error:
            shutil.rmtree(directory, ignore_errors=True)
            status = "skipped" if isinstance(error, UnsupportedError) else "fail"
            reason = f"{error.message}; {error.hint}" if error.hint else error.message
            return _missing(plugin, Parity(status, reason), time.perf_counter() - started)

    def close(self, kept: Sequence[str]) -> None:
        """Removes the saved graph where nobody asked for it."""
        if SOURCE_FORMAT not in kept:
            shutil.rmtree(self._stage / SOURCE_FORMAT)

    def _convert(self, plugin: Format, directory: Path) -> Sequence[str]:
        if not plugin.isolated:
            return self._write(plugin, directory)
        saved, signatures = self._stage / SOURCE_FORMAT, dict(self._traced.signatures)
        calibration = self.calibration.feeds if plugin.calibrated else ()
        notes: Sequence[str] = self._child.run(
            convert,
            plugin.name,
            saved,
            directory,
            signatures,
            calibration,
            self._settings(plugin),
            timeout_s=self._timeout_s,
        )
        return notes

    def _settings(self, plugin: Format) -> ExportSettings:
        return self._traced.settings.only(plugin.reads)

    def _write(self, plugin: Format, directory: Path) -> Sequence[str]:
        try:
            return tuple(plugin.export(self._traced, directory) or ())
        except ToolkitError:
            raise
        except Exception as error:  # runs TensorFlow over whatever the model's graph holds
            refuse_if_full(error, directory)
            raise ExportError(
                f"'{self._traced.spec.name}' cannot be written as {plugin.name}: {first_line(error)}",
                hint="-v shows what TensorFlow wrote",
            ) from error

    def _refuse_for_size(self, plugin: Format) -> None:
        limit = plugin.weight_limit_bytes
        if limit is not None and self._weight_bytes >= limit:
            raise UnsupportedError(
                f"{plugin.name} holds less than {limit / 1e9:.2f} GB of weights, "
                f"the model has {self._weight_bytes / 1e9:.2f} GB",
                hint="serve the SavedModel, or split the model",
            )
        lacking = self._lacking_memory(plugin)
        if lacking:
            raise UnsupportedError(lacking, hint="build it on a larger machine, or leave it out with --formats")

    def _lacking_memory(self, plugin: Format) -> str:
        wanted, free = self._weight_bytes * plugin.memory_factor, available_bytes()
        if free is None or wanted <= free:
            return ""
        return (
            f"{plugin.name} needs about {wanted / 1e9:.1f} GB of memory ({plugin.memory_factor:g} x the weights' "
            f"{self._weight_bytes / 1e9:.2f} GB), {free / 1e9:.1f} GB is free"
        )

    def _describe(self, plugin: Format, notes: Sequence[str], seconds: float) -> Artifact:
        directory = self._stage / plugin.name
        hashes = hash_files(directory) if directory.is_dir() else {}
        files = {f"{plugin.name}/{path}": digest for path, digest in hashes.items()}
        if not files:
            raise ExportError(f"the export of {plugin.name} wrote no file")
        unproven = next((str(note) for note in notes if isinstance(note, Unproven)), "")
        return Artifact(
            name=plugin.name,
            format=plugin.opened_as,
            variant=plugin.variant,
            path=plugin.name,
            paths={} if unproven else _paths(directory, self._traced.signatures),
            size_bytes=sum((self._stage / path).stat().st_size for path in files),
            sha256=digest_of(files),
            files=files,
            export_seconds=round(seconds, 4),
            parity=Parity("skipped", unproven) if unproven else Parity("fail", "not run yet"),
            notes=tuple(str(note) for note in notes if not isinstance(note, Unproven)),
            fixed_batch=self._settings(plugin).fixed_batch,
            computes_in="float32" if any(isinstance(note, ComputesInFloat32) for note in notes) else "",
            quantized={note.signature: note.tensors for note in notes if isinstance(note, QuantizedEdges)},
        )


def _missing(plugin: Format, parity: Parity, seconds: float) -> Artifact:
    return Artifact(plugin.name, plugin.opened_as, plugin.variant, "", {}, 0, "", {}, round(seconds, 4), parity)


def _paths(directory: Path, signatures: Mapping[str, object]) -> dict[str, str]:
    """`<signature>.<suffix>` answers its signature; without such files the directory as a whole answers all."""
    files = {path.stem: path for path in directory.iterdir() if path.is_file()}
    own = {name: f"{directory.name}/{files[name].name}" for name in signatures if name in files}
    return own or dict.fromkeys(signatures, directory.name)
