"""Makes the feed of any batch size from a bundle's golden cases, so that every path is timed on the same real data."""

from collections.abc import Sequence

import numpy as np

from toolkit.core.golden import Case
from toolkit.core.tensors import Array, Signature
from toolkit.errors import BenchError
from toolkit.verifying.parity import AGAIN, batch_size


def feed_of(cases: Sequence[Case], signature: Signature, wanted: int) -> dict[str, Array]:
    """The golden feed with so many rows; another number of rows repeats those of the largest one.

    Raises:
        BenchError: rows cannot be repeated, since inputs differ in length; or the inputs have no rows.
    """
    sizes = {batch_size(signature, case.feed): case for case in cases if not case.name.endswith(AGAIN)}
    if wanted in sizes:
        return dict(sizes[wanted].feed)
    rows = [size for size in sizes if size is not None]
    if not rows:
        if wanted == 1:
            return dict(next(iter(sizes.values())).feed)
        raise BenchError("its inputs have no open batch dimension", hint="measure it with --batch 1")
    largest = sizes[max(rows)].feed
    lengths = {largest[name].shape[0] for name, spec in signature.inputs.items() if spec.batched}
    if len(lengths) > 1:
        raise BenchError(
            f"its inputs differ in length, so no batch of {wanted} can be made of another",
            hint=f"declare ModelSpec(batch_sizes=({wanted},)) and build again",
        )
    at = np.arange(wanted) % lengths.pop()
    return {name: largest[name][at] if spec.batched else largest[name] for name, spec in signature.inputs.items()}
