"""Whatever can be said is read as it was written, over both protocols and in both directions."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from toolkit.core.tensors import NUMPY_DTYPES, Array, Signature, TensorSpec
from toolkit.errors import WireError
from toolkit.wire import (
    configs,
    endpoints,
    protos,
    rest_examples,
    rest_models,
    rest_outputs,
    rest_predict,
    rpc,
    rpc_examples,
    rpc_models,
)
from toolkit.wire.json_arrays import READABLE
from toolkit.wire.messages import (
    ClassifyResponse,
    Endpoint,
    ExamplesRequest,
    Keep,
    MetadataRequest,
    ModelConfig,
    ModelStatus,
    MultiRequest,
    MultiResponse,
    PredictRequest,
    PredictResponse,
    Protocol,
    RegressResponse,
    ReloadRequest,
    State,
    Target,
    Task,
    VersionPolicy,
    VersionStatus,
)
from toolkit.wire.rest_predict import Layout
from toolkit.wire.signatures import ServedSignature, read_signature, write_signature
from toolkit.wire.tensor_proto import decode_tensor, encode_tensor

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


# gRPC


@given(arrays(), st.booleans())
def test_a_tensor(array: Array, content: bool) -> None:
    written = encode_tensor(array, content=content).SerializeToString()
    assert same(array, decode_tensor(protos.parse(protos.TensorProto, written)))


@given(targets(), feeds(), st.lists(NAMES, max_size=2))
def test_a_predict_request(target: Target, feed: dict[str, Array], wanted: list[str]) -> None:
    request = PredictRequest(target, feed, tuple(wanted))
    read = rpc.decode_predict_request(rpc.encode_predict_request(request))
    assert (read.target, read.output_filter) == (request.target, request.output_filter)
    assert all_same(feed, read.feed)


@given(targets(), feeds(), st.booleans())
def test_a_predict_response(target: Target, outputs: dict[str, Array], content: bool) -> None:
    read = rpc.decode_predict_response(rpc.encode_predict_response(PredictResponse(target, outputs), content=content))
    assert read.target == target
    assert all_same(outputs, read.outputs)


@given(targets(), feeds())
def test_a_warm_up_record(target: Target, feed: dict[str, Array]) -> None:
    kind, read = rpc_examples.decode_warmup_record(rpc.encode_warmup_record(PredictRequest(target, feed)))
    assert kind == "predict_log"
    assert isinstance(read, PredictRequest)
    assert read.target == target
    assert all_same(feed, read.feed)


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


@given(targets(), EXAMPLES)
def test_a_request_for_examples(target: Target, sent: tuple[bytes, ...]) -> None:
    request = ExamplesRequest(target, sent)
    for encode, decode in (
        (rpc_examples.encode_classify_request, rpc_examples.decode_classify_request),
        (rpc_examples.encode_regress_request, rpc_examples.decode_regress_request),
    ):
        read = decode(encode(request))
        assert read.target == target
        assert canonical(read.examples) == canonical(sent)


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


@given(classifications())
def test_a_classification(sent: ClassifyResponse) -> None:
    read = rpc_examples.decode_classify_response(rpc_examples.encode_classify_response(sent))
    assert read.target == sent.target
    assert same_result(sent, read)


@given(REGRESSIONS)
def test_a_regression(sent: RegressResponse) -> None:
    read = rpc_examples.decode_regress_response(rpc_examples.encode_regress_response(sent))
    assert read.target == sent.target
    assert same_result(sent, read)


@given(st.lists(st.builds(Task, targets(), NAMES), max_size=3).map(tuple), EXAMPLES)
def test_a_request_for_several_signatures(tasks: tuple[Task, ...], sent: tuple[bytes, ...]) -> None:
    read = rpc_examples.decode_multi_request(rpc_examples.encode_multi_request(MultiRequest(tasks, sent)))
    assert read.tasks == tasks
    assert canonical(read.examples) == canonical(sent)


@given(st.lists(classifications() | REGRESSIONS, max_size=3).map(tuple))
def test_an_answer_for_several_signatures(results: tuple[ClassifyResponse | RegressResponse, ...]) -> None:
    read = rpc_examples.decode_multi_response(rpc_examples.encode_multi_response(MultiResponse(results)))
    assert len(read.results) == len(results)
    assert all(map(same_result, results, read.results))


STATUSES = st.builds(
    ModelStatus,
    st.lists(
        st.builds(VersionStatus, VERSIONS, st.sampled_from(State), st.integers(0, 16), st.text(max_size=9)), max_size=3
    ).map(tuple),
)


@given(STATUSES)
def test_a_status_over_both_protocols(status: ModelStatus) -> None:
    assert rpc_models.decode_status_response(rpc_models.encode_status_response(status)) == status
    assert rest_models.decode_status_response(rest_models.encode_status_response(status)) == status


@given(targets(), st.lists(NAMES, max_size=2).map(tuple))
def test_requests_about_a_model(target: Target, fields: tuple[str, ...]) -> None:
    request = MetadataRequest(target, fields)
    assert rpc_models.decode_metadata_request(rpc_models.encode_metadata_request(request)) == request
    assert rpc_models.decode_status_request(rpc_models.encode_status_request(target)) == target


@st.composite
def signatures(draw: st.DrawFn) -> ServedSignature:
    dims = st.none() | st.lists(st.none() | st.integers(0, 2**40), max_size=3).map(tuple)
    specs = st.builds(TensorSpec, st.sampled_from(sorted(NUMPY_DTYPES)), dims)
    tensors = st.dictionaries(NAMES, specs, max_size=3)
    method = draw(st.sampled_from(["predict", "classify", "regress"]))
    return write_signature("s", Signature(draw(tensors), draw(tensors), method))


@given(st.dictionaries(NAMES, signatures(), max_size=3), NAMES, VERSIONS)
def test_metadata_over_both_protocols(found: dict[str, ServedSignature], model: str, version: int) -> None:
    found = {name: read_signature(name, signature.proto) for name, signature in found.items()}
    target = Target(model, version)
    assert rpc_models.decode_metadata_response(rpc_models.encode_metadata_response(target, found)) == (target, found)
    assert rest_models.decode_metadata_response(rest_models.encode_metadata_response(target, found)) == (target, found)


@given(signatures())
def test_a_signature_of_ours_is_served_as_it_is(signature: ServedSignature) -> None:
    assert write_signature("s", signature.as_signature()).as_signature() == signature.as_signature()


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


@given(st.none() | MODELS, st.lists(NAMES, max_size=2).map(tuple))
def test_a_list_of_models_as_a_request_and_as_a_file(
    models: tuple[ModelConfig, ...] | None, metrics: tuple[str, ...]
) -> None:
    request = ReloadRequest(models, metrics)
    assert rpc_models.decode_reload_request(rpc_models.encode_reload_request(request)) == request
    if models is not None:
        assert configs.read_config_text(configs.write_config_text(models)) == models


# REST


@given(targets(), feeds(JSON_DTYPES))
def test_a_predict_body(target: Target, feed: dict[str, Array]) -> None:
    assume(all(0 not in array.shape[:-1] for array in feed.values()))  # JSON ends at the first empty list
    signature = signature_of(feed)
    body = rest_predict.encode_predict_request(PredictRequest(target, feed))
    read = rest_predict.decode_predict_request(target, body)
    assert read.target == target
    request, layout = read.bind({target.signature_name: signature})
    assert layout is Layout.COLUMNS
    assert all_same(feed, request.feed)


@given(st.sampled_from(sorted(NUMPY_DTYPES.keys() - READABLE)))
def test_a_dtype_that_json_cannot_carry_is_refused_before_it_is_sent(dtype: str) -> None:
    request = PredictRequest(Target("m"), {"x": np.zeros(1, NUMPY_DTYPES[dtype])})
    with pytest.raises(WireError, match="JSON cannot carry"):
        rest_predict.encode_predict_request(request)


TEXTS = st.text(st.characters(codec="utf-8"), max_size=6).map(str.encode)


@st.composite
def outputs_of_rows(draw: st.DrawFn) -> dict[str, Array]:
    count = draw(st.integers(1, 3))
    shapes = hnp.array_shapes(min_dims=0, max_dims=2, min_side=1, max_side=3).map(lambda shape: (count, *shape))
    return draw(st.dictionaries(NAMES, arrays(JSON_DTYPES, shapes), min_size=1, max_size=3))


def as_text(outputs: dict[str, Array]) -> dict[str, Array]:
    """The same under names that make the server write text; bytes stay bytes only under a name in _bytes."""
    return {(name if array.dtype != object else f"{name}_bytes"): array for name, array in outputs.items()}


@given(outputs_of_rows(), st.sampled_from(Layout))
def test_outputs_in_rows_and_in_columns(outputs: dict[str, Array], layout: Layout) -> None:
    outputs = as_text(outputs)
    body = rest_outputs.encode_predict_response(outputs, layout)
    read = rest_outputs.decode_predict_response(Target("m"), signature_of({}, outputs), body)
    assert all_same(outputs, read.outputs)


@given(arrays(("string",)))
def test_text_that_is_no_utf_8_passes_through_as_it_is(array: Array) -> None:
    assume(0 not in array.shape[:-1])
    outputs = {"y": array}
    body = rest_outputs.encode_predict_response(outputs, Layout.COLUMNS)
    assert all_same(outputs, rest_outputs.decode_predict_response(Target("m"), signature_of({}, outputs), body).outputs)


@given(targets(), EXAMPLES)
def test_a_body_of_examples(target: Target, sent: tuple[bytes, ...]) -> None:
    read = rest_examples.decode_examples_request(
        target, rest_examples.encode_examples_request(ExamplesRequest(target, sent))
    )
    assert read.target == target
    without_empty = [
        {name: feature for name, feature in example.features.feature.items() if feature.WhichOneof("kind")}
        for example in canonical(sent)
    ]
    with_kind = [
        {name: feature for name, feature in example.features.feature.items() if feature.WhichOneof("kind")}
        for example in canonical(read.examples)
    ]
    assert with_kind == [
        {name: feature for name, feature in example.items() if getattr(feature, feature.WhichOneof("kind")).value}
        for example in without_empty
    ]


@given(classifications(), REGRESSIONS)
def test_results_over_rest(classified: ClassifyResponse, regressed: RegressResponse) -> None:
    body = rest_examples.encode_classify_response(classified)
    assert same_result(classified, rest_examples.decode_classify_response(classified.target, body))
    body = rest_examples.encode_regress_response(regressed)
    assert same_result(regressed, rest_examples.decode_regress_response(regressed.target, body))


ADDRESSES = st.sampled_from(["localhost:8500", "10.0.0.1:1", "[::1]:8501", "a-b.c:65535"])
URL_NAMES = NAMES.filter(lambda name: name not in (".", ".."))


@given(ADDRESSES, st.sampled_from(Protocol), st.booleans(), targets())
def test_a_url(address: str, protocol: Protocol, tls: bool, target: Target) -> None:
    assume(target.version is None or target.version < 10**18)
    remote = endpoints.Remote(Endpoint(address, protocol, tls=tls), target)
    assert endpoints.parse_url(endpoints.url_of(remote)) == remote
