"""The errors by which commands that measure end."""

from toolkit.errors import BenchError, ExitCode, ToolkitError


class InterruptedMeasurementError(ToolkitError):
    """Somebody pressed Ctrl-C; what was measured so far is shown."""

    exit_code = ExitCode.INTERRUPTED


class InvalidMeasurementError(BenchError):
    """A figure cannot be trusted, and --strict was given."""

    exit_code = ExitCode.INVALID_MEASUREMENT
