"""What `inspect` tells of an artifact, alone and beside another one, and how it takes what is no honest artifact."""

import os
import sys
import zipfile
from pathlib import Path

import pytest

import toolkit
from tests.insight import artifacts
from toolkit.building.isolate import Isolated
from toolkit.errors import CatalogError, ParityError
from toolkit.insight import inspecting, snappy
from toolkit.insight.bounds import Budget
from toolkit.insight.differences import OP, SIGNATURE, WEIGHT, differences
from toolkit.insight.inspecting import InspectOptions, inspect, read, refusal
from toolkit.wire.varints import write_varint

CLS, OLD = artifacts.RECORDED / "cls" / "1", artifacts.RECORDED / "saved_model_half_plus_two_cpu" / "00000123"


def test_a_saved_model() -> None:
    found = read(OLD)
    assert (found.format, found.model) == ("saved_model", "saved_model_half_plus_two_cpu")
    assert {weight.name: str(weight.tensor) for weight in found.weights} == dict.fromkeys(
        ("a", "a2", "b", "c", "c2"), "float32[]"
    )
    assert found.assets == {"foo.txt": 19}
    assert str(found.signatures["serving_default"].inputs["x"]) == "float32[*, 1]"
    assert found.signatures["serving_default"].inputs["x"].dynamic == [0]
    assert sum(found.ops.values()) > 20


def test_what_a_classifiers_examples_hold() -> None:
    call = read(CLS).signatures["serving_default"]
    assert call.method == "classify"
    assert {name: str(tensor) for name, tensor in call.features.items()} == {
        "id": "int64[1]",
        "name": "string[1]",
        "x": "float32[3]",
    }


def test_weights_have_the_names_of_their_program() -> None:
    found = read(artifacts.RECORDED / "mlp" / "1")
    assert found.layers["sequential/dense"] == 2 * 4 * (784 * 256 + 256)
    assert found.dtypes["float32"] == found.weight_bytes


def test_a_keras_file() -> None:
    found = read(artifacts.DATA / "small.keras")
    assert found.ops == {"Dense": 2, "Functional": 1, "InputLayer": 1}
    assert found.layers == {"hidden": 60, "scores": 32}
    assert found.versions["keras"] == "3.15.1"
    assert list(found.signatures["serving_default"].inputs) == ["image"]


@pytest.mark.parametrize(
    ("name", "op", "inputs"), [("square.tflite", "MUL", "float32[*]"), ("square.onnx", "Pow", "float32[batch]")]
)
def test_a_file_of_one_op(name: str, op: str, inputs: str) -> None:
    found = read(artifacts.DATA / name)
    assert found.ops == {op: 1}
    assert [str(tensor) for tensor in found.signatures["serving_default"].inputs.values()] == [inputs]


def test_a_bundle_with_what_stands_beside_a_file(tmp_path: Path) -> None:
    (tmp_path / "split").mkdir()
    artifacts.onnx_model(tmp_path / "split" / "a.onnx")
    artifacts.saved_model(
        tmp_path / "split" / "tensorflow", lambda graph: artifacts.node(graph.graph_def.node, "n", "ReadFile")
    )
    files = ["split/a.onnx", "split/tensorflow/saved_model.pb"]
    (tmp_path / "manifest.json").write_bytes(artifacts.manifest({"a": files[0]}, files).to_bytes())
    found = read(tmp_path)
    assert {name: part.format for name, part in found.parts.items()} == {
        "split/a": "onnx",
        "split/tensorflow": "saved_model",
    }
    assert [(part, str(finding)) for part, finding in found.all_findings] == [
        ("", "names /a/b.py (manifest.json, side_effects)"),
        ("split/tensorflow", "ReadFile reads files (n)"),
    ]
    (tmp_path / files[0]).unlink()
    with pytest.raises(ParityError, match="is missing, or no artifact"):
        read(tmp_path)


def test_names_from_a_file_cannot_steer_a_terminal(tmp_path: Path) -> None:
    made = artifacts.saved_model(
        tmp_path, lambda graph: artifacts.node(graph.graph_def.node, "n\x1b[2J", "Own\x1b]0;x\x07")
    )
    finding = read(made).findings[0]
    assert str(finding).isprintable()
    assert "\\x1b[2J" in finding.place


def test_reading_needs_no_tensorflow() -> None:
    with Isolated() as child:
        for path in (
            CLS,
            artifacts.DATA / "small.keras",
            artifacts.DATA / "square.onnx",
            artifacts.DATA / "square.tflite",
        ):
            inspecting.inspect_in(child, path, 30.0)
        assert "tensorflow" not in child.run(loaded, timeout_s=30.0)


def loaded() -> set[str]:
    """What the child has imported."""
    return set(sys.modules)


def test_a_file_that_unpacks_to_more_than_there_is_memory_for(tmp_path: Path) -> None:
    # 25 million empty nodes of two bytes each: protobuf makes an object of each.
    graph = b"\x0a\x00" * 25_000_000
    bomb = tmp_path / "bomb.onnx"
    bomb.write_bytes(b"\x08\x08\x42\x02\x10\x12\x3a" + write_varint(len(graph)) + graph)
    with pytest.raises(ParityError, match=r"bomb\.onnx .*(MemoryError|memory|Error parsing)"):
        inspect(bomb)


def test_a_zip_bomb(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * (65 * 1024**2))
    with pytest.raises(ParityError, match=r"config\.json unpacks to more than"):
        read(tmp_path / "bomb.keras")


def test_more_parts_than_any_model_has(tmp_path: Path) -> None:
    def fill(graph: object) -> None:
        graph.graph_def.node.extend([type(graph.graph_def.node[0])(name="n")] * 200)  # type: ignore[attr-defined]

    made = artifacts.saved_model(tmp_path, fill)
    with pytest.raises(ParityError, match="more parts than any model"):
        read(made, Budget(parts=100))


def test_configurations_nested_without_end(tmp_path: Path) -> None:
    made = artifacts.keras_file(
        tmp_path / "m.keras", lambda _: None, {"config.json": b'{"a":' * 100_000 + b"1" + b"}" * 100_000}
    )
    with pytest.raises(ParityError, match=r"m\.keras"):
        read(made)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.onnx")
    with pytest.raises(CatalogError, match="is no artifact"):
        read(tmp_path / "m.onnx")


def test_values_that_are_cut_off(tmp_path: Path) -> None:
    made = artifacts.saved_model(tmp_path / "m")
    artifacts.variables(made / "variables", {"w": 4000})
    (made / "variables" / "variables.data-00000-of-00001").write_bytes(bytes(10))
    with pytest.raises(ParityError, match="cut off: the index wants 4,000 bytes, it has 10"):
        read(made)


def test_a_checksum_that_does_not_fit(tmp_path: Path) -> None:
    made = artifacts.saved_model(tmp_path / "m")
    artifacts.variables(made / "variables", {"w": 4000})
    index = made / "variables" / "variables.index"
    index.write_bytes(bytes([index.read_bytes()[0] ^ 1]) + index.read_bytes()[1:])
    with pytest.raises(ParityError, match="a checksum does not fit"):
        read(made)


@pytest.mark.parametrize(
    ("packed", "content"),
    [(b"\x03\x08abc", b"abc"), (b"\x08\x04ab\x09\x02", b"abababab"), (b"\x06\x08abc\x0a\x03\x00", b"abcabc")],
)
def test_snappy_unpacks(packed: bytes, content: bytes) -> None:
    assert snappy.unpack(packed, 100) == content


@pytest.mark.parametrize("packed", [b"\x03\x08ab", b"\x09\x04ab\x09\x02", b"\x04\x01\x02", b"\xff\x01\x00a"])
def test_snappy_refuses(packed: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        snappy.unpack(packed, 100)


def test_two_of_a_kind(tmp_path: Path) -> None:
    one = artifacts.saved_model(tmp_path / "a")
    other = artifacts.saved_model(tmp_path / "b", lambda graph: artifacts.node(graph.graph_def.node, "n", "Relu"))
    for place, crc in ((one, 1), (other, 2)):
        artifacts.variables(place / "variables", {"same": 8, "changed": 8}, {"same": 7, "changed": crc})
    found = differences(read(one), read(other)).found
    assert [(difference.kind, difference.name) for difference in found] == [(OP, "Relu"), (WEIGHT, "changed")]
    assert (found[0].first, found[0].second) == ("0", "1")


def test_other_signatures() -> None:
    found = differences(read(artifacts.DATA / "square.tflite"), read(artifacts.DATA / "square.onnx")).found
    assert [difference.name for difference in found if difference.kind == SIGNATURE] == [
        "serving_default input x",
        "serving_default output output_0",
    ]


def test_an_artifact_beside_itself() -> None:
    assert differences(read(CLS), read(CLS)).found == ()


def test_findings_of_a_kind_refuse(tmp_path: Path) -> None:
    made = artifacts.saved_model(tmp_path, lambda graph: artifacts.node(graph.graph_def.node, "n", "ReadFile"))
    error = refusal(toolkit.inspect(made), ["unsafe"])
    assert error is not None
    assert "ReadFile reads files (n)" in error.message
    assert refusal(toolkit.inspect(made), ["path"]) is None


ISSUE = '{"description": "Use of unsafe operator", "source": "m", "severity": "HIGH"}'
SUMMARY = '"summary": {"modelscan_version": "0.8.8", "scanned": {"total_scanned": 1}}'


@pytest.mark.parametrize(
    ("report", "code", "findings", "note"),
    [
        (
            f'{{{SUMMARY}, "issues": [{ISSUE}], "errors": []}}',
            1,
            ["high: Use of unsafe operator (m)"],
            "0.8.8 scanned 1",
        ),
        (f'{{{SUMMARY}, "issues": [], "errors": []}}', 0, [], "scanned 1 files"),
        (
            f'{{{SUMMARY}, "issues": [], "errors": [{{"description": "needs h5py"}}]}}',
            3,
            [],
            "not read all: needs h5py",
        ),
        ('{"other": 1}', 0, [], "its report is not understood"),
        ("", 2, [], "exit code 2, it broke"),
    ],
)
def test_modelscans_opinion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, report: str, code: int, findings: list[str], note: str
) -> None:
    program = tmp_path / "bin" / "modelscan"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho it broke >&2\nprintf '%s' '{report}' > \"$6\"\nexit {code}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    found = inspect(artifacts.DATA / "square.onnx")
    assert [str(finding) for finding in found.findings if finding.source == "modelscan"] == findings
    assert note in found.notes[0]
    assert inspect(artifacts.DATA / "square.onnx", InspectOptions(modelscan=False)).notes == ()
