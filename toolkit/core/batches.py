"""Cuts feeds into batches of one size, for what takes no other, and puts the answers together again."""

from collections.abc import Iterator, Sequence

import numpy as np

from toolkit.core.tensors import Feed, Outputs, Signature


def cut(signature: Signature, feed: Feed, size: int) -> Iterator[Feed]:
    """Batches of `size` rows; the last one is filled up with rows from the first on.

    Args:
        signature: says which inputs have a row for each of a batch; all others are in every batch as they are.
        feed: of any number of rows but none.
        size: rows of a batch.
    """
    batched = [name for name, spec in signature.inputs.items() if spec.batched and name in feed]
    rows = feed[batched[0]].shape[0] if batched else 1
    for start in range(0, rows, size):
        chosen = np.arange(start, start + size) % rows
        yield {name: array[chosen] if name in batched else array for name, array in feed.items()}


def joined(answers: Sequence[Outputs], rows: int) -> Outputs:
    """The rows of all batches, without those that filled up the last one; every output has a row for each."""
    return {name: np.concatenate([outputs[name] for outputs in answers])[:rows] for name in answers[0]}
