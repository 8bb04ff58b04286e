"""Writes a traced model as the SavedModel that TensorFlow Serving loads: each variable once, tables and assets inside.

The root is a bare trackable with the raw variables, never the user's model: through Keras' own tracking each variable
is saved twice, the restore op fills one copy and the signature reads the other (tensorflow/serving#2226, #2250).
"""

from collections.abc import Sequence
from pathlib import Path

from toolkit.core.model import TracedModel
from toolkit.core.plugins import Format
from toolkit.core.tensors import Feed
from toolkit.formats.rewrites.served_graph import clean
from toolkit.graphs.resources import resources_of
from toolkit.wire.messages import PredictRequest, Target
from toolkit.wire.rpc import encode_warmup_record

WARMUP_BATCH_SIZES = (1, 8, 32)
# tensorflow_serving/servables/tensorflow/saved_model_warmup_util.h: more make the model fail to load.
WARMUP_LIMIT = 1000


def export(traced: TracedModel, directory: Path) -> Sequence[str]:
    """Write the SavedModel and its warm-up requests."""
    write(traced, directory)
    notes = clean(directory, {name: signature.method for name, signature in traced.signatures.items()})
    _write_warmup(traced, directory)
    return notes


def write(traced: TracedModel, directory: Path) -> None:
    """The bare SavedModel of the signatures."""
    import tensorflow as tf

    resources = resources_of(traced.functions)
    root = tf.__internal__.tracking.AutoTrackable()
    root.variables = list(resources.variables)
    root.resources = list(resources.others)
    tf.saved_model.save(root, str(directory), signatures=dict(traced.functions))


def _write_warmup(traced: TracedModel, directory: Path) -> None:
    """assets.extra/tf_serving_warmup_requests: TFRecords of PredictionLog, which the server runs before AVAILABLE."""
    import tensorflow as tf

    records = [
        encode_warmup_record(PredictRequest(Target(traced.spec.name, signature=name), feed))
        for name in traced.signatures
        for feed in _warmup_feeds(traced, name)
    ]
    extra = directory / "assets.extra"
    extra.mkdir()
    with tf.io.TFRecordWriter(str(extra / "tf_serving_warmup_requests")) as writer:
        for record in records[:WARMUP_LIMIT]:
            writer.write(record)


def _warmup_feeds(traced: TracedModel, name: str) -> list[Feed]:
    batched = any(spec.batched for spec in traced.signatures[name].inputs.values())
    return [traced.samples[name](batch_size, 0) for batch_size in (WARMUP_BATCH_SIZES if batched else (1,))]


FORMAT = Format(name="saved_model", export=export, isolated=False, memory_factor=3.0)
