"""A table that is filled from a file which is none of the SavedModel's assets is found, however its name gets there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toolkit.errors import Fault, ServingError
from toolkit.graphs.assets import strays_of
from toolkit.serving.loading import Loader, refuse_unsafe
from toolkit.wire import protos

FILL = "InitializeTableFromTextFileV2"
PARTITIONED = "StatefulPartitionedCall"


def edited(table: Path, directory: Path, edit: Callable[[Any], None]) -> Path:
    """The SavedModel with its MetaGraphDef changed."""
    message = protos.parse(protos.SavedModel, (table / "saved_model.pb").read_bytes())
    edit(message.meta_graphs[0])
    directory.mkdir(exist_ok=True)
    (directory / "saved_model.pb").write_bytes(protos.serialize(message))
    return directory / "saved_model.pb"


def forget_the_asset(graph: Any) -> None:
    """The constant stays, and with it whatever path somebody writes there."""
    del graph.asset_file_def[:]


def secret_in(nodes: Any) -> None:
    nodes.add(name="secret", op="Const").attr["value"].tensor.string_val.append(b"/etc/passwd")


def assign_another_constant(graph: Any) -> None:
    """The variable that keeps the asset's path gets a constant instead."""
    secret_in(graph.graph_def.node)
    (assign,) = [node for node in graph.graph_def.node if node.op == "AssignVariableOp"]
    assign.input[1] = "secret"


def assign_once_more(graph: Any) -> None:
    """The variable gets the asset's path, and by another handle of the same name something else."""
    secret_in(graph.graph_def.node)
    (handle,) = [node for node in graph.graph_def.node if node.op == "VarHandleOp"]
    again = graph.graph_def.node.add()
    again.CopyFrom(handle)
    again.name = "again"
    again.attr["shared_name"].s = handle.attr["shared_name"].s or handle.name.encode()
    graph.graph_def.node.add(name="assign_again", op="AssignVariableOp", input=["again", "secret"])


def hand_the_variable_over(graph: Any) -> None:
    """A function is given the variable, to write what it likes."""
    graph.graph_def.node.add(name="unknown", op=PARTITIONED, input=["Variable"])


def name_another_constant(graph: Any) -> None:
    """The initializer is called with a constant of the graph that is no asset."""
    secret_in(graph.graph_def.node)
    (call,) = [
        node for node in graph.graph_def.node if node.op == PARTITIONED and "initializer" in node.attr["f"].func.name
    ]
    call.input[0] = "secret"


def hold_a_constant(graph: Any) -> None:
    """The function that fills the table holds the name itself."""
    for function in graph.graph_def.library.function:
        for node in [node for node in function.node_def if node.op == FILL]:
            secret_in(function.node_def)
            node.input[1] = "secret:output:0"


def climb_out(graph: Any) -> None:
    """The asset lies above the SavedModel."""
    graph.asset_file_def[0].filename = "../../../etc/passwd"


def point_to_the_root(graph: Any) -> None:
    """The asset's path is absolute, which joined to any folder stays what it is."""
    graph.asset_file_def[0].filename = "/etc/passwd"


def bind_a_constant(graph: Any) -> None:
    """The object graph gives the initializer something else than the asset."""
    objects = graph.object_graph_def
    asset = next(at for at, node in enumerate(objects.nodes) if node.WhichOneof("kind") == "asset")
    objects.nodes[asset].constant.operation = "secret"


@pytest.mark.parametrize(
    "edit",
    [
        *(forget_the_asset, assign_another_constant, assign_once_more, hand_the_variable_over, name_another_constant),
        *(hold_a_constant, climb_out, point_to_the_root, bind_a_constant),
    ],
    ids=lambda edit: edit.__name__,
)
def test_a_file_outside_the_assets_is_refused_unless_it_is_allowed(
    edit: Callable[[Any], None], table: Path, tmp_path: Path
) -> None:
    path = edited(table, tmp_path / "1", edit)
    with pytest.raises(ServingError, match=r"not safe to serve: .* reads a file that is none of the assets") as refused:
        Loader()("m", 1, path.parent)
    assert refused.value.fault is Fault.PERMISSION
    assert "--allow-unsafe-ops" in refused.value.hint
    with pytest.raises(Exception) as other:  # noqa: PT011  # whatever TensorFlow says of such a model without variables
        Loader(allow_unsafe=True)("m", 1, path.parent)
    assert "not safe to serve" not in str(other.value)


def test_an_asset_is_not_refused(table: Path) -> None:
    assert FILL in str(protos.parse(protos.SavedModel, (table / "saved_model.pb").read_bytes()))
    refuse_unsafe(table / "saved_model.pb")
    servable = Loader()("m", 1, table)
    servable.close()


def test_an_asset_that_is_a_link_out_is_refused(table: Path, tmp_path: Path) -> None:
    path = edited(table, tmp_path / "m", lambda _: None)
    (tmp_path / "m" / "assets").mkdir()
    (tmp_path / "elsewhere").write_text("a\n")
    (tmp_path / "m" / "assets" / "words.txt").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ServingError, match=r"asset 'words.txt' is a link to .*elsewhere"):
        refuse_unsafe(path)
    (tmp_path / "m" / "assets" / "words.txt").unlink()
    (tmp_path / "m" / "assets" / "real.txt").write_text("a\n")
    (tmp_path / "m" / "assets" / "words.txt").symlink_to("real.txt")
    refuse_unsafe(path)


def graph_of(nodes: dict[str, tuple[str, list[str]]], assets: tuple[str, ...] = ()) -> Any:
    """A graph of TensorFlow 1 by hand."""
    meta_graph = protos.SavedModel().meta_graphs.add()
    for name, (op, inputs) in nodes.items():
        meta_graph.graph_def.node.add(name=name, op=op, input=inputs)
    for name in assets:
        meta_graph.asset_file_def.add(filename="words.txt").tensor_info.name = f"{name}:0"
    return meta_graph


@pytest.mark.parametrize(
    ("file", "source"),
    [
        (("Const", []), "Const 'file'"),
        (("StringJoin", ["asset"]), "StringJoin 'file'"),
        (("Identity", ["other"]), "Const 'other'"),
        (("Identity", ["file"]), None),  # in a circle: nothing ever comes
        (("Identity", ["asset:0"]), None),
    ],
)
def test_where_a_name_comes_from(file: tuple[str, list[str]], source: str | None) -> None:
    nodes = {"asset": ("Const", []), "other": ("Const", []), "file": file, "fill": (FILL, ["table", "file"])}
    assert [stray.source for stray in strays_of(graph_of(nodes, ("asset",)))] == ([source] if source else [])


def test_a_branch_may_not_fill_a_table() -> None:
    # Its inputs stand one place further on: the asset would be taken for what it is not.
    meta_graph = graph_of(
        {"asset": ("Const", []), "secret": ("Const", []), "if": ("If", ["c", "asset", "secret"])}, ("asset",)
    )
    function = meta_graph.graph_def.library.function.add()
    function.signature.name = "filling"
    for name in ("table", "name"):
        function.signature.input_arg.add(name=name)
    function.node_def.add(name="fill", op=FILL, input=["table", "name"])
    meta_graph.graph_def.node[2].attr["then_branch"].func.name = "filling"
    assert len(list(strays_of(meta_graph))) == 1
