"""Einsum as transpositions and matrix products, which every runtime has and runs faster."""

from collections.abc import Sequence
from typing import Any

from toolkit.formats.rewrites.replacing import replacing
from toolkit.formats.rewrites.retrace import Replacement, Step

# Labels for the dimensions that an ellipsis stands for; an equation has letters only.
_ELLIPSIS = "0123456789"


def _einsum(step: Step) -> Sequence[Any] | None:
    equation = step.attr("equation").decode().replace(" ", "")
    if any(operand.shape.rank is None for operand in step.inputs):
        return None
    terms, result = _spelled_out(equation, [operand.shape.rank for operand in step.inputs])
    # A dimension of an ellipsis may be broadcast, which a product of matrices does not do.
    if any(letter in _ELLIPSIS for term in terms[1:] for letter in term) and len({*_batches(terms)}) > 1:
        return None
    operands = [_without_repeats(operand, term) for operand, term in zip(step.inputs, terms, strict=True)]
    tensor, term = operands[0]
    for at, (other, other_term) in enumerate(operands[1:], 1):
        later = result + "".join(rest for _, rest in operands[at + 1 :])
        tensor, term = _product((tensor, term), (other, other_term), later)
    tensor, term = _summed(tensor, term, result)
    return [_ordered(tensor, term, result)]


def _batches(terms: Sequence[str]) -> list[str]:
    return ["".join(letter for letter in term if letter in _ELLIPSIS) for term in terms]


def _spelled_out(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    left, _, result = equation.partition("->")
    terms = []
    widest = 0
    for term, rank in zip(left.split(","), ranks, strict=True):
        count = rank - len(term.replace("...", ""))
        widest = max(widest, count)
        terms.append(term.replace("...", _ELLIPSIS[:count][::-1]))
    return terms, result.replace("...", _ELLIPSIS[:widest][::-1])


def _without_repeats(tensor: Any, term: str) -> tuple[Any, str]:
    """The diagonal over each label that a term has twice."""
    import tensorflow as tf

    for label in dict.fromkeys(term):
        while term.count(label) > 1:
            first = term.index(label)
            second = term.index(label, first + 1)
            order = [at for at in range(len(term)) if at not in (first, second)] + [first, second]
            tensor = tf.transpose(tensor, order)
            size = tensor.shape[-1] if tensor.shape[-1] is not None else tf.shape(tensor)[-1]
            same = tf.equal(tf.range(size)[:, None], tf.range(size)[None, :])
            tensor = tf.reduce_sum(tf.where(same, tensor, tf.zeros_like(tensor)), -1)
            term = "".join(term[at] for at in order[:-1])
    return tensor, term


def _summed(tensor: Any, term: str, kept: str) -> tuple[Any, str]:
    import tensorflow as tf

    axes = [at for at, label in enumerate(term) if label not in kept]
    if axes:
        tensor = tf.reduce_sum(tensor, axes)
    return tensor, "".join(label for label in term if label in kept)


def _product(one: tuple[Any, str], other: tuple[Any, str], later: str) -> tuple[Any, str]:
    """The contraction of two operands over the labels that nothing later needs."""
    import tensorflow as tf

    left, left_term = _summed(*one, other[1] + later)
    right, right_term = _summed(*other, left_term + later)
    shared = [label for label in left_term if label in right_term]
    batch = "".join(label for label in shared if label in later)
    inner = "".join(label for label in shared if label not in later)
    rows = "".join(label for label in left_term if label not in shared)
    columns = "".join(label for label in right_term if label not in shared)
    sizes = _sizes(left, left_term) | _sizes(right, right_term)
    left = _matrices(_ordered(left, left_term, batch + rows + inner), sizes, batch, rows, inner)
    right = _matrices(_ordered(right, right_term, batch + inner + columns), sizes, batch, inner, columns)
    made = batch + rows + columns
    return tf.reshape(left @ right, [sizes[label] for label in made]), made


def _sizes(tensor: Any, term: str) -> dict[str, Any]:
    import tensorflow as tf

    dims = tensor.shape.as_list()
    return {label: tf.shape(tensor)[at] if dims[at] is None else dims[at] for at, label in enumerate(term)}


def _matrices(tensor: Any, sizes: dict[str, Any], batch: str, rows: str, columns: str) -> Any:
    import tensorflow as tf

    shape = [sizes[label] for label in batch] + [_volume(sizes, rows), _volume(sizes, columns)]
    return tf.reshape(tensor, shape)


def _volume(sizes: dict[str, Any], labels: str) -> Any:
    volume = 1
    for label in labels:
        volume = volume * sizes[label]
    return volume


def _ordered(tensor: Any, term: str, wanted: str) -> Any:
    import tensorflow as tf

    order = [term.index(label) for label in wanted]
    return tensor if order == list(range(len(order))) else tf.transpose(tensor, order)


TABLE: dict[str, Replacement] = {"Einsum": _einsum}
REWRITE = replacing("einsum", ("tflite", "onnx"), TABLE, "matrix products")
