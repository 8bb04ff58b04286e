"""The feeds that a quantizer reads ranges from, and what is wrong with a set of them."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from toolkit.core.model import DEFAULT_SIGNATURE, TracedModel
from toolkit.core.tensors import Array, Feed
from toolkit.errors import UnsupportedError

# TensorFlow's guide to post-training quantization asks for "around 100-500 samples".
ENOUGH = 100
# How far outside of the calibrated range the evaluation data may reach, as a share of that range.
_SLACK = 0.1
# How many times as wide the calibrated range may be: beyond, two of eight bits go to numbers that never come.
_WIDE = 4.0


def calibration_of(traced: TracedModel, signature: str) -> Sequence[Feed]:
    """The feeds for one signature.

    Raises:
        UnsupportedError: the model declares none for it.
    """
    wanted = set(traced.signatures[signature].inputs)
    if not traced.calibration:
        raise UnsupportedError(
            "ranges of whole numbers take calibration data, and the model declares none",
            hint="ModelSpec(..., calibration=lambda: feeds of real data that `evaluate` does not use)",
        )
    if signature != DEFAULT_SIGNATURE or set(traced.calibration[0]) != wanted:
        raise UnsupportedError(
            f"the calibration data does not feed '{signature}'",
            hint="choose a variant that needs none: float16 or dynamic",
        )
    return traced.calibration


def warnings(calibration: Sequence[Feed], evaluated: Sequence[Feed]) -> list[str]:
    """What makes a set a poor one: few feeds, values that never change, a range that is not that of held-out data.

    Args:
        calibration: feeds of any number of rows.
        evaluated: feeds of data that the model is judged by.
    """
    rows = _joined(calibration)
    count = max((len(column) for column in rows.values()), default=0)
    found = [f"calibration has {count} rows; {ENOUGH} or more give steadier ranges"] if count < ENOUGH else []
    held_out = _joined(evaluated)
    for name, column in rows.items():
        found += _constant(name, column)
        if name in held_out:
            found += _elsewhere(name, column, held_out[name])
    return found


def _joined(feeds: Sequence[Feed]) -> Mapping[str, Array]:
    """Input to the rows of all feeds, of those inputs that are floats with a batch."""
    names = [name for name in (feeds[0] if feeds else {}) if np.issubdtype(feeds[0][name].dtype, np.floating)]
    return {name: np.concatenate([np.atleast_1d(feed[name]) for feed in feeds]) for name in names}


def _constant(name: str, column: Array) -> Iterator[str]:
    if column.ndim < 2 or len(column) < 2:
        return
    channels = column.reshape(-1, column.shape[-1]) if column.ndim > 2 else column
    still = int((channels.max(axis=0) == channels.min(axis=0)).sum())
    if still:
        yield f"calibration never changes {still} of {channels.shape[-1]} channels of '{name}'"


def _elsewhere(name: str, column: Array, held_out: Array) -> Iterator[str]:
    low, high = float(column.min()), float(column.max())
    least, most = float(held_out.min()), float(held_out.max())
    outside = max(low - least, most - high)
    tiny = float(np.finfo(np.float32).tiny)
    if outside > _SLACK * max(high - low, tiny) or high - low > _WIDE * max(most - least, tiny):
        yield (f"calibration covers {low:.4g} to {high:.4g} of '{name}', evaluation has {least:.4g} to {most:.4g}")
