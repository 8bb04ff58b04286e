"""What a person asks of formats beyond their defaults."""

from dataclasses import dataclass, fields, replace

from toolkit.errors import UsageError


@dataclass(frozen=True)
class ExportSettings:
    """Settings of formats; each reads those that it names in `Format.reads`. None is the format's own choice.

    Args:
        opset: the version of ONNX' operators.
        fixed_batch: the one batch size that a file takes, in place of any.
        allow_flex: whether a file may hold ops that only TensorFlow's own kernels run.
        int8_io: whether a file of int8 also takes and gives int8, for devices without floats.
    """

    opset: int | None = None
    fixed_batch: int | None = None
    allow_flex: bool | None = None
    int8_io: bool | None = None

    def __post_init__(self) -> None:
        if self.fixed_batch is not None and self.fixed_batch < 1:
            raise UsageError(f"a batch of {self.fixed_batch} rows cannot be", hint="give a whole number from 1")

    @property
    def chosen(self) -> list[str]:
        """The names of those that were set."""
        return [field.name for field in fields(self) if getattr(self, field.name) is not None]

    def only(self, names: tuple[str, ...]) -> "ExportSettings":
        """The settings of these names, all others at their defaults."""
        others = {field.name: None for field in fields(self) if field.name not in names}
        return replace(self, **others)


DEFAULTS = ExportSettings()
