"""Protobuf's varints and length-delimited fields, read and written by hand."""

from mmap import mmap

_MAX_BYTES = 9  # 63 bits: more is a negative number, or too long


def read_varint(body: bytes | mmap, at: int) -> tuple[int, int]:
    """The number that starts at a place, and where it ends.

    Raises:
        ValueError: it is negative, or longer than it need be.
        IndexError: the bytes end within it.
    """
    number = body[at]
    if number < 128:
        return number, at + 1
    number &= 127
    for index in range(1, _MAX_BYTES):
        byte = body[at + index]
        number |= (byte & 127) << 7 * index
        if byte < 128:
            if not byte:
                raise ValueError("a varint longer than it need be")
            return number, at + index + 1
    raise ValueError("a varint of more than 63 bits")


def write_varint(number: int) -> bytes:
    """A number from 0 on."""
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def write_field(tag: int, content: bytes) -> bytes:
    """A field whose length stands before it; the tag is one byte."""
    return bytes([tag]) + write_varint(len(content)) + content
