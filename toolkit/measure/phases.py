"""Splits served calls into where their time went: the client's own clock, and what the server told of each call."""

import re
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from toolkit.runtimes.served import Moments
from toolkit.serving.timing import PHASES

_DURATION = re.compile(r"([\w-]+)\s*;\s*dur=([0-9.]+)")
_METADATA = re.compile(r"tfx-([a-z]+)-ns")


def phases_of(moments: Sequence[Moments]) -> "dict[str, array[int]]":
    """Phase to nanoseconds, one number a call, in the order in which a call goes through them.

    What neither side accounts for is the network's: sockets, the transport's threads, and the way between. A server
    that tells nothing of its time leaves the whole of it there.
    """
    if not moments:
        return {}
    told = [told_ns(found.told) for found in moments]
    server = {name: array("q", (one.get(name, 0) for one in told)) for name in PHASES}
    outside = (
        found.answered - found.encoded - sum(one.get(name, 0) for name in PHASES)
        for found, one in zip(moments, told, strict=True)
    )
    return {
        "client encode": array("q", (found.encoded - found.begun for found in moments)),
        "network": array("q", (max(0, rest) for rest in outside)),
        **(server if any(told) else {}),
        "client decode": array("q", (found.decoded - found.answered for found in moments)),
    }


def told_ns(what: Any) -> Mapping[str, int]:
    """Nanoseconds by phase, from a Server-Timing header (milliseconds) or from trailing metadata (nanoseconds)."""
    if isinstance(what, str):
        return {name: round(float(value) * 1e6) for name, value in _DURATION.findall(what) if name in PHASES}
    pairs: Iterable[tuple[str, str]] = what or ()
    named = ((_METADATA.fullmatch(key), value) for key, value in pairs)
    return {match[1]: int(value) for match, value in named if match and match[1] in PHASES}
