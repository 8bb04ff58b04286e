"""Turns the recorded models and exchanges into the same ones under other names; None where a text leaves doubt."""

import base64
import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from google.protobuf.message import DecodeError

from tests.golden.graph_names import other_node, rename_nodes
from tests.golden.replaying import DATA, Case, content
from toolkit.wire import protos, rpc

# Words of the protocol: the methods classify and regress ask for these aliases, TensorFlow for these signatures.
KEPT = frozenset({"inputs", "outputs", "classes", "scores", "serving_default", "__saved_model_init_op"})
_REQUESTS = {
    rpc.PREDICT: (protos.PredictRequest, protos.PredictResponse),
    rpc.CLASSIFY: (protos.ClassificationRequest, protos.ClassificationResponse),
    rpc.REGRESS: (protos.RegressionRequest, protos.RegressionResponse),
    rpc.MULTI_INFERENCE: (protos.MultiInferenceRequest, protos.MultiInferenceResponse),
    rpc.GET_MODEL_METADATA: (protos.GetModelMetadataRequest, protos.GetModelMetadataResponse),
    rpc.GET_MODEL_STATUS: (protos.GetModelStatusRequest, protos.GetModelStatusResponse),
}
# Where an error names something, and what; a backslash stands before a quote inside JSON.
_NAMING = re.compile(
    r"""(?:Latest|Specific)\((?P<model>[^,)]*)|of model (?P<status>[^ "]+)"""
    r"""|signature: (?P<signature>\w+)|with the name: (?P<named>\w+)|in model graph: (?P<graph>\w+)"""
    r"""|signature key \\?"(?P<key>\w+)|signature_name\\?":\ \\?"(?P<echoed>\w+)"""
    r"""|key: (?P<row>\w+) of |named input: (?P<input>\w+)|equal to: (?P<equal>[\w,]+)|name: (?P<output>\w+) has"""
    r"""|\{(?P<set>[\w,]*)\}|parsing error: (?P<parsed>\w+)|found in signature: (?P<filter>\w+)"""
    r"""|key: \\?"(?P<debug>\w+)|\\?"(?P<member>\w+)\\?":"""
    r"""|\{\{node (?P<node>[^}]+)|Node '(?P<init>\w+)|\bname: \\?"(?P<tensor>[^"\\]+)"""
    # What tf.Example and a function of the graph call something is theirs; the others are English.
    r"""|[Ff]eature: \w+|Key: \w+|node [^\s}]+|tensorflow/serving/\w+"""
    r"""|\[x must be positive\]|\b(?:is|be|Missing) a\b"""
)
_OF_MODEL, _OF_SIGNATURE = {"model", "status"}, {"signature", "named", "graph", "key", "echoed"}
_OF_GRAPH = {"node", "init", "tensor"}


def renamed(name: str) -> str:
    """Another name of the same length and order: offsets and sorted lists in texts stay right."""
    stem, suffix = (name[: -len("_bytes")], "_bytes") if name.endswith("_bytes") else (name, "")
    if name in KEPT:
        return name
    return re.sub("[a-y]", lambda letter: chr(ord(letter.group()) + 1).upper(), stem) + suffix


@dataclass(frozen=True)
class Names:
    """What a server was told by its configuration and finds in its models: model to signature to aliases."""

    models: Mapping[str, Mapping[str, frozenset[str]]]

    def aliases(self, model: str, signature: str) -> frozenset[str]:
        """The aliases of a signature; of none if it is unknown."""
        return self.models.get(model, {}).get(signature or "serving_default", frozenset())

    def signature(self, model: str, signature: str) -> str:
        """Its new name; one that the model does not have stays."""
        return renamed(signature) if signature in self.models.get(model, {}) else signature

    def model(self, model: str) -> str:
        """Its new name; one that is not served stays."""
        return renamed(model) if model in self.models else model


def rename_models(directory: Path) -> None:
    """Copies the recorded models and gives their signatures, aliases and the nodes of their graphs other names."""
    shutil.copytree(DATA / "models", directory / "models")
    for file in directory.rglob("saved_model.pb"):
        saved = protos.parse(protos.SavedModel, file.read_bytes())
        for meta_graph in saved.meta_graphs:
            _rename_signatures(meta_graph.signature_def)
            rename_nodes(meta_graph)
        file.write_bytes(protos.serialize(saved))


def renamed_config(directory: Path, exchanges: Iterable[Case]) -> str:
    """The --model_config_file of the renamed models, without those that no REST exchange asks for."""
    asked = {unquote(_path(case)[1]) for case in exchanges}
    text = (DATA / "models.config.in").read_text().replace("@MODELS@", str(directory / "models"))
    config = protos.parse_text(protos.ModelServerConfig, text)
    held = config.model_config_list.config
    kept = [model for model in held if model.name in asked]
    for model in kept:
        model.name = renamed(model.name)
    return protos.text_of(protos.ModelServerConfig(model_config_list={"config": kept}))


def recorded_names() -> Names:
    """The names of models.config.in and of the models in it."""
    text = (DATA / "models.config.in").read_text()
    return Names(
        {name: signatures(path) for name, path in re.findall(r'name: "([^"]+)" base_path: "@MODELS@/(\w+)', text)}
    )


def signatures(model: str) -> dict[str, frozenset[str]]:
    """Signature to aliases of a recorded model."""
    file = next((DATA / "models" / model).rglob("saved_model.pb"))
    found = protos.parse(protos.SavedModel, file.read_bytes()).meta_graphs[0].signature_def
    return {key: frozenset([*signature.inputs, *signature.outputs]) for key, signature in found.items()}


def rest_case(case: Case, names: Names) -> Case | None:
    """An exchange over REST under the new names."""
    asked, answered = case["request"], case["response"]
    start, model, end = _path(case)
    known = unquote(model) if start else ""
    if known not in names.models:
        return case
    path = (
        start
        + re.sub("%..|[^%]+", lambda part: part.group() if "%" in part.group() else renamed(part.group()), model)
        + end
    )
    body = (content(asked["body"]) or b"").decode("latin-1")
    named = re.search(r'"signature_name"\s*:\s*"([^"]*)"', body)
    signature = named.group(1) if named else "serving_default"
    scope = _Scope(names, known, (signature,))
    body = re.sub(
        r'("signature_name"\s*:\s*")([^"]*)', lambda it: it.group(1) + names.signature(known, it.group(2)), body
    )
    predicts = end.endswith(":predict")
    answer: str | None = (content(answered["body"]) or b"").decode("latin-1").replace(asked["path"], path)
    if answered["status"] != 200:
        answer = scope.text(answer or "", but=path)
    elif end.endswith("/metadata"):
        answer = _metadata(answer or "", names)
    elif predicts:
        answer = scope.members(answer or "")
    if answer is None:
        return None
    request = asked | {"path": path, "body": asked["body"] and _body(scope.members(body) if predicts else body)}
    return case | {"request": request, "response": answered | {"body": answered["body"] and _body(answer)}}


def _path(case: Case) -> tuple[str, str, str]:
    """What stands before the model in a path, the model, and what follows."""
    path: str = case["request"]["path"]
    start = "/v1/models/" if path.startswith("/v1/models/") else ""
    model = re.split("[:/]", path[len(start) :])[0]
    return start, model, path[len(start) + len(model) :]


def grpc_case(case: Case, names: Names) -> Case | None:
    """A gRPC call under the new names."""
    if case["method"] not in _REQUESTS:
        return case
    request, response = _REQUESTS[case["method"]]
    try:
        asked = request.FromString(base64.b64decode(case["request_b64"]))
    except DecodeError:
        return case
    specs = [(spec.name, spec.signature_name) for spec in _specs(asked)]
    _rename_message(asked, names)
    new = case | {"request_b64": base64.b64encode(asked.SerializeToString()).decode()}
    if "code" not in case:
        answer = response.FromString(base64.b64decode(case["response_b64"]))
        _rename_message(answer, names)
        return new | {"response_b64": base64.b64encode(answer.SerializeToString()).decode()}
    model = next((name for name, _ in specs if name in names.models), "")
    details = _Scope(names, model, tuple(signature for _, signature in specs)).text(case["details"])
    return None if details is None else new | {"details": details}


@dataclass(frozen=True)
class _Scope:
    """The names that one exchange can be about."""

    names: Names
    model: str
    signatures: tuple[str, ...]

    @property
    def aliases(self) -> frozenset[str]:
        """The aliases of its signatures."""
        return frozenset().union(*(self.names.aliases(self.model, signature) for signature in self.signatures))

    def members(self, text: str) -> str:
        """JSON whose members are named by aliases."""
        return re.sub(r'(?<=")(\w+)(?="\s*:)', lambda it: self._aliases(it.group()), text)

    def text(self, text: str, but: str = "") -> str | None:
        """An error; None if it holds one of the names where none is expected."""
        words = {self.model, *self.signatures, *self.aliases} - KEPT - {""}
        left = set(re.findall(r"\w+", _NAMING.sub("", text.replace(but, "") if but else text)))
        return None if words & left else _NAMING.sub(self._named, text)

    def _named(self, found: re.Match[str]) -> str:
        kind = found.lastgroup
        if kind is None:
            return found.group()
        old = found.group(kind)
        if kind in _OF_MODEL:
            new = self.names.model(old)
        elif kind in _OF_SIGNATURE:
            new = self.names.signature(self.model, old)
        elif kind in _OF_GRAPH:
            new = other_node(old)
        else:
            new = ",".join(map(self._aliases, old.split(",")))
        start, end = (place - found.start() for place in found.span(kind))
        return found.group()[:start] + new + found.group()[end:]

    def _aliases(self, word: str) -> str:
        return renamed(word) if word in self.aliases else word


def _metadata(text: str, names: Names) -> str:
    answer = json.loads(text)
    protocol = protos.parse_json_value(protos.GetModelMetadataResponse, {"model_spec": answer["model_spec"]})
    _rename_message(protocol, names)
    answer["model_spec"]["name"] = protocol.model_spec.name
    found = answer["metadata"]["signature_def"]["signature_def"]
    for signature in found.values():
        for side in ("inputs", "outputs", "defaults"):
            if side in signature:
                named = signature[side].items()
                signature[side] = {renamed(alias): _elsewhere(tensor) for alias, tensor in named}
    answer["metadata"]["signature_def"]["signature_def"] = {renamed(key): one for key, one in found.items()}
    return json.dumps(answer)


def _elsewhere(tensor: dict[str, Any]) -> dict[str, Any]:
    return tensor | {"name": other_node(tensor["name"])} if "name" in tensor else tensor


def _specs(message: Any) -> Iterator[Any]:
    fields = {field.name for field in message.DESCRIPTOR.fields}
    parts: Iterable[Any] = [message, *(getattr(message, "tasks", ())), *(getattr(message, "results", ()))]
    if "model_spec" not in fields:
        parts = list(parts)[1:]
    return (part.model_spec for part in parts if part.HasField("model_spec"))


def _rename_message(message: Any, names: Names) -> None:
    for spec in _specs(message):
        aliases = names.aliases(spec.name, spec.signature_name)
        if isinstance(message, protos.PredictRequest | protos.PredictResponse):
            _rename_keys(message.outputs if hasattr(message, "outputs") else message.inputs, aliases)
        if isinstance(message, protos.PredictRequest):
            message.output_filter[:] = [renamed(one) if one in aliases else one for one in message.output_filter]
        spec.signature_name = names.signature(spec.name, spec.signature_name)
        spec.name = names.model(spec.name)
    if isinstance(message, protos.GetModelMetadataResponse):
        held = protos.SignatureDefMap()
        message.metadata["signature_def"].Unpack(held)
        _rename_signatures(held.signature_def)
        for signature in held.signature_def.values():
            for info in (*signature.inputs.values(), *signature.outputs.values()):
                info.name = other_node(info.name)
        message.metadata["signature_def"].Pack(held)


def _rename_signatures(found: Any) -> None:
    for signature in found.values():
        for side in (signature.inputs, signature.outputs, signature.defaults):
            _rename_keys(side, frozenset(side))
    _rename_keys(found, frozenset(found))


def _rename_keys(held: Any, which: frozenset[str]) -> None:
    copies = [(key, type(value).FromString(value.SerializeToString())) for key, value in held.items() if key in which]
    for key, _ in copies:
        del held[key]
    for key, value in copies:
        held[renamed(key)].CopyFrom(value)


def _body(text: str) -> dict[str, str]:
    return {"base64": base64.b64encode(text.encode("latin-1")).decode()}
