"""Gives every signature a sampler of flat feeds in the declared dtypes: the author's real data, else seeded noise."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from toolkit.building.blame import first_line, own_frame
from toolkit.building.calling import Call
from toolkit.building.structure import flatten
from toolkit.core.model import ModelSpec
from toolkit.core.tensors import Array, Signature, TensorSpec, as_array, check_feed, sample_feed
from toolkit.errors import CatalogError, FeedError

Sampler = Callable[[int, int], dict[str, Array]]
_ROW_LENGTH = 4  # of made-up ragged rows: 0 to 3 values each


def sampler_of(spec: ModelSpec, signature: str, call: Call) -> Sampler:
    """The sampler of one signature.

    A feed of the author's may hold more than this signature takes, arrays of a wider dtype of the same kind, and
    ragged or sparse tensors, which become their dense parts.
    """
    given = spec.sampler(signature)
    flat = Signature(call.flat_inputs)

    def made_up(batch_size: int, seed: int) -> dict[str, Array]:
        if all(isinstance(part, TensorSpec) for part in call.inputs.values()):
            return sample_feed(flat, batch_size, seed)
        return check_feed(flat, _composite_feed(call, batch_size, seed))

    def real(batch_size: int, seed: int) -> dict[str, Array]:
        assert given is not None
        try:
            feed = given(batch_size, seed)
        except Exception as error:  # runs the author's code
            reason = f"{type(error).__name__}: {first_line(error)}"
            raise CatalogError(
                f"samples of '{spec.name}' failed for batch size {batch_size}: {reason}",
                hint=f"see {own_frame(error)}",
            ) from error
        return _fitted(spec, signature, flat, feed)

    return real if given else made_up


def _fitted(spec: ModelSpec, name: str, signature: Signature, feed: Mapping[str, Any]) -> dict[str, Array]:
    if not isinstance(feed, Mapping):
        raise CatalogError(f"samples of '{spec.name}' give a {type(feed).__name__}", hint="return {input name: array}")
    flat = flatten(feed) if any(key not in feed for key in signature.inputs) else dict(feed)
    try:
        arrays = {key: _cast(flat[key], part) for key, part in signature.inputs.items() if key in flat}
        return check_feed(signature, arrays)
    except FeedError as error:
        raise CatalogError(
            f"samples of '{spec.name}' do not fit signature '{name}': {error.message}", hint=error.hint
        ) from error


def _cast(value: Any, spec: TensorSpec) -> Array:
    array = np.asarray(value.numpy() if hasattr(value, "numpy") else value)
    if spec.dtype == "string":
        return as_array(array, "string")
    # NumPy makes float64 and int64 where nobody asked for them; another kind would be another question.
    return array.astype(spec.numpy_dtype) if np.can_cast(array.dtype, spec.numpy_dtype, "same_kind") else array


def _composite_feed(call: Call, batch_size: int, seed: int) -> dict[str, Array]:
    import tensorflow as tf

    rng = np.random.default_rng(seed)
    feed: dict[str, Array] = {}
    for key, spec in call.inputs.items():
        parts = {name: part for name, part in call.flat_inputs.items() if name == key or name.startswith(f"{key}_")}
        if isinstance(spec, tf.RaggedTensorSpec):
            feed |= _ragged_parts(key, parts, batch_size, rng)
        elif isinstance(spec, tf.SparseTensorSpec):
            feed |= _sparse_parts(key, spec, parts, batch_size, rng)
        else:
            feed |= sample_feed(Signature(parts), batch_size, seed)
    return feed


def _ragged_parts(key: str, parts: Mapping[str, TensorSpec], batch_size: int, rng: Any) -> dict[str, Array]:
    made, rows = {}, batch_size
    for name, part in list(parts.items())[1:]:
        splits = np.concatenate([[0], np.cumsum(rng.integers(0, _ROW_LENGTH, rows))])
        made[name], rows = splits.astype(part.numpy_dtype), int(splits[-1])
    values = f"{key}_values"
    return sample_feed(Signature({values: parts[values]}), rows, int(rng.integers(1 << 30))) | made


def _sparse_parts(key: str, spec: Any, parts: Mapping[str, TensorSpec], batch_size: int, rng: Any) -> dict[str, Array]:
    dims = [(batch_size if at == 0 else 8) if dim is None else dim for at, dim in enumerate(spec.shape.as_list())]
    filled = np.argwhere(rng.random(dims) < 0.5).astype(np.int64)
    values = f"{key}_values"
    feed = sample_feed(Signature({values: parts[values]}), len(filled), int(rng.integers(1 << 30)))
    return feed | {f"{key}_indices": filled, f"{key}_dense_shape": np.asarray(dims, dtype=np.int64)}
