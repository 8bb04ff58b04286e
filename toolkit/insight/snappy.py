"""Unpacks Snappy's raw format (github.com/google/snappy, format_description.txt), as old checkpoint indices have it."""

from toolkit.wire.varints import read_varint


def unpack(packed: bytes, limit_bytes: int) -> bytes:
    """The content; ValueError or IndexError where it is damaged or larger than the limit."""
    size, at = read_varint(packed, 0)
    if size > limit_bytes:
        raise ValueError("it unpacks to more than it may")
    content = bytearray()
    while at < len(packed):
        tag = packed[at]
        at += 1
        if tag & 3:
            length, distance, at = _copy(packed, tag, at)
            _repeat(content, length, distance)
        else:
            length, at = _literal(packed, tag, at)
            content += packed[at : at + length]
            at += length
        if len(content) > size:
            raise ValueError("it unpacks to more than it says")
    if len(content) != size:
        raise ValueError("it unpacks to less than it says")
    return bytes(content)


def _literal(packed: bytes, tag: int, at: int) -> tuple[int, int]:
    length = tag >> 2
    more = length - 59  # from 60 on, the length stands in the next one to four bytes
    if more <= 0:
        return length + 1, at
    return int.from_bytes(packed[at : at + more], "little") + 1, at + more


def _copy(packed: bytes, tag: int, at: int) -> tuple[int, int, int]:
    """Length, distance and where the next tag stands."""
    if tag & 3 == 1:
        return (tag >> 2 & 7) + 4, (tag >> 5) << 8 | packed[at], at + 1
    size = 2 if tag & 3 == 2 else 4
    return (tag >> 2) + 1, int.from_bytes(packed[at : at + size], "little"), at + size


def _repeat(content: bytearray, length: int, distance: int) -> None:
    start = len(content) - distance
    if distance == 0 or start < 0:
        raise ValueError("it repeats what is not there")
    piece = content[start : start + length]
    # A piece may reach into itself: `ab` at distance 2 repeats as often as it takes.
    content += (piece * (length // len(piece) + 1))[:length]
