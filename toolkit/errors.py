"""Every deliberate error: what happened, what to type next, its exit code and its transport-free fault."""

from collections.abc import Iterable, Sequence
from enum import Enum, IntEnum


class Fault(Enum):
    """Why a request cannot be answered, before any transport gives it a number."""

    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    INVALID = "invalid"
    DEADLINE = "deadline"
    NOT_FOUND = "not found"
    ALREADY_EXISTS = "already exists"
    PERMISSION = "permission"
    EXHAUSTED = "exhausted"
    PRECONDITION = "precondition"
    ABORTED = "aborted"
    OUT_OF_RANGE = "out of range"
    UNIMPLEMENTED = "unimplemented"
    INTERNAL = "internal"
    UNAVAILABLE = "unavailable"
    DATA_LOSS = "data loss"
    UNAUTHENTICATED = "unauthenticated"


class ExitCode(IntEnum):
    """What the process says to the shell; the contract of the command line."""

    DONE = 0
    UNEXPECTED = 1
    BAD_INPUT = 2
    WRONG_ARTIFACT = 3
    MISSING = 4
    CONVERTER = 5
    REFUSED = 6
    INVALID_MEASUREMENT = 7
    INTERRUPTED = 130


class ToolkitError(Exception):
    """An error that a user can understand and act on.

    Args:
        message: what happened and what was wanted, in one line.
        hint: what to type or change next.
    """

    exit_code: ExitCode = ExitCode.UNEXPECTED
    fault: Fault = Fault.INTERNAL

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions travel from the conversion child; the default form would lose the keyword-only hint.
        return _rebuild, (type(self), self.message, self.hint)


def _rebuild(kind: type[ToolkitError], message: str, hint: str) -> ToolkitError:
    return kind(message, hint=hint)


class FeedError(ToolkitError):
    """A feed does not fit the signature."""

    exit_code, fault = ExitCode.BAD_INPUT, Fault.INVALID


class CatalogError(ToolkitError):
    """A reference names no model, or what it names cannot be loaded."""

    exit_code, fault = ExitCode.BAD_INPUT, Fault.NOT_FOUND


class UsageError(ToolkitError):
    """An option or a combination of options makes no sense."""

    exit_code, fault = ExitCode.BAD_INPUT, Fault.INVALID


class TraceError(ToolkitError):
    """The model could not be turned into a graph as declared."""

    exit_code, fault = ExitCode.BAD_INPUT, Fault.PRECONDITION


class ExportError(ToolkitError):
    """A converter failed, died or ran out of time."""

    exit_code, fault = ExitCode.CONVERTER, Fault.INTERNAL


class UnsupportedError(ExportError):
    """A format cannot hold this model; the artifact is skipped and says why.

    Args:
        ops: the op types that a converter turned out to lack, if that is why.
    """

    def __init__(self, message: str, *, hint: str = "", ops: Iterable[str] = ()) -> None:
        super().__init__(message, hint=hint)
        self.ops = frozenset(ops)


class ParityError(ToolkitError):
    """An artifact is not what it should be: other answers, other bytes, or unsafe."""

    exit_code, fault = ExitCode.WRONG_ARTIFACT, Fault.DATA_LOSS


class StoreError(ToolkitError):
    """The place for bundles cannot be written or read."""

    exit_code, fault = ExitCode.MISSING, Fault.UNAVAILABLE


class FaultError(ToolkitError):
    """An error whose fault is known only where it is raised."""

    exit_code = ExitCode.BAD_INPUT

    def __init__(self, message: str, *, hint: str = "", fault: Fault | None = None) -> None:
        super().__init__(message, hint=hint)
        if fault is not None:
            self.fault = fault

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_with_fault, (type(self), self.message, self.hint, self.fault)


def _rebuild_with_fault(kind: type[FaultError], message: str, hint: str, fault: Fault) -> FaultError:
    return kind(message, hint=hint, fault=fault)


class WireError(FaultError):
    """Bytes are not a message of TensorFlow Serving's protocols."""

    fault = Fault.INVALID


class UnavailableError(ToolkitError):
    """Something needed is missing, full or unreachable."""

    exit_code, fault = ExitCode.MISSING, Fault.UNAVAILABLE


class ServingError(FaultError):
    """The server cannot answer a request; the fault says why."""

    fault = Fault.INTERNAL


class RunError(FaultError):
    """A runtime could not run a feed; the fault and the words are the runtime's own."""

    fault = Fault.INTERNAL


class BenchError(ToolkitError):
    """A measurement cannot be made or is not valid."""

    exit_code, fault = ExitCode.BAD_INPUT, Fault.PRECONDITION


class DeployError(ToolkitError):
    """A gate refused, or a rollout was rolled back."""

    exit_code, fault = ExitCode.REFUSED, Fault.PRECONDITION


def nearest(name: str, known: Sequence[str]) -> str:
    """A hint for a misspelt name: the nearest ones first, else all that are known."""
    from difflib import get_close_matches  # late: every start of the command line imports this module

    near = get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"known: {', '.join(known)}" if known else "none are known here"
