"""Requests to the feed of one batch, and its outputs back to each request: joined, padded, divided."""

from collections.abc import Sequence

import numpy as np

from toolkit.core.tensors import Array, Feed, Outputs
from toolkit.wire import batching_wording as words


def split_sizes(rows: int, room: int, limit: int) -> list[int]:
    """How TensorFlow Serving splits a large request: what the open batch has room for, then whole batches, then a rest.

    Args:
        rows: of the request.
        room: rows that the open batch still takes.
        limit: rows that a batch takes.
    """
    sizes = [min(rows, room)] if room else []
    left = rows - sum(sizes)
    sizes += [limit] * (left // limit)
    return [*sizes, left % limit] if left % limit else sizes


def joined(feeds: Sequence[Feed], size: int, *, pad: bool) -> dict[str, Array]:
    """The rows of all feeds under one another, filled up to a size.

    Args:
        feeds: at least one, each with the same inputs.
        size: rows of the result; the last feed's first row stands in for those that are missing, as in the real server.
        pad: whether shorter rows are made as long as the longest (pad_variable_length_inputs).

    Raises:
        ServingError: rows of different shapes; in TensorFlow Serving's words.
    """
    return {name: _column(name, [np.asarray(feed[name]) for feed in feeds], size, pad=pad) for name in feeds[0]}


def divided(outputs: Outputs, padded: int, sizes: Sequence[int]) -> list[dict[str, Array]]:
    """The rows of each request; those that were only filled in are dropped.

    Raises:
        ServingError: an output has not a row for each row of the batch; in TensorFlow Serving's words.
    """
    words.check_outputs(outputs, padded)
    ends = np.cumsum(sizes).tolist()
    return [
        {name: array[end - size : end] for name, array in outputs.items()}
        for size, end in zip(sizes, ends, strict=True)
    ]


def together(parts: Sequence[Outputs]) -> dict[str, Array]:
    """The outputs of a request that was split, whole again.

    Raises:
        ServingError: its parts have outputs of different shapes.
    """
    whole = {}
    for name in parts[0]:
        arrays = [part[name] for part in parts]
        if len({array.shape[1:] for array in arrays}) > 1:
            raise words.parts_differ(name)
        whole[name] = np.concatenate(arrays)
    return whole


def _column(name: str, arrays: list[Array], size: int, *, pad: bool) -> Array:
    shapes = {array.shape[1:] for array in arrays}
    if len(shapes) > 1:
        if not pad or len({len(shape) for shape in shapes}) > 1:
            raise words.shapes_differ(name)
        arrays = _of_one_shape(arrays)
    missing = size - sum(map(len, arrays))
    if missing:
        arrays.append(np.repeat(arrays[-1][:1], missing, axis=0))
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _of_one_shape(arrays: list[Array]) -> list[Array]:
    """Shorter rows filled with each array's first value, as the real server does."""
    largest = tuple(max(sizes) for sizes in zip(*(array.shape[1:] for array in arrays), strict=True))
    return [_widened(array, largest) for array in arrays]


def _widened(array: Array, shape: tuple[int, ...]) -> Array:
    if array.shape[1:] == shape:
        return array
    if not array.size:
        raise words.empty_among_others()
    wide = np.full((len(array), *shape), array.flat[0], dtype=array.dtype)
    wide[tuple(slice(0, size) for size in array.shape)] = array
    return wide
