"""Gives a model that was made again from its source the weights and the state that its bundle was saved with."""

from pathlib import Path
from typing import Any

from toolkit.core.artifact import Manifest
from toolkit.core.model import TracedModel
from toolkit.errors import BenchError


def restore_weights(traced: TracedModel, bundle: Path, manifest: Manifest) -> None:
    """Assigns the values of the bundle's SavedModel: a model without trained weights draws others whenever it is built.

    Variables are matched by name; where names repeat, the model stays as it was built and its answers will tell.

    Raises:
        BenchError: the source no longer makes variables of these shapes.
    """
    import tensorflow as tf

    from toolkit.graphs.resources import resources_of

    paths = [bundle / found.path for found in manifest.artifacts if found.path]
    saved = next((path for path in paths if (path / "variables" / "variables.index").exists()), None)
    variables = {variable.name.split(":")[0]: variable for variable in resources_of(traced.functions).variables}
    if saved is None or not variables:
        return
    reader = tf.train.load_checkpoint(str(saved / "variables" / "variables"))
    keys = _keys(reader)
    if set(keys) != set(variables):
        return
    for name, variable in variables.items():
        value = reader.get_tensor(keys[name])
        if tuple(value.shape) != tuple(variable.shape):
            raise BenchError(
                f"'{name}' now has shape {list(variable.shape)}, in the bundle {list(value.shape)}",
                hint="build it again",
            )
        variable.assign(value)


def _keys(reader: Any) -> dict[str, str]:
    """Variable name to its key in the checkpoint."""
    from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

    graph = TrackableObjectGraph.FromString(reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
    return {found.full_name: found.checkpoint_key for node in graph.nodes for found in node.attributes}
