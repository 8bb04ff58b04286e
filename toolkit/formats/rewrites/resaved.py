"""Writes a frozen graph as a SavedModel of one signature, for converters that read nothing else."""

from pathlib import Path
from typing import Any

from toolkit.formats.rewrites.frozen import Frozen


def concrete(frozen: Frozen) -> Any:
    """The frozen graph as a tf ConcreteFunction with its named inputs and outputs."""
    import tensorflow as tf

    shapes = {node.name: node.attr for node in frozen.graph_def.node if node.op == "Placeholder"}

    def spec(key: str, tensor: str) -> Any:
        attributes = shapes[tensor.partition(":")[0]]
        return tf.TensorSpec(tf.TensorShape(attributes["shape"].shape), tf.as_dtype(attributes["dtype"].type), key)

    def call(**given: Any) -> Any:
        outputs = tf.graph_util.import_graph_def(
            frozen.graph_def,
            input_map={tensor: given[key] for key, tensor in frozen.inputs.items()},
            return_elements=list(frozen.outputs.values()),
            name="",
        )
        return dict(zip(frozen.outputs, outputs, strict=True))

    specs = {key: spec(key, tensor) for key, tensor in frozen.inputs.items()}
    return tf.function(call, autograph=False).get_concrete_function(**specs)


def resave(frozen: Frozen, signature: str, directory: Path) -> Any:
    """Writes the SavedModel; gives the function that is in it."""
    import tensorflow as tf

    function = concrete(frozen)
    root = tf.Module()
    tf.saved_model.save(root, str(directory), signatures={signature: function})
    return function
