"""What the quantized variants of every kind of format have in common."""

from collections.abc import Callable, Sequence
from pathlib import Path

from toolkit.core.model import TracedModel
from toolkit.core.plugins import Format
from toolkit.formats.rewrites.kinds import Lacks
from toolkit.formats.rewrites.split import export_split

ExportWhole = Callable[[TracedModel, Path], Sequence[str]]


def variant_format(
    plain: Format,
    lacks: Lacks,
    variant: str,
    export: ExportWhole,
    count_turning: Callable[[Path], int],
    *,
    calibrated: bool,
) -> Format:
    """The format `<plain>-<variant>`.

    Args:
        plain: the format in the model's own precision.
        lacks: what stays with TensorFlow beside its file.
        variant: as in `int8`.
        export: writes the files of a model that the format can hold.
        count_turning: of a file, the ops that turn numbers from one type into another.
        calibrated: whether `export` reads ranges from the calibration data.
    """

    def whole(traced: TracedModel, directory: Path) -> Sequence[str]:
        return export_split(traced, directory, lacks, export)

    def added(path: Path) -> Sequence[str]:
        count = count_turning(path)
        return [f"{count} ops turn numbers from one type into another"] if count else []

    return Format(
        f"{plain.name}-{variant}",
        whole,
        kind=plain.name,
        variant=variant,
        weight_limit_bytes=plain.weight_limit_bytes,
        calibrated=calibrated,
        added=added,
    )
