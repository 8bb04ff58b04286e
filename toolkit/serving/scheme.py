"""How requests are gathered into batches: a parameters file with every default filled in."""

import os
from dataclasses import dataclass

from toolkit.wire import batching_wording as words
from toolkit.wire.settings import BatchingParameters

# tensorflow/core/kernels/batching_util/shared_batch_scheduler.h: what counts where the file says nothing.
DEFAULT_MAX_BATCH_SIZE = 1000
DEFAULT_MAX_ENQUEUED_BATCHES = 10


@dataclass(frozen=True)
class Scheme:
    """Batching parameters with every default filled in, found to make sense.

    Args:
        max_request_rows: rows of the largest request.
        max_batch_rows: rows of the largest batch; fewer than those of a request only where requests are split.
        timeout_s: how long the first request of a batch waits for company.
        max_enqueued: batches that may wait, the open one included.
        splits: whether a request may go into several batches.
    """

    max_request_rows: int
    max_batch_rows: int
    timeout_s: float
    max_enqueued: int
    threads: int
    allowed_sizes: tuple[int, ...]
    pad_inputs: bool
    splits: bool

    @classmethod
    def of(cls, given: BatchingParameters) -> "Scheme":
        """The scheme of a parameters file.

        Raises:
            ServingError: a value makes no sense; the real server crashes on some of these.
        """
        rows = DEFAULT_MAX_BATCH_SIZE if given.max_batch_size is None else given.max_batch_size
        splits = bool(given.enable_large_batch_splitting)
        batch = given.max_execution_batch_size if splits and given.max_execution_batch_size is not None else rows
        queued = DEFAULT_MAX_ENQUEUED_BATCHES if given.max_enqueued_batches is None else given.max_enqueued_batches
        if not queued and not splits:
            queued = 1  # the real server takes 0 so, for old configurations
        timeout_micros = given.batch_timeout_micros or 0
        threads = (os.cpu_count() or 1) if given.num_batch_threads is None else given.num_batch_threads
        words.check_parameters(rows, timeout_micros, queued, threads, given.allowed_batch_sizes)
        if splits:
            words.check_execution_size(batch, rows)
        sizes, pad = given.allowed_batch_sizes, given.pad_variable_length_inputs
        return cls(rows, batch, timeout_micros / 1e6, queued, threads, sizes, pad, splits)

    def padded(self, rows: int) -> int:
        """The size that a batch of so many rows is padded to."""
        return next((size for size in self.allowed_sizes if size >= rows), rows)
