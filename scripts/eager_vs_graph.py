#!/usr/bin/env python3
"""Reruns the classic comparison of eager and graph execution, and what it leaves open; prints docs/eager-vs-graph.md.

Usage: scripts/eager_vs_graph.py [--calls 1000] [MODEL]... > docs/eager-vs-graph.md
   or: scripts/eager_vs_graph.py --reports mlp.json --reports mobilenet.json > docs/eager-vs-graph.md
with reports that `tfx-export bench --json` made on this machine before.
"""

import argparse
import io
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from timeit import timeit
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from toolkit.errors import ToolkitError
from toolkit.measure.awake import cores_awake
from toolkit.measure.bench import BenchRequest, measure
from toolkit.measure.report import Report, merged, read_report
from toolkit.measure.table import readable_s, tables_of, to_markdown

PATHS = ("eager", "function", "graph", "graph-plain", "graph-frozen", "xla", "onnx", "grpc")
PUBLISHED_CALLS = 10_000
INTRODUCTION = """# Eager or graph?

Printed by `scripts/eager_vs_graph.py`, which reruns the experiments of a well-known introduction to eager and graph
execution beside the figures published with it (another machine and another release: read the ratios), and then what
it leaves open.
"""


def main() -> None:
    """Prints the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=["mlp", "transformer", "mobilenet"])
    parser.add_argument("--reports", type=Path, action="append", default=[], help="measured before, in place of MODEL")
    parser.add_argument("--calls", type=int, default=1000, help="of the feed-forward network")
    options = parser.parse_args()
    try:
        # Before the experiments: reports that do not fit together are said so at once.
        before = merged(map(read_report, options.reports)) if options.reports else None
    except ToolkitError as error:
        parser.error(f"{error.message}; {error.hint}")
    say = sys.stdout.write
    with cores_awake() as idle:
        say(INTRODUCTION + f"\n{machine()}; idle cores {idle}.\n")
        for chapter in (squaring, printing, eagerly):
            say(f"\n{chapter()}\n")
        for counted in (network, predict, training):
            say(f"\n{counted(options.calls)}\n")
    found = before or measured(options.models)
    say(f"\n{retracing()}\n\n{larger(found)}\n")


def machine() -> str:
    """Where this was run, and how busy it was: single timings suffer from a busy machine most."""
    import tensorflow as tf

    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    return f"TensorFlow {tf.__version__}, Python {platform.python_version()}, {platform.machine()}, CPU; {load}"


def table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [headings, ("---", *["---:"] * (len(headings) - 1)), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@contextmanager
def hidden() -> Iterator[io.StringIO]:
    """What is printed inside, kept off the page; printing still costs its time."""
    with redirect_stdout(io.StringIO()) as text:
        yield text


def squares() -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """The squaring function without and with a print."""

    def plain(x: Any) -> Any:
        return x**2

    def printing_too(x: Any) -> Any:
        result = x**2
        print(result)
        return result

    return plain, printing_too


def squaring() -> str:
    """The first two experiments."""
    import tensorflow as tf

    x = tf.constant([1, 2, 3, 4, 5])
    # TensorFlow's and AutoGraph's own start is nobody's call.
    tf.function(lambda value: value + 1)(x)
    with hidden():
        print(x**2)
    rows = []
    published_s = {1: ("0.00088", "0.00121"), 100: ("0.0696", "0.0263")}
    for print_too, published in ((True, published_s), (False, {})):
        function = squares()[print_too]
        graph = tf.function(function)  # one for both rows: its trace falls into the first
        for count in (1, 100):
            with hidden():
                eager_s = timeit(lambda: function(x), number=count)  # noqa: B023  # called at once
                graph_s = timeit(lambda: graph(x), number=count)  # noqa: B023  # called at once
            was = published.get(count, ("-", "-"))
            what = f"{count} x, {'with' if print_too else 'without'} the print"
            rows.append((what, f"{eager_s:.5f} s", f"{graph_s:.5f} s", f"{eager_s / graph_s:.2f}", *was))
    text = table(("squaring five numbers", "eager", "graph", "ratio", "published eager", "published graph"), rows)
    return f"""## A squaring function

{text}

The graph is slower at first: its first call traces. Over a hundred further calls eager prints a hundred times and the
graph never again: compare eager with and without the print to see how much of the published gap it makes. The print
goes to memory here; to a notebook, as published, it costs more. Without it both have one operation to run, and the
graph adds the cost of its own call: one operation gives it nothing to gain."""


def printing() -> str:
    """The print happens only while tracing."""
    import tensorflow as tf

    graph = tf.function(squares()[1])
    x = tf.constant(3)
    with hidden() as text:
        for _ in range(3):
            graph(x)
    said = text.getvalue().strip().splitlines()
    return f"""## Python runs while tracing

Three calls of the graph printed {len(said)} line: `{said[0]}`.
It shows a symbolic tensor, not 9: Python ran once, while the graph was made, and never again. `tfx-export build` names
such effects of a model in its manifest."""


def eagerly() -> str:
    """tf.config.run_functions_eagerly."""
    import tensorflow as tf

    graph = tf.function(squares()[1])
    x = tf.constant(3)
    tf.config.run_functions_eagerly(True)
    try:
        with hidden() as text:
            for _ in range(3):
                graph(x)
    finally:
        tf.config.run_functions_eagerly(False)
    lines = len(text.getvalue().strip().splitlines())
    return f"""## `tf.config.run_functions_eagerly(True)`

The same three calls printed {lines} lines: every `tf.function` runs as plain Python, which is how one debugs it."""


def feed_forward() -> Any:
    """The feed-forward network of the introduction, untrained."""
    from models.mlp import network as untrained

    return untrained()


def network(calls: int) -> str:
    """The third experiment."""
    import tensorflow as tf

    model, images = feed_forward(), tf.random.uniform([60, 28, 28])
    graph = tf.function(model)
    graph(images)
    eager_s = timeit(lambda: model(images), number=calls) / calls
    graph_s = timeit(lambda: graph(images), number=calls) / calls
    rows = [
        ("published, per call", readable_s(27.15 / PUBLISHED_CALLS), readable_s(17.88 / PUBLISHED_CALLS), "1.52"),
        (f"here, mean of {calls} calls", readable_s(eager_s), readable_s(graph_s), f"{eager_s / graph_s:.2f}"),
    ]
    text = table(("feed-forward network, [60, 28, 28]", "eager", "graph", "ratio"), rows)
    return f"""## A feed-forward network

{text}

A Keras 3 call checks and converts its arguments in Python on every call; the graph does that once, while tracing."""


def predict(calls: int) -> str:
    """A tf.function around a Keras model, next to model.predict."""
    import tensorflow as tf

    model, images = feed_forward(), tf.random.uniform([60, 28, 28])
    graph = tf.function(model)
    few = max(1, calls // 20)
    graph(images)
    model.predict(images, verbose=0)
    wrapped_s = timeit(lambda: graph(images).numpy(), number=calls) / calls
    predict_s = timeit(lambda: model.predict(images, verbose=0), number=few) / few
    rows = [(readable_s(wrapped_s), readable_s(predict_s), f"{predict_s / wrapped_s:.0f}")]
    text = table(("tf.function(model)", "model.predict", "ratio"), rows)
    return f"""## `tf.function(model)` next to `model.predict`

{text}

Both run a graph. `predict` makes a data set, an iterator and callbacks for each call: it is for many batches, not
for one."""


def training(calls: int) -> str:
    """A training step, eager and as a graph."""
    import keras
    import tensorflow as tf

    model = feed_forward()
    images, labels = tf.random.uniform([60, 28, 28]), tf.random.uniform([60], maxval=10, dtype=tf.int32)
    optimizer = keras.optimizers.SGD(0.01)
    optimizer.build(model.trainable_variables)

    def step() -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(labels, model(images, training=True)))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    graph = tf.function(step)
    compiled = tf.function(step, jit_compile=True)
    few = max(1, calls // 10)
    times = []
    for function in (step, graph, compiled):
        function()
        times.append(timeit(function, number=few) / few)
    rows = [(*map(readable_s, times), f"{times[0] / times[1]:.2f}", f"{times[0] / times[2]:.2f}")]
    headings = ("training step, eager", "graph", "XLA", "eager / graph", "eager / XLA")
    return f"## A training step\n\n{table(headings, rows)}"


def retracing() -> str:
    """What Python numbers as arguments cost."""
    import tensorflow as tf

    traces = 0

    def power(x: Any, exponent: Any) -> Any:
        nonlocal traces
        traces += 1
        return x**exponent

    x = tf.constant(1.0)
    rows = []
    tensors = [tf.constant(float(at)) for at in range(50)]
    for what, exponents in (("Python numbers", list(range(50))), ("tensors", tensors)):
        traces = 0
        graph = tf.function(power)
        seconds = timeit(lambda: [graph(x, one) for one in exponents], number=1) / 50  # noqa: B023  # called at once
        rows.append((what, str(traces), readable_s(seconds)))
    text = table(("fifty values as", "traces", "time of a call"), rows)
    return f"""## Retracing

{text}

A Python number is part of the graph, so that each new one is a new graph; a tensor is an argument."""


def measured(models: list[str]) -> Report:
    """The other forms, larger models, and the way over a server, by `tfx-export bench --quick`."""

    def tell(what: str, _done: float, _of: float) -> None:
        sys.stderr.write(f"{what}\n")

    return measure(BenchRequest(models=models, paths=PATHS, batch_sizes=(1, 32), effort="quick"), tell)


def larger(report: Report) -> str:
    """What was measured of them."""
    batches = " ".join(f"--batch {size}" for size in report.settings["batch_sizes"])
    models = " ".join(report.models)
    effort = "" if report.effort.name == "normal" else f" --{report.effort.name}"
    return f"""## Larger models, XLA, frozen, served

`tfx-export bench {models}{effort} {batches}`; how to read it: [measuring.md](measuring.md).

{to_markdown(tables_of(report))}"""


if __name__ == "__main__":
    main()
