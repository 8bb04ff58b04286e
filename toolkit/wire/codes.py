"""The canonical status codes that both protocols share, and the fault behind each."""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType

from toolkit.errors import Fault


class Code(IntEnum):
    """gRPC's numbers, which are also those of TensorFlow's own errors."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


CODE_OF_FAULT: Mapping[Fault, Code] = MappingProxyType(
    {
        Fault.CANCELLED: Code.CANCELLED,
        Fault.UNKNOWN: Code.UNKNOWN,
        Fault.INVALID: Code.INVALID_ARGUMENT,
        Fault.DEADLINE: Code.DEADLINE_EXCEEDED,
        Fault.NOT_FOUND: Code.NOT_FOUND,
        Fault.ALREADY_EXISTS: Code.ALREADY_EXISTS,
        Fault.PERMISSION: Code.PERMISSION_DENIED,
        Fault.EXHAUSTED: Code.RESOURCE_EXHAUSTED,
        Fault.PRECONDITION: Code.FAILED_PRECONDITION,
        Fault.ABORTED: Code.ABORTED,
        Fault.OUT_OF_RANGE: Code.OUT_OF_RANGE,
        Fault.UNIMPLEMENTED: Code.UNIMPLEMENTED,
        Fault.INTERNAL: Code.INTERNAL,
        Fault.UNAVAILABLE: Code.UNAVAILABLE,
        Fault.DATA_LOSS: Code.DATA_LOSS,
        Fault.UNAUTHENTICATED: Code.UNAUTHENTICATED,
    }
)
FAULT_OF_CODE: Mapping[Code, Fault] = MappingProxyType({code: fault for fault, code in CODE_OF_FAULT.items()})


def fault_of(code: int) -> Fault:
    """The fault behind a number of gRPC or of a TensorFlow error; one that nobody knows is UNKNOWN."""
    try:
        return FAULT_OF_CODE.get(Code(code), Fault.UNKNOWN)
    except ValueError:
        return Fault.UNKNOWN
