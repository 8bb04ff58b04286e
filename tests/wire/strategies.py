"""Everything that can be said on the wire, for property tests, and when two of it are the same."""

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from toolkit.core.tensors import NUMPY_DTYPES, Array, Signature, TensorSpec
from toolkit.wire import (
    protos,
)
from toolkit.wire.json_arrays import READABLE
from toolkit.wire.messages import (
    ClassifyResponse,
    Keep,
    ModelConfig,
    ModelStatus,
    RegressResponse,
    State,
    Target,
    VersionPolicy,
    VersionStatus,
)
from toolkit.wire.signatures import ServedSignature, write_signature

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
VERSIONS = st.integers(0, 2**63 - 1)
JSON_DTYPES = tuple(sorted(READABLE))


@st.composite
def arrays(
    draw: st.DrawFn, dtypes: tuple[str, ...] = tuple(NUMPY_DTYPES), shapes: st.SearchStrategy[Any] = SHAPES
) -> Array:
    dtype, shape = draw(st.sampled_from(dtypes)), draw(shapes)
    if dtype == "string":
        size = int(np.prod(shape))
        array = np.empty(size, object)
        array[:] = draw(st.lists(st.binary(max_size=8), min_size=size, max_size=size))
        return array.reshape(shape)
    if dtype == "bfloat16":
        return draw(hnp.arrays(np.uint16, shape)).view(NUMPY_DTYPES[dtype])
    return draw(hnp.arrays(NUMPY_DTYPES[dtype], shape))


@st.composite
def targets(draw: st.DrawFn) -> Target:
    choice = draw(st.sampled_from(["latest", "version", "label"]))
    return Target(
        draw(NAMES),
        draw(VERSIONS) if choice == "version" else None,
        draw(NAMES) if choice == "label" else None,
        draw(st.just("") | NAMES),
    )


def feeds(dtypes: tuple[str, ...] = tuple(NUMPY_DTYPES)) -> st.SearchStrategy[dict[str, Array]]:
    return st.dictionaries(NAMES, arrays(dtypes), min_size=1, max_size=3)


def same(expected: Array, actual: Array) -> bool:
    """Equal in dtype, shape and value, where a NaN is like any other and -0.0 is not 0.0."""
    if expected.dtype != actual.dtype or expected.shape != actual.shape:
        return False
    if expected.dtype == object:
        return bool(expected.tolist() == actual.tolist())
    if expected.dtype.kind == "c":
        return same(expected.real, actual.real) and same(expected.imag, actual.imag)
    if expected.dtype.kind in "fV":
        one, other = (
            np.nan_to_num(array.astype(np.float64), nan=7.5, posinf=np.inf, neginf=-np.inf)
            for array in (expected, actual)
        )
        return bool(np.array_equal(one, other) and np.array_equal(np.signbit(one), np.signbit(other)))
    return bool(np.array_equal(expected, actual))


def all_same(expected: dict[str, Array], actual: Any) -> bool:
    return expected.keys() == set(actual) and all(same(array, actual[name]) for name, array in expected.items())


def signature_of(inputs: dict[str, Array], outputs: dict[str, Array] | None = None) -> ServedSignature:
    """A signature that these arrays fit, with every dimension open."""

    def spec(array: Array) -> TensorSpec:
        return TensorSpec("string" if array.dtype == object else array.dtype.name, (None,) * array.ndim)

    made = Signature(
        {name: spec(array) for name, array in inputs.items()},
        {name: spec(array) for name, array in (outputs or {}).items()},
    )
    return write_signature("serving_default", made)


FEATURES = st.one_of(
    st.lists(st.binary(max_size=5), max_size=3),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
    st.lists(st.floats(width=32, allow_nan=False), max_size=3),
)


@st.composite
def examples(draw: st.DrawFn) -> bytes:
    proto = protos.Example()
    for name, values in draw(st.dictionaries(NAMES, FEATURES, max_size=3)).items():
        feature = proto.features.feature[name]
        kinds = {bytes: feature.bytes_list, int: feature.int64_list, float: feature.float_list}
        for value in values:
            kinds[type(value)].value.append(value)
    return bytes(proto.SerializeToString(deterministic=True))


EXAMPLES = st.lists(examples(), min_size=1, max_size=3).map(tuple)


def canonical(found: tuple[bytes, ...]) -> list[Any]:
    return [protos.parse(protos.Example, example) for example in found]


@st.composite
def classifications(draw: st.DrawFn) -> ClassifyResponse:
    shape = draw(st.tuples(st.integers(1, 3), st.integers(0, 3)))
    labels = np.empty(shape, object)
    for place in np.ndindex(*shape):
        labels[place] = draw(st.text(max_size=5)).encode("utf-8", "replace")
    return ClassifyResponse(draw(targets()), labels, draw(hnp.arrays(np.float32, shape)))


REGRESSIONS = st.builds(RegressResponse, targets(), hnp.arrays(np.float32, st.integers(1, 4)))


def same_result(expected: ClassifyResponse | RegressResponse, actual: ClassifyResponse | RegressResponse) -> bool:
    if isinstance(expected, RegressResponse):
        return isinstance(actual, RegressResponse) and same(expected.values, actual.values)
    assert isinstance(actual, ClassifyResponse)
    assert expected.scores is not None
    assert expected.labels is not None
    assert actual.scores is not None
    assert actual.labels is not None
    return same(expected.labels, actual.labels) and same(expected.scores, actual.scores)


STATUSES = st.builds(
    ModelStatus,
    st.lists(
        st.builds(VersionStatus, VERSIONS, st.sampled_from(State), st.integers(0, 16), st.text(max_size=9)), max_size=3
    ).map(tuple),
)


@st.composite
def signatures(draw: st.DrawFn) -> ServedSignature:
    dims = st.none() | st.lists(st.none() | st.integers(0, 2**40), max_size=3).map(tuple)
    specs = st.builds(TensorSpec, st.sampled_from(sorted(NUMPY_DTYPES)), dims)
    tensors = st.dictionaries(NAMES, specs, max_size=3)
    method = draw(st.sampled_from(["predict", "classify", "regress"]))
    return write_signature("s", Signature(draw(tensors), draw(tensors), method))


POLICIES = st.one_of(
    st.just(VersionPolicy(Keep.ALL)),
    st.builds(VersionPolicy, st.just(Keep.LATEST), st.integers(1, 9)),
    st.builds(VersionPolicy, st.just(Keep.SPECIFIC), st.just(1), st.lists(VERSIONS, max_size=3).map(tuple)),
)
MODELS = st.lists(
    st.builds(
        ModelConfig,
        NAMES,
        NAMES,
        st.sampled_from(["tensorflow", "", "other"]),
        st.integers(0, 2),
        POLICIES,
        st.dictionaries(NAMES, VERSIONS, max_size=2),
    ),
    max_size=3,
).map(tuple)


@st.composite
def outputs_of_rows(draw: st.DrawFn) -> dict[str, Array]:
    count = draw(st.integers(1, 3))
    shapes = hnp.array_shapes(min_dims=0, max_dims=2, min_side=1, max_side=3).map(lambda shape: (count, *shape))
    return draw(st.dictionaries(NAMES, arrays(JSON_DTYPES, shapes), min_size=1, max_size=3))


def as_text(outputs: dict[str, Array]) -> dict[str, Array]:
    """The same under names that make the server write text; bytes stay bytes only under a name in _bytes."""
    return {(name if array.dtype != object else f"{name}_bytes"): array for name, array in outputs.items()}
