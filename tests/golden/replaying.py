"""Sends a recorded request to a server and says how the answer differs from the recorded one; None where it agrees."""

import base64
import http.client
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc

from toolkit.wire import protos, rpc

DATA = Path(__file__).resolve().parent / "data"
Case = dict[str, Any]
_ANSWERS = {
    rpc.PREDICT: protos.PredictResponse,
    rpc.CLASSIFY: protos.ClassificationResponse,
    rpc.REGRESS: protos.RegressionResponse,
    rpc.MULTI_INFERENCE: protos.MultiInferenceResponse,
    rpc.GET_MODEL_METADATA: protos.GetModelMetadataResponse,
    rpc.GET_MODEL_STATUS: protos.GetModelStatusResponse,
    rpc.RELOAD_CONFIG: protos.ReloadConfigResponse,
}


def cases(file: str) -> list[Case]:
    """The exchanges of a file, in the order in which they were recorded."""
    found: list[Case] = json.loads((DATA / f"{file}.json").read_text(encoding="utf-8"))
    return found


def models_config(directory: Path) -> Path:
    """The recorded server's --model_config_file."""
    file = directory / "models.config"
    file.write_text((DATA / "models.config.in").read_text().replace("@MODELS@", str(DATA / "models")))
    return file


def rest_difference(case: Case, port: int) -> str | None:
    """How the answer to a REST request differs."""
    asked, recorded = case["request"], case["response"]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(asked["method"], asked["path"], content(asked["body"]), asked.get("headers") or {})
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    headers = {name.lower(): value for name, value in answer.getheaders()}
    wanted = {name.lower(): value for name, value in recorded["headers"]}
    for name in ("content-type", *(name for name in wanted if name.startswith("access-control"))):
        if headers.get(name) != wanted.get(name):
            return f"{name} is {headers.get(name)!r}, not {wanted.get(name)!r}"
    if answer.status != recorded["status"]:
        return f"status {answer.status}, not {recorded['status']}: {body[:200]!r}"
    expected = content(recorded["body"]) or b""
    if body == expected or case.get("varies") == "contents":
        return None  # where only the order of members varies, it is compared without it
    try:
        same = same_json(json.loads(expected.decode("latin-1")), json.loads(body.decode("latin-1")))
    except ValueError:
        same = False
    return None if same else f"body {body[:200]!r}, not {expected[:200]!r}"


def grpc_difference(case: Case, channel: grpc.Channel) -> str | None:
    """How the answer to a gRPC call differs."""
    call: Callable[..., Any] = channel.unary_unary(case["method"])
    try:
        body = call(base64.b64decode(case["request_b64"]), timeout=60)
    except grpc.RpcError as error:
        got, details = error.code().name, error.details() or ""
        if got != case.get("code"):
            return f"{got} {details!r}, not {case.get('code', 'an answer')}"
        same = "varies" in case or same_text(case["details"], details)
        return None if same else f"details {details!r}, not {case['details']!r}"
    if "code" in case:
        return f"an answer, not {case['code']} {case['details']!r}"
    kind = _ANSWERS[case["method"]]
    expected, actual = (
        protos.json_of(kind.FromString(found)) for found in (base64.b64decode(case["response_b64"]), body)
    )
    return None if same_json(expected, actual) else f"{actual}, not {expected}"


def content(body: dict[str, str] | None) -> bytes | None:
    """The bytes of a recorded body."""
    if body is None:
        return None
    return body["text"].encode() if "text" in body else base64.b64decode(body["base64"])


def same_text(expected: str, actual: str) -> bool:
    """Whether two texts are alike, but for what protobuf's debug texts hold at random."""
    return _plain(expected) == _plain(actual) if "goo.gle/debug" in expected else expected == actual


def _plain(text: str) -> str:
    return re.sub(r"\s+", "", re.sub(r"goo\.gle/debug\w+\s*", "", text))


def same_json(expected: Any, actual: Any) -> bool:
    """Whether two JSON values are alike, numbers but for the last places of a float32."""
    if isinstance(expected, dict):
        return (
            isinstance(actual, dict)
            and expected.keys() == actual.keys()
            and all(same_json(expected[name], actual[name]) for name in expected)
        )
    if isinstance(expected, list):
        return isinstance(actual, list) and len(expected) == len(actual) and all(map(same_json, expected, actual))
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    if isinstance(expected, int | float) and isinstance(actual, int | float):
        both_nan = math.isnan(expected) and math.isnan(actual)
        return both_nan or expected == actual or math.isclose(expected, actual, rel_tol=1e-5, abs_tol=1e-6)
    if isinstance(expected, str) and isinstance(actual, str):
        return same_text(expected, actual)
    return type(expected) is type(actual) and bool(expected == actual)
