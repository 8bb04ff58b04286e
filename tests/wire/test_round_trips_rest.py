"""Whatever can be said over REST is read as it was written, in both directions."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.wire.strategies import (
    EXAMPLES,
    JSON_DTYPES,
    REGRESSIONS,
    all_same,
    arrays,
    as_text,
    canonical,
    classifications,
    feeds,
    outputs_of_rows,
    same_result,
    signature_of,
    targets,
)
from toolkit.core.tensors import NUMPY_DTYPES, Array
from toolkit.errors import WireError
from toolkit.wire import (
    endpoints,
    rest_examples,
    rest_outputs,
    rest_predict,
)
from toolkit.wire.json_arrays import READABLE
from toolkit.wire.messages import (
    ClassifyResponse,
    Endpoint,
    ExamplesRequest,
    PredictRequest,
    Protocol,
    RegressResponse,
    Target,
)
from toolkit.wire.rest_predict import Layout


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


@given(ADDRESSES, st.sampled_from(Protocol), st.booleans(), targets())
def test_a_url(address: str, protocol: Protocol, tls: bool, target: Target) -> None:
    assume(target.version is None or target.version < 10**18)
    remote = endpoints.Remote(Endpoint(address, protocol, tls=tls), target)
    assert endpoints.parse_url(endpoints.url_of(remote)) == remote
