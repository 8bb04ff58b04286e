"""Paths, statuses and errors of REST, by table and in both directions."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.strategies import targets
from toolkit.errors import Fault, ServingError, UnavailableError, WireError
from toolkit.wire import rest
from toolkit.wire.codes import CODE_OF_FAULT, Code, fault_of
from toolkit.wire.messages import Target
from toolkit.wire.rest import Answer, Call, RestCall
from toolkit.wire.wording import SilentError


@pytest.mark.parametrize(
    ("method", "uri", "call", "target"),
    [
        ("POST", "/v1/models/m:predict", Call.PREDICT, Target("m")),
        ("POST", "/v1/models/m/versions/3:classify", Call.CLASSIFY, Target("m", 3)),
        ("POST", "/v1/models/m/labels/a%20b:regress", Call.REGRESS, Target("m", label="a b")),
        ("POST", "/V1/Models/m/Versions/0003:predict", Call.PREDICT, Target("m", 3)),
        ("POST", "/v1/models/a%2Fb%3Ac+d:predict", Call.PREDICT, Target("a/b:c+d")),
        ("POST", "http://host:8501/v1/models/m:predict", Call.PREDICT, Target("m")),
        ("GET", "/v1/models/m", Call.STATUS, Target("m")),
        ("GET", "/v1/models/m/versions/9223372036854775807", Call.STATUS, Target("m", 2**63 - 1)),
        ("GET", "/v1/models/m/labels/x/metadata", Call.METADATA, Target("m", label="x")),
        ("GET", "/v1/models/m/METADATA", Call.STATUS, Target("m")),
        ("GET", "/v1/models/metadata", Call.STATUS, Target("metadata")),
        ("GET", "/v1/models/metadata/metadata", Call.METADATA, Target("metadata")),
        ("GET", "/v1/models/m?a=b", Call.STATUS, Target("m?a=b")),
        ("GET", "/v1/models/m?", Call.STATUS, Target("m?")),
        ("GET", "/v1/models/m#x", Call.STATUS, Target("m#x")),
        ("GET", "/v1/models/m?a?b#c?d", Call.STATUS, Target("m?a?b#c?d")),
        ("GET", "/v1/models/%FF", Call.STATUS, Target("\udcff")),
    ],
)
def test_a_path_is_a_call(method: str, uri: str, call: Call, target: Target) -> None:
    assert rest.route(method, uri) == RestCall(call, target)


@pytest.mark.parametrize(
    ("method", "uri"),
    [
        ("GET", "/v1/models/m:predict"),
        ("POST", "/v1/models/m"),
        ("POST", "/v1/models/m:Predict"),
        ("POST", "/v1/models/m:explain"),
        ("POST", "/v1/models/m:predict/"),
        ("POST", "/v1/models/m:predict?a=b"),
        ("POST", "/v1/models/:predict"),
        ("POST", "/v1/models/m/versions/-1:predict"),
        ("POST", "/v1/models/m/versions/1/labels/a:predict"),
        ("GET", "/v1/models/"),
        ("GET", "/v1/models/m/"),
        ("GET", "/v1/models/m/labels/"),
        ("GET", "/v1/other"),
        ("DELETE", "/v1/models/m:predict"),
        ("PATCH", "/v1/models/m"),
    ],
)
def test_a_path_that_is_no_call_is_malformed(method: str, uri: str) -> None:
    with pytest.raises(WireError) as caught:
        rest.route(method, uri)
    answer = rest.error_answer(caught.value)
    assert answer.status == 400
    assert json.loads(answer.body) == {"error": f"Malformed request: {method} {uri}"}


@pytest.mark.parametrize("uri", ["/v1/models", "/v1/models/versions/3", "/v1/models/metadata/versions"])
def test_a_status_needs_a_name(uri: str) -> None:
    with pytest.raises(WireError, match=r"^(Missing model name in request\.|Malformed request: .*)$"):
        rest.route("GET", uri)


@pytest.mark.parametrize("version", ["9223372036854775808", "99999999999999999999", "1" * 5000])
@pytest.mark.parametrize(("method", "ending"), [("POST", ":predict"), ("GET", ""), ("GET", "/metadata")])
def test_a_version_that_is_too_large_is_answered_without_a_word(version: str, method: str, ending: str) -> None:
    with pytest.raises(SilentError) as caught:
        rest.route(method, f"/v1/models/m/versions/{version}{ending}")
    assert rest.error_answer(caught.value) == Answer(400, b"")


@pytest.mark.parametrize(
    ("uri", "status"),
    [
        ("/", 404),
        ("", 404),
        ("/v1", 404),
        ("/v2/models/m", 404),
        ("/v1/models/a b", 400),
        ("/v1/models/hp%zz", 400),
        ("/v1/models/m#a#b", 400),
        ('/v1/models/"', 400),
        ("/v1/models/\udcff", 400),
        ("\n", 400),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_what_is_none_of_ours_gets_a_page(uri: str, status: int, method: str) -> None:
    answer = rest.route(method, uri)
    assert isinstance(answer, Answer)
    assert (answer.status, answer.content_type, answer.served) == (status, "text/html", False)
    assert f"<TITLE>{status} ".encode() in answer.body


PAGE = "<HTML><HEAD>\n<TITLE>{0}</TITLE>\n</HEAD><BODY>\n<H1>{1}</H1>\n</BODY></HTML>\n"
NOT_IMPLEMENTED = PAGE.format("501 Not Implemented", "Not Implemented").encode()
BAD_REQUEST = PAGE.format("400 Bad Request", "Bad Request").encode()


@pytest.mark.parametrize("uri", ["/", "/v1/models/m", "/v1/models/m:predict", "/metrics", "*", "/a b"])
@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "FOO", "get", ""])
def test_other_methods_are_not_implemented_whatever_is_asked_for(method: str, uri: str) -> None:
    answer = Answer(501, NOT_IMPLEMENTED, "text/html", served=False)
    assert rest.route(method, uri) == rest.metrics_refusal(method, uri, "/metrics") == answer


@pytest.mark.parametrize(
    ("received", "status"),
    [
        (b"FOO / HTTP/1.1\r\n", 501),
        (b"FOO  /a b  HTTP/1.0 \r\nHost: x", 501),
        (b"get / HTTP/1.1\n", 501),
        (b"FOO / HTTP/1.1", 400),
        (b"FOO / HTP/1.1\r\n", 400),
        (b"GET / HTTP/1.1\r\n: \r\n", 400),
        (b"\x16\x03\x01\n", 400),
        (b"", 400),
        (b"A" + b" " * 100_000 + b"\n", 400),
    ],
)
def test_what_no_parser_takes_is_a_bad_request_unless_its_method_is_to_blame(received: bytes, status: int) -> None:
    page = NOT_IMPLEMENTED if status == 501 else BAD_REQUEST
    assert rest.unreadable(received) == Answer(status, page, "text/html", served=False)


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_the_metrics_page_is_for_its_path_alone(method: str) -> None:
    for ending in ("?x=1", "?", "#f"):
        text = f"Unexpected path: /metrics{ending}. Should be /metrics".encode()
        answer = Answer(400, text, "text/plain", served=False)
        assert rest.metrics_refusal(method, f"/metrics{ending}", "/metrics") == answer
    assert rest.metrics_refusal(method, "/metrics", "/metrics") is None
    assert rest.metrics_refusal(method, "/metrics?[", "/metrics") == Answer(400, BAD_REQUEST, "text/html", served=False)


@pytest.mark.parametrize(
    ("origin", "status"), [("", 400), ("https://example.com", 200), ("http://localhost:3000", 200), ("null", 400)]
)
def test_a_preflight_request_needs_an_origin(origin: str, status: int) -> None:
    answer = rest.route("OPTIONS", "/v1/models/m:predict", origin)
    assert answer == Answer(status, b"", "text/html; charset=ISO-8859-1")


@given(st.sampled_from(Call), targets())
def test_a_path_that_a_client_makes_is_the_call_it_meant(call: Call, target: Target) -> None:
    asked = Target(target.model, target.version, target.label)
    assert rest.route(rest.method_of(call), rest.path_of(call, asked)) == RestCall(call, asked)


STATUSES = [
    (Fault.INVALID, 400, Code.INVALID_ARGUMENT),
    (Fault.PRECONDITION, 400, Code.FAILED_PRECONDITION),
    (Fault.OUT_OF_RANGE, 400, Code.OUT_OF_RANGE),
    (Fault.UNAUTHENTICATED, 401, Code.UNAUTHENTICATED),
    (Fault.PERMISSION, 403, Code.PERMISSION_DENIED),
    (Fault.NOT_FOUND, 404, Code.NOT_FOUND),
    (Fault.ALREADY_EXISTS, 409, Code.ALREADY_EXISTS),
    (Fault.ABORTED, 409, Code.ABORTED),
    (Fault.EXHAUSTED, 429, Code.RESOURCE_EXHAUSTED),
    (Fault.CANCELLED, 499, Code.CANCELLED),
    (Fault.UNKNOWN, 500, Code.UNKNOWN),
    (Fault.INTERNAL, 500, Code.INTERNAL),
    (Fault.DATA_LOSS, 500, Code.DATA_LOSS),
    (Fault.UNIMPLEMENTED, 501, Code.UNIMPLEMENTED),
    (Fault.UNAVAILABLE, 503, Code.UNAVAILABLE),
    (Fault.DEADLINE, 504, Code.DEADLINE_EXCEEDED),
]


@pytest.mark.parametrize(("fault", "status", "code"), STATUSES)
def test_a_fault_has_a_status_in_each_protocol(fault: Fault, status: int, code: Code) -> None:
    assert rest.HTTP_STATUS[fault] == status
    assert CODE_OF_FAULT[fault] is code
    assert fault_of(code) is fault


def test_no_fault_is_forgotten() -> None:
    assert {fault for fault, _, _ in STATUSES} == set(Fault) == set(rest.HTTP_STATUS) == set(CODE_OF_FAULT)
    assert fault_of(0) is fault_of(99) is Fault.UNKNOWN


@pytest.mark.parametrize("fault", Fault)
def test_an_error_that_is_answered_is_found_in_the_answer(fault: Fault) -> None:
    sent = ServingError('not "that"\n\udcff', hint="h", fault=fault)
    answer = rest.error_answer(sent)
    read = rest.error_of(answer.status, answer.body)
    assert read.message == sent.message
    assert isinstance(read, UnavailableError) == (fault is Fault.UNAVAILABLE)
    assert rest.HTTP_STATUS[read.fault] == answer.status


@pytest.mark.parametrize("body", [b"", b"<HTML>", b"[]", b'{"error": 5}', b'{"message": "x"}'])
def test_an_answer_without_an_error_text_says_its_status(body: bytes) -> None:
    assert rest.error_of(502, body).message == "the server answered 502"


def test_the_body_of_an_error_is_the_servers() -> None:
    answer = rest.error_answer(WireError('a "b"\n', hint="never shown"))
    assert answer == Answer(400, b'{\n    "error": "a \\"b\\"\\n"\n}')


@pytest.mark.parametrize("value", [rest.CORS_HEADERS])
def test_cors_headers_are_the_servers(value: Any) -> None:
    assert dict(value) == {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Methods": "POST, GET",
        "Access-Control-Allow-Headers": "Content-Type",
    }
