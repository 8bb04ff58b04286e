"""Writes a model's graphs and a profile of its calls where TensorBoard finds them."""

from collections.abc import Sequence
from pathlib import Path

from toolkit.core.files import storage_errors
from toolkit.core.model import TracedModel

CALLS = 5


def write(folder: Path, traced: TracedModel, signatures: Sequence[str]) -> list[Path]:
    """One run for each signature below `folder`, with its graph and a profile of a few calls.

    Raises:
        StoreError: the folder cannot be written.
    """
    import tensorflow as tf

    runs = []
    for name in signatures:
        run, function = folder / name, traced.functions[name]
        feed = {key: tf.constant(value) for key, value in traced.samples[name](1, 0).items()}
        with storage_errors(run):
            run.mkdir(parents=True, exist_ok=True)
            with tf.summary.create_file_writer(str(run)).as_default():
                tf.summary.graph(function.graph.as_graph_def(add_shapes=True))
                tf.summary.trace_on(graph=False, profiler=True, profiler_outdir=str(run))
                for _ in range(CALLS):
                    function(**feed)
                tf.summary.trace_export("calls", step=0)
        runs.append(run)
    return runs
