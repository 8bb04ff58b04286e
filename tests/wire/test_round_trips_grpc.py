"""Whatever can be said over gRPC is read as it was written, in both directions."""

from hypothesis import given
from hypothesis import strategies as st

from tests.wire.strategies import (
    EXAMPLES,
    MODELS,
    NAMES,
    REGRESSIONS,
    STATUSES,
    VERSIONS,
    all_same,
    arrays,
    canonical,
    classifications,
    feeds,
    same,
    same_result,
    signatures,
    targets,
)
from toolkit.core.tensors import Array
from toolkit.wire import (
    configs,
    protos,
    rest_models,
    rpc,
    rpc_examples,
    rpc_models,
)
from toolkit.wire.messages import (
    ClassifyResponse,
    ExamplesRequest,
    MetadataRequest,
    ModelConfig,
    ModelStatus,
    MultiRequest,
    MultiResponse,
    PredictRequest,
    PredictResponse,
    RegressResponse,
    ReloadRequest,
    Target,
    Task,
)
from toolkit.wire.signatures import ServedSignature, read_signature, write_signature
from toolkit.wire.tensor_proto import decode_tensor, encode_tensor


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


@given(STATUSES)
def test_a_status_over_both_protocols(status: ModelStatus) -> None:
    assert rpc_models.decode_status_response(rpc_models.encode_status_response(status)) == status
    assert rest_models.decode_status_response(rest_models.encode_status_response(status)) == status


@given(targets(), st.lists(NAMES, max_size=2).map(tuple))
def test_requests_about_a_model(target: Target, fields: tuple[str, ...]) -> None:
    request = MetadataRequest(target, fields)
    assert rpc_models.decode_metadata_request(rpc_models.encode_metadata_request(request)) == request
    assert rpc_models.decode_status_request(rpc_models.encode_status_request(target)) == target


@given(st.dictionaries(NAMES, signatures(), max_size=3), NAMES, VERSIONS)
def test_metadata_over_both_protocols(found: dict[str, ServedSignature], model: str, version: int) -> None:
    found = {name: read_signature(name, signature.proto) for name, signature in found.items()}
    target = Target(model, version)
    assert rpc_models.decode_metadata_response(rpc_models.encode_metadata_response(target, found)) == (target, found)
    assert rest_models.decode_metadata_response(rest_models.encode_metadata_response(target, found)) == (target, found)


@given(signatures())
def test_a_signature_of_ours_is_served_as_it_is(signature: ServedSignature) -> None:
    assert write_signature("s", signature.as_signature()).as_signature() == signature.as_signature()


@given(st.none() | MODELS, st.lists(NAMES, max_size=2).map(tuple))
def test_a_list_of_models_as_a_request_and_as_a_file(
    models: tuple[ModelConfig, ...] | None, metrics: tuple[str, ...]
) -> None:
    request = ReloadRequest(models, metrics)
    assert rpc_models.decode_reload_request(rpc_models.encode_reload_request(request)) == request
    if models is not None:
        assert configs.read_config_text(configs.write_config_text(models)) == models
