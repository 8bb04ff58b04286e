"""Functions that make an artifact with one thing in it, for tables of tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.insight import artifacts

Make = Callable[[Path], Path]


def graph_with(change: Callable[[Any], object]) -> Make:
    return lambda place: artifacts.saved_model(place / "model", change)


def nested(graph: Any, name: str, op: str, **attributes: Any) -> None:
    """The node in the body of a loop in the body of a function."""
    artifacts.node(graph.graph_def.node, "call", "StatefulPartitionedCall", f="outer")
    artifacts.node(artifacts.body(graph, "outer"), "loop", "While", f="inner")
    artifacts.node(artifacts.body(graph, "inner"), name, op, **attributes)


def nested_graph(op: str, **attributes: Any) -> Make:
    return graph_with(lambda graph: nested(graph, "n", op, **attributes))


def constant(*contents: bytes) -> Make:
    def change(graph: Any) -> None:
        for at, content in enumerate(contents):
            artifacts.node(graph.graph_def.node, f"c{at}", "Const", value=artifacts.values(content))

    return graph_with(change)


def asset(name: str) -> Make:
    def make(place: Path) -> Path:
        made = artifacts.saved_model(place / "model", lambda graph: graph.asset_file_def.add(filename=name))
        (place / "outside.txt").touch()
        (made / "assets").mkdir()
        (made / "assets" / "words.txt").touch()
        return made

    return make


def table_from(file: bytes, *, asset: bool = False) -> Make:
    """A table that is filled when the model is loaded, from an asset or from any file."""

    def change(graph: Any) -> None:
        artifacts.node(graph.graph_def.node, "file", "Const", value=artifacts.text(file))
        fill = artifacts.node(graph.graph_def.node, "fill", "InitializeTableFromTextFileV2")
        fill.input.extend(["table", "file"])
        artifacts.node(graph.graph_def.node, "table", "HashTableV2")
        graph.collection_def["saved_model_main_op"].node_list.value.append("fill")
        if asset:
            graph.asset_file_def.add(filename="words.txt").tensor_info.name = "file:0"

    def make(place: Path) -> Path:
        made = artifacts.saved_model(place / "model", change)
        (made / "assets").mkdir()
        (made / "assets" / "words.txt").touch()
        return made

    return make


def checkpoint(*keys: str, crcs: dict[str, int] | None = None) -> Make:
    def make(place: Path) -> Path:
        made = artifacts.saved_model(place / "model")
        artifacts.variables(made / "variables", dict.fromkeys(keys, 100_000), crcs)
        return made

    return make


def beside(name: str) -> Make:
    def make(place: Path) -> Path:
        made = artifacts.saved_model(place / "model")
        (made / name).parent.mkdir(exist_ok=True)
        (made / name).write_bytes(b"")
        return made

    return make


def keras(change: Callable[[Any], object], **files: bytes) -> Make:
    return lambda place: artifacts.keras_file(place / "model.keras", change, files)


def layer(**parts: Any) -> Make:
    def change(config: Any) -> None:
        config["config"]["layers"][1] |= parts

    return keras(change)


def settings(**parts: Any) -> Make:
    def change(config: Any) -> None:
        config["config"]["layers"][1]["config"] |= parts

    return keras(change)


def recorded(name: str) -> Make:
    return lambda _: artifacts.DATA / name


def onnx_node(op: str, domain: str = "", *, inside: bool = False, **attributes: Any) -> Make:
    def make(place: Path) -> Path:
        from onnx import helper

        node = helper.make_node(op, ["x"], ["z"], "n", domain=domain, **attributes)
        if inside:
            branch = helper.make_graph([node], "branch", [], [])
            node = helper.make_node("If", ["x"], ["z"], "choice", then_branch=branch, else_branch=branch)
        return artifacts.onnx_model(place / "model.onnx", [node])

    return make


def external(location: str) -> Make:
    def make(place: Path) -> Path:
        from onnx import TensorProto

        tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value=location)
        (place / "folder").mkdir()
        (place / "folder" / "w.bin").write_bytes(bytes(8))
        (place / "secret.bin").write_bytes(bytes(8))
        (place / "folder" / "link.bin").symlink_to(place / "secret.bin")
        return artifacts.onnx_model(place / "folder" / "model.onnx", initializer=[tensor])

    return make


def onnx_weights(*names: str) -> Make:
    def make(place: Path) -> Path:
        from onnx import numpy_helper

        weights = [numpy_helper.from_array(np.arange(30_000, dtype="float32"), name) for name in names]
        return artifacts.onnx_model(place / "model.onnx", initializer=weights)

    return make


def onnx_text(**parts: Any) -> Make:
    return lambda place: artifacts.onnx_model(place / "model.onnx", model=parts)


def custom(name: bytes) -> Make:
    def change(model: Any, schema: Any) -> None:
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM, schema.BuiltinOperator.CUSTOM
        code.customCode = name
        model.operatorCodes[0] = code

    return lambda place: artifacts.tflite_file(place / "model.tflite", change)


def described(words: bytes) -> Make:
    return lambda place: artifacts.tflite_file(
        place / "model.tflite", lambda model, _: setattr(model, "description", words)
    )


def external_values(name: bytes) -> Make:
    def change(model: Any, schema: Any) -> None:
        group = schema.ExternalBufferGroupT()
        group.name = name
        model.externalBufferGroups = [group]

    return lambda place: artifacts.tflite_file(place / "model.tflite", change)
