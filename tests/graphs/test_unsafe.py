"""A SavedModel that reaches files, Python or the network is found, wherever the op stands; an honest one is clean."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toolkit.errors import Fault, ServingError
from toolkit.graphs.unsafe import NOT_ALLOWED, REACHES, allowed_ops, reaches_of, suspects_of, suspicion
from toolkit.serving.loading import refuse_unsafe
from toolkit.wire import protos

MODELS = Path(__file__).parents[1] / "golden" / "data" / "models"
Save = Callable[[Callable[[Any], Any]], Path]


@pytest.fixture(scope="module")
def tf() -> Any:
    return pytest.importorskip("tensorflow")


@pytest.fixture
def save(tf: Any, tmp_path: Path) -> Save:
    """Saves a function of one float vector as a served model."""

    def save_model(function: Callable[[Any], Any]) -> Path:
        module = tf.Module()
        module.scale = tf.Variable(2.0)
        traced = tf.function(
            lambda x: {"y": function(x) * module.scale}, input_signature=[tf.TensorSpec((None,), tf.float32, name="x")]
        )
        module.serve = traced
        tf.saved_model.save(module, str(tmp_path), signatures=traced.get_concrete_function())
        return tmp_path / "saved_model.pb"

    return save_model


def found_in(path: Path) -> list[tuple[str, str]]:
    saved = protos.parse(protos.SavedModel, path.read_bytes())
    return sorted({(reach.op, reach.kind) for graph in saved.meta_graphs for reach in reaches_of(graph)})


def _read(tf: Any, x: Any) -> Any:
    return x + tf.strings.to_number(tf.io.read_file("/etc/number"))


def _write(tf: Any, x: Any) -> Any:
    tf.io.write_file("/tmp/owned", "text")
    return x


def _python(tf: Any, x: Any) -> Any:
    return tf.ensure_shape(tf.py_function(lambda value: value, [x], tf.float32), (None,))


def _numpy(tf: Any, x: Any) -> Any:
    return tf.ensure_shape(tf.numpy_function(lambda value: value, [x], tf.float32), (None,))


def _print_to_file(tf: Any, x: Any) -> Any:
    tf.print("x", output_stream="file:///tmp/owned")
    return x


def _records(tf: Any, x: Any) -> Any:
    return x + tf.data.TFRecordDataset("/etc/records").reduce(0.0, lambda count, _: count + 1.0)


def _own_saver(tf: Any, x: Any) -> Any:
    """A function that is called like TensorFlow's own saver, but that the signature runs."""

    def _traced_save(value: Any) -> Any:
        with tf.control_dependencies(
            [tf.raw_ops.SaveV2(prefix="/tmp/owned", tensor_names=["x"], shape_and_slices=[""], tensors=[1.0])]
        ):
            return tf.identity(value)

    return tf.function(_traced_save)(x)


def _own_restorer(tf: Any, x: Any) -> Any:
    (found,) = tf.raw_ops.RestoreV2(
        prefix="/etc/secret", tensor_names=["x"], shape_and_slices=[""], dtypes=[tf.float32]
    )
    return x + found


_OPS = {
    "ReadFile": (_read, "reads files"),
    "WriteFile": (_write, "writes files"),
    "EagerPyFunc": (_python, "runs Python"),
    "PyFunc": (_numpy, "runs Python"),
    "PrintV2": (_print_to_file, "writes files"),
    "TFRecordDataset": (_records, "reads files"),
    "SaveV2": (_own_saver, "writes files"),
    "RestoreV2": (_own_restorer, "reads files"),
}


@pytest.mark.parametrize("op", _OPS)
def test_an_op_that_reaches_outside_is_found(tf: Any, save: Save, op: str) -> None:
    function, kind = _OPS[op]
    assert found_in(save(lambda x: function(tf, x))) == [(op, kind)]


def _in_while(tf: Any, x: Any) -> Any:
    return tf.while_loop(lambda i, _: i < 2, lambda i, y: (i + 1, _write(tf, y)), (0, x))[1]


def _in_cond(tf: Any, x: Any) -> Any:
    return tf.cond(tf.size(x) > 3, lambda: _write(tf, x), lambda: x)


def _in_function(tf: Any, x: Any) -> Any:
    inner = tf.function(lambda z: _write(tf, z))
    return tf.function(lambda y: inner(y) + 1.0)(x)


def _in_map(tf: Any, x: Any) -> Any:
    return tf.map_fn(lambda y: _write(tf, y), x)


def _in_dataset(tf: Any, x: Any) -> Any:
    return tf.data.Dataset.from_tensors(x).map(lambda y: _write(tf, y)).get_single_element()


@pytest.mark.parametrize("place", [_in_while, _in_cond, _in_function, _in_map, _in_dataset])
def test_it_is_found_inside_other_ops(tf: Any, save: Save, place: Callable[[Any, Any], Any]) -> None:
    assert found_in(save(lambda x: place(tf, x))) == [("WriteFile", "writes files")]


def test_the_refusal_names_the_op_and_its_place(tf: Any, save: Save) -> None:
    path = save(lambda x: _write(tf, x))
    refusal = r"is not safe to serve: WriteFile writes files \(__inference_.*/WriteFile\)"
    with pytest.raises(ServingError, match=refusal) as found:
        refuse_unsafe(path)
    assert found.value.fault is Fault.PERMISSION
    assert "--allow-unsafe-ops" in found.value.hint


def test_printing_to_the_terminal_is_no_reach(tf: Any, save: Save) -> None:
    def loud(x: Any) -> Any:
        tf.print("x is", x)
        return x

    refuse_unsafe(save(loud))


def test_a_table_that_is_filled_from_an_asset_is_clean(table: Path) -> None:
    saved = table / "saved_model.pb"
    assert b"InitializeTableFromTextFileV2" in saved.read_bytes()
    assert found_in(saved) == []


def test_a_vocabulary_layer_is_clean(tf: Any, tmp_path: Path) -> None:
    layer = tf.keras.layers.TextVectorization(vocabulary=["a", "b"], output_sequence_length=2)
    module = tf.Module()
    module.layer = layer
    serve = tf.function(lambda x: {"y": layer(x)}, input_signature=[tf.TensorSpec((None,), tf.string, name="x")])
    tf.saved_model.save(module, str(tmp_path), signatures=serve.get_concrete_function())
    assert found_in(tmp_path / "saved_model.pb") == []


def _graph(**parts: Any) -> Any:
    """A MetaGraphDef by hand, as no honest exporter writes it."""
    saved = protos.SavedModel()
    meta_graph = saved.meta_graphs.add()
    for name, (op, inputs) in parts["nodes"].items():
        meta_graph.graph_def.node.add(name=name, op=op, input=inputs)
    for key, tensor in parts.get("signatures", {}).items():
        meta_graph.signature_def[key].outputs["y"].name = tensor
    meta_graph.saver_def.restore_op_name = parts.get("restore", "")
    meta_graph.collection_def["saved_model_main_op"].node_list.value.extend(parts.get("main", []))
    return meta_graph


_RESTORES = {"restore": ("RestoreV2", []), "all": ("NoOp", ["^restore"]), "save": ("SaveV2", []), "y": ("Identity", [])}


def test_a_saver_that_no_signature_runs_is_how_every_model_loads() -> None:
    assert list(reaches_of(_graph(nodes=_RESTORES, signatures={"serving_default": "y:0"}, restore="all"))) == []


@pytest.mark.parametrize(
    ("changed", "parts", "op"),
    [
        ({"y": ("Identity", ["^save"])}, {}, "SaveV2"),
        ({"y": ("Identity", ["restore"])}, {}, "RestoreV2"),
        ({"all": ("NoOp", ["^restore", "^save"])}, {}, "SaveV2"),
        ({"boot": ("NoOp", ["^save"])}, {"main": ["boot"]}, "SaveV2"),
        ({"boot": ("WriteFile", [])}, {"main": ["boot"]}, "WriteFile"),
        ({"idle": ("ReadFile", [])}, {}, "ReadFile"),
    ],
)
def test_a_saver_that_a_signature_or_the_loader_runs_is_a_reach(
    changed: dict[str, Any], parts: dict[str, Any], op: str
) -> None:
    graph = _graph(nodes=_RESTORES | changed, signatures={"serving_default": "y:0"}, restore="all", **parts)
    assert [reach.op for reach in reaches_of(graph)] == [op]


def test_the_initialisation_op_among_the_signatures_may_read_but_not_write() -> None:
    nodes = {"read": ("InitializeTableFromTextFileV2", []), "init": ("NoOp", ["^read"])}
    assert list(reaches_of(_graph(nodes=nodes, signatures={"__saved_model_init_op": "init"}))) == []
    nodes["init"] = ("NoOp", ["^read", "^write"])
    nodes["write"] = ("SaveV2", [])
    graph = _graph(nodes=nodes, signatures={"__saved_model_init_op": "init"})
    assert [reach.op for reach in reaches_of(graph)] == ["SaveV2"]


@pytest.mark.parametrize("path", sorted(MODELS.rglob("saved_model.pb")), ids=lambda path: path.parent.parent.name)
def test_the_recorded_models_are_clean(path: Path) -> None:
    assert found_in(path) == []


@pytest.mark.parametrize("name", ["mlp", "square"])
def test_shipped_models_are_clean(shipped: Callable[[str], Path], name: str) -> None:
    assert found_in(shipped(name) / "saved_model" / "saved_model.pb") == []


def test_every_op_of_the_lists_is_one_of_tensorflows(tf: Any) -> None:
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session as session

    ops = op_def_pb2.OpList()
    ops.ParseFromString(session.TF_GetBuffer(session.TF_GetAllOpList()))
    assert {*REACHES, *allowed_ops()} <= {op.name for op in ops.op}


def test_no_op_is_allowed_that_reaches_outside() -> None:
    assert allowed_ops() & REACHES.keys() == set()
    assert (
        allowed_ops() & {"Print", "PrintV2", "Abort", "RemoteCall", "Send", "Recv", "XlaCallModule", "TPUExecute"}
        == set()
    )


@pytest.mark.parametrize(
    ("op", "said"),
    [
        ("MatMul", None),
        ("ReadFile", "reads files"),
        ("PrintV2", "prints"),
        ("Own", NOT_ALLOWED),
        ("Abort", NOT_ALLOWED),
    ],
)
def test_an_op_is_judged_by_its_name(op: str, said: str | None) -> None:
    assert suspicion(op) == said


def test_a_print_is_a_suspect_and_no_reach() -> None:
    graph = _graph(nodes={"p": ("PrintV2", [])})
    assert [str(found) for found in suspects_of(graph)] == ["PrintV2 prints (p)"]
    assert list(reaches_of(graph)) == []


def test_the_path_to_an_op_goes_through_the_functions_that_call_it() -> None:
    graph = _graph(nodes={"call": ("PartitionedCall", [])})
    graph.graph_def.node[0].attr["f"].func.name = "outer"
    for name, (op, called) in {"outer": ("While", "body"), "body": ("WriteFile", "body")}.items():
        function = graph.graph_def.library.function.add()
        function.signature.name = name
        function.node_def.add(name=f"in_{name}", op=op).attr["f"].func.name = called
    assert [reach.place for reach in reaches_of(graph)] == ["outer/body/in_body"]


def test_a_function_that_calls_itself_has_an_end() -> None:
    graph = _graph(nodes={})
    function = graph.graph_def.library.function.add()
    function.signature.name = "round"
    function.node_def.add(name="n", op="WriteFile").attr["f"].func.name = "round"
    assert [reach.place.count("/") for reach in reaches_of(graph)] == [31]
