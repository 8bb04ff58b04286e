"""A concrete function as one graph without calls, variables and tables still in it, and parts of it as functions."""

import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from toolkit.formats.rewrites.frozen import allow_inlining
from toolkit.graphs.census import nodes_of

_FLATTENED = itertools.count()


@dataclass(frozen=True)
class Flat:
    """One graph whose shapes are those that were traced.

    Args:
        graph: a tf.Graph of `graph_def`.
        inputs: signature's input to the name of its tensor.
        outputs: signature's output to the name of its tensor.
        captures: op of a placeholder to the tensor from outside that it stands for: a variable, a table, a value.
        variables: id of a variable's handle to the variable.
    """

    graph: Any
    graph_def: Any
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    captures: Mapping[str, Any]
    variables: Mapping[int, Any]


def flatten(function: Any) -> Flat:
    """The function's graph with all calls inlined; loops and branches stay functional."""
    graph_def = _inlined(function)
    captured = {id(inner): external for external, inner in function.graph.captures}
    given = [tensor for tensor in function.inputs if id(tensor) not in captured]
    return Flat(
        graph_of(graph_def),
        graph_def,
        # A restored function's placeholders are named in lower case, so that only the keywords tell `X` from `x`.
        dict(zip(function._arg_keywords, (tensor.name for tensor in given), strict=True)),
        dict(zip(sorted(function.structured_outputs), (tensor.name for tensor in function.outputs), strict=True)),
        {inner.op.name: captured[id(inner)] for inner in function.inputs if id(inner) in captured},
        {id(variable.handle): variable for variable in function.graph.variables},
    )


def graph_of(graph_def: Any) -> Any:
    """The GraphDef as a tf.Graph; `_output_shapes` say what inference alone would not find, as behind a table."""
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        tf.graph_util.import_graph_def(graph_def, name="")
    return graph


def _inlined(function: Any) -> Any:
    from tensorflow.core.protobuf import config_pb2
    from tensorflow.python.framework.convert_to_constants import disable_lower_using_switch_merge
    from tensorflow.python.grappler import tf_optimizer
    from tensorflow.python.training.saver import export_meta_graph

    # With shapes, other than TensorFlow's own inlining, which forgets them.
    graph_def = disable_lower_using_switch_merge(function.graph.as_graph_def(add_shapes=True))
    allow_inlining(graph_def)
    meta_graph = export_meta_graph(graph_def=graph_def, graph=function.graph)
    meta_graph.collection_def.clear()
    kept = meta_graph.collection_def["train_op"].node_list.value
    kept.extend(tensor.name for tensor in (*function.inputs, *function.outputs))
    config = config_pb2.ConfigProto()
    options = config.graph_options.rewrite_options
    options.min_graph_nodes = -1
    options.optimizers.append("function")
    options.function_optimization = options.AGGRESSIVE
    inlined = tf_optimizer.OptimizeGraph(config, meta_graph)
    # It keeps the shapes of what it took out of functions only.
    shapes = {node.name: node.attr["_output_shapes"] for node in graph_def.node if "_output_shapes" in node.attr}
    for node in inlined.node:
        if node.name in shapes:
            node.attr["_output_shapes"].CopyFrom(shapes[node.name])
    _rename_functions(inlined, f"flat_{next(_FLATTENED)}")
    return inlined


def _rename_functions(graph_def: Any, mark: str) -> None:
    """TensorFlow knows the loops' bodies by name already, and takes no second one that differs in as much as shapes."""
    names = {function.signature.name for function in graph_def.library.function}
    for function in graph_def.library.function:
        function.signature.name = f"{function.signature.name}_{mark}"
    for _, node in nodes_of(graph_def):
        for value in node.attr.values():
            for called in [value.func] if value.HasField("func") else value.list.func:
                if called.name in names:
                    called.name = f"{called.name}_{mark}"


def part_of(flat: Flat, inputs: Mapping[str, Any], outputs: Mapping[str, str], also: Collection[str] = ()) -> Any:
    """A piece of the graph as a tf ConcreteFunction.

    Args:
        flat: the graph.
        inputs: name to the tensor of `flat.graph` that is given from outside.
        outputs: name to the name of its tensor.
        also: ops to run besides, which give nothing.
    """
    import tensorflow as tf
    from tensorflow.python.ops import resource_variable_ops

    given = {tensor.name: key for key, tensor in inputs.items()}
    piece = _piece(flat, given, [name.partition(":")[0] for name in outputs.values() if name not in given], also)
    present = {node.name for node in piece.node}
    used = {source if ":" in source else f"{source}:0" for node in piece.node for source in node.input}

    @tf.autograph.experimental.do_not_convert
    def run(**tensors: Any) -> Any:
        mapped = {name: tensors[key] for name, key in given.items() if name in used}
        graph = tf.compat.v1.get_default_graph()
        for name, external in flat.captures.items():
            if name in present:
                mapped[f"{name}:0"] = graph.capture(external)
                if id(external) in flat.variables:
                    resource_variable_ops.variable_accessed(flat.variables[id(external)])
        wanted = [name for name in outputs.values() if name not in given]
        made = tf.graph_util.import_graph_def(piece, input_map=mapped, return_elements=wanted, name="")
        values = {**{name: tensors[key] for name, key in given.items()}, **dict(zip(wanted, made, strict=True))}
        return {key: tf.identity(values[name]) for key, name in outputs.items()}

    specs = {key: tf.TensorSpec(tensor.shape, tensor.dtype, name=key) for key, tensor in inputs.items()}
    return tf.function(run, autograph=False).get_concrete_function(**specs)


def _piece(flat: Flat, given: Collection[str], wanted: Collection[str], also: Collection[str]) -> Any:
    """The nodes that the wanted ones need, as far back as the tensors that are given."""
    import tensorflow as tf

    nodes = {node.name: node for node in flat.graph_def.node}
    found: set[str] = set()
    waiting = [*wanted, *also]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [source.partition(":")[0] for source in _needed(nodes[name], given)]
    piece = tf.compat.v1.GraphDef(versions=flat.graph_def.versions, library=flat.graph_def.library)
    for node in flat.graph_def.node:
        if node.name in found:
            copy = piece.node.add()
            copy.CopyFrom(node)
            copy.attr.pop("_class", None)  # which ops are to stand on one device; some of them are elsewhere now
            kept = [source for source in node.input if not source.startswith("^") or source[1:] in found]
            copy.ClearField("input")
            copy.input.extend(kept)
    return piece


def _needed(node: Any, given: Collection[str]) -> Iterator[str]:
    """A node's data inputs that are not given from outside; order among side effects is made anew."""
    for source in node.input:
        if not source.startswith("^") and (source if ":" in source else f"{source}:0") not in given:
            yield source
