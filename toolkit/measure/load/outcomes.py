"""How a request ended, as one number for both protocols: 0 not at all yet, 1 well, 2 and more an error."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from toolkit.wire.codes import Code

PENDING, WELL = 0, 1
_HTTP_OK = 200
TIMEOUTS = (1 + Code.DEADLINE_EXCEEDED, 504)
# The port, or the server behind it, would not take the request.
REFUSALS = (1 + Code.UNAVAILABLE, 1 + Code.RESOURCE_EXHAUSTED, 429, 503)


def of_code(code: int) -> int:
    """The outcome of a gRPC status."""
    return 1 + code


def of_status(status: int) -> int:
    """The outcome of an HTTP status."""
    return WELL if status == _HTTP_OK else status


def name_of(outcome: int) -> str:
    """The status as its protocol calls it."""
    code = outcome - 1
    if code in _NAMES:
        return _NAMES[code]
    return f"HTTP {outcome}" if outcome >= 100 else f"code {code}"


_NAMES: Mapping[int, str] = MappingProxyType({int(code): code.name for code in Code})


def counted(outcomes: npt.NDArray[np.int64]) -> dict[str, int]:
    """Errors by name, most frequent first; what was never answered is one of them."""
    values, counts = np.unique(outcomes[outcomes != WELL], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return {("not answered" if values[at] == PENDING else name_of(int(values[at]))): int(counts[at]) for at in order}
