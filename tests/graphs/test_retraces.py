"""The cause of each trace, also where two arguments changed and one of them is to blame."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from toolkit.graphs.retraces import Cause, Kind, causes, context_now, known_traces, tracing_time, types_of

Calls = list[tuple[tuple[Any, ...], dict[str, Any]]]


def causes_of(function: Callable[..., Any], calls: Calls, **options: Any) -> list[list[Cause] | None]:
    """For each call the causes of the trace that it made, or None where it made none."""
    traced, found = tf.function(function, **options), list[list[Cause] | None]()
    for args, kwargs in calls:
        before, types = known_traces(traced), types_of(traced, args, kwargs)
        why = causes(types, context_now(), before)
        traced(*args, **kwargs)
        found.append(why if len(known_traces(traced)) > len(before) else None)
    return found


def scaled(x: Any, n: Any = 2) -> Any:
    return x * tf.cast(n, x.dtype)


def ones(*shape: int, dtype: Any = tf.float32) -> Any:
    return tf.ones(shape, dtype)


@pytest.mark.parametrize(
    ("second", "cause"),
    [
        (((ones(3),), {}), Cause("x", Kind.SHAPE, "float32[2]", "float32[3]")),
        (((ones(2, 1),), {}), Cause("x", Kind.SHAPE, "float32[2]", "float32[2, 1]")),
        (((ones(2, dtype=tf.float64),), {}), Cause("x", Kind.DTYPE, "float32[2]", "float64[2]")),
        (((ones(2),), {"n": 3}), Cause("n", Kind.VALUE, "Python int 2", "Python int 3")),
        (((ones(2), 3), {}), Cause("n", Kind.VALUE, "Python int 2", "Python int 3")),
        (((ones(2),), {"n": 2.5}), Cause("n", Kind.VALUE, "Python int 2", "Python float 2.5")),
        (((ones(2),), {"n": tf.constant(2)}), Cause("n", Kind.STRUCTURE, "Python int 2", "int32[]")),
    ],
)
def test_one_argument_that_changed_is_the_cause(second: tuple[Any, Any], cause: Cause) -> None:
    assert causes_of(scaled, [((ones(2),), {}), second]) == [[], [cause]]


@pytest.mark.parametrize(
    "second", [((ones(2),), {}), ((np.ones(2, np.float32),), {}), ((tf.zeros(2), 2), {}), ((ones(2),), {"n": 2.0})]
)
def test_what_an_earlier_trace_covers_makes_none(second: tuple[Any, Any]) -> None:
    assert causes_of(scaled, [((ones(2),), {}), second])[1] is None


def test_of_two_that_changed_only_the_one_no_trace_covers_is_to_blame() -> None:
    calls: Calls = [((ones(2),), {"n": 2}), ((ones(3),), {"n": 2}), ((ones(2),), {"n": 5})]
    # Since the call before, the shape changed too; but a trace for that shape is there.
    assert causes_of(scaled, calls)[2] == [Cause("n", Kind.VALUE, "Python int 2", "Python int 5")]


def test_both_are_to_blame_where_no_trace_covers_either() -> None:
    found = causes_of(scaled, [((ones(2),), {"n": 2}), ((ones(3),), {"n": 3})])[1]
    assert found is not None
    assert {cause.argument for cause in found} == {"x", "n"}


def test_an_open_shape_is_never_to_blame() -> None:
    calls: Calls = [((ones(2),), {"n": 2}), ((ones(3),), {"n": 2}), ((ones(4),), {"n": 2}), ((ones(5),), {"n": 3})]
    found = causes_of(scaled, calls, reduce_retracing=True)
    assert found[2] is None
    assert found[3] == [Cause("n", Kind.VALUE, "Python int 2", "Python int 3")]


def test_the_place_inside_a_structure_is_named() -> None:
    def first(x: Any) -> Any:
        return tf.nest.flatten(x)[0]

    calls: Calls = [
        (({"a": ones(2), "b": [ones(1)]},), {}),
        (({"a": ones(2), "b": [ones(4)]},), {}),
        (({"a": ones(2), "b": [ones(1), ones(1)]},), {}),
        (({"a": ones(2)},), {}),
    ]
    assert causes_of(first, calls)[1:] == [
        [Cause("x['b'][0]", Kind.SHAPE, "float32[1]", "float32[4]")],
        [Cause("x['b']", Kind.STRUCTURE, "1 elements", "2 elements")],
        [Cause("x", Kind.STRUCTURE, "a, b", "a")],
    ]


def test_another_object_and_another_graph_are_causes() -> None:
    class Holder:
        pass

    first, second = Holder(), Holder()
    found = causes_of(lambda holder: tf.constant(1.0), [((first,), {}), ((second,), {})])[1]
    assert found is not None
    assert [cause.kind for cause in found] == [Kind.OBJECT]
    traced = tf.function(scaled)
    traced(ones(2))
    with tf.Graph().as_default():
        types = types_of(traced, (ones(2),), {})
        found = causes(types, context_now(), known_traces(traced))
    assert Kind.CONTEXT in {cause.kind for cause in found}


def test_the_time_of_tracing_is_that_of_building_graphs_alone() -> None:
    traced = tf.function(scaled)
    with tracing_time() as first:
        traced(ones(2))
    with tracing_time() as again:
        traced(ones(2))
    assert first[0] > 0
    assert again == [0.0]
