"""What TensorFlow Serving's batching says of feeds, outputs and parameters that it cannot use."""

from collections.abc import Sequence

from toolkit.core.tensors import Feed, Outputs
from toolkit.errors import Fault, ServingError
from toolkit.wire import lifecycle_wording, wording

too_large = wording.batch_too_large


def rows_of(feed: Feed) -> int:
    """How many rows a feed asks for.

    Raises:
        ServingError: there is no input, a scalar one, or inputs with different numbers of rows.
    """
    if not feed:
        raise wording.batch_without_input()
    if any(array.ndim == 0 for array in feed.values()):
        raise wording.batch_without_dimension()
    sizes = {array.shape[0] for array in feed.values()}
    if len(sizes) > 1:
        raise wording.batch_sizes_differ()
    return int(sizes.pop())


def check_outputs(outputs: Outputs, size: int) -> None:
    """Refuses outputs that cannot be split into rows."""
    for array in outputs.values():
        if array.ndim == 0:
            raise _precondition("Batched output tensor has 0 dimensions")
        if array.shape[0] != size:
            raise _precondition(
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes "
                "of the input tensors"
            )


def queue_full(waiting: int, maximum: int) -> ServingError:
    """The batches of this signature that may wait are all there."""
    return _full(f"currently {waiting} batches enqueued and max_enqueued_batches is {maximum}")


def no_capacity(rows: int, capacity: int) -> ServingError:
    """A request that would be split does not fit into the batches that may wait."""
    return _full(f"task size is {rows} but scheduling capacity is only {capacity}")


def _full(why: str) -> ServingError:
    return wording.RefusedEarlyError(
        f"The batch scheduling queue to which this task was submitted is full; {why}",
        hint="try again, or raise max_enqueued_batches",
        fault=Fault.UNAVAILABLE,
        reason="batch queue full",
    )


def stopped() -> ServingError:
    """A request that comes after the last batch; ours."""
    return ServingError("the server stops", hint="ask another one", fault=Fault.UNAVAILABLE)


def shapes_differ(name: str) -> ServingError:
    """Rows of different shapes in one batch."""
    return _precondition(
        f"Tensors with name '{name}' from different tasks have different shapes and padding is turned off. "
        "Set pad_variable_length_inputs to true, or ensure that all tensors with the same name have equal dimensions "
        "starting with the first dim."
    )


def empty_among_others() -> ServingError:
    """Rows without a value, which cannot be made longer by repeating it."""
    return ServingError(
        "Got empty tensor in batch of non-empty tensors.", hint="send at least one value", fault=Fault.INVALID
    )


def parts_differ(name: str) -> ServingError:
    """The parts of a split request have outputs that do not fit together; ours."""
    return _precondition(f"Output '{name}' has different shapes in the batches that one request was split into")


def check_execution_size(max_execution_batch_size: int, max_batch_size: int) -> None:
    """Refuses sizes of batches that a split request cannot go into.

    Raises:
        ServingError: in TensorFlow Serving's words where it has any.
    """
    if max_execution_batch_size < 1:
        raise _invalid(f"max_execution_batch_size must be positive; was {max_execution_batch_size}")
    if max_execution_batch_size > max_batch_size:
        raise _invalid(
            "When enable_large_batch_splitting is true, input_batch_size_limit must be greater than or equal to "
            f"max_execution_batch_size; they are {max_batch_size} and {max_execution_batch_size}"
        )


def check_parameters(
    max_batch_size: int, timeout_micros: int, max_enqueued: int, threads: int, allowed: Sequence[int]
) -> None:
    """Refuses parameters that make no sense, before a model is loaded.

    Raises:
        ServingError: in TensorFlow Serving's words where it has any; it crashes on a bad size or timeout.
    """
    if threads < 1:
        raise lifecycle_wording.batch_threads_not_positive(threads)
    if max_batch_size < 1:
        raise _invalid(f"max_batch_size must be positive; was {max_batch_size}")
    if timeout_micros < 0:
        raise _invalid(f"batch_timeout_micros must be non-negative; was {timeout_micros}")
    if max_enqueued < 1:
        raise _invalid(f"max_enqueued_batches must be positive; was {max_enqueued}")
    if not allowed:
        return
    if list(allowed) != sorted(set(allowed)) or allowed[0] < 1:
        raise _invalid("allowed_batch_sizes entries must be monotonically increasing")
    if allowed[-1] != max_batch_size:
        raise lifecycle_wording.last_batch_size_wrong(allowed[-1], max_batch_size)


def _invalid(message: str) -> ServingError:
    return ServingError(message, hint="mend the batching parameters file", fault=Fault.INVALID)


def _precondition(message: str) -> ServingError:
    return ServingError(message, hint="serve this model without batching", fault=Fault.PRECONDITION)
