"""The whole of `tfx-export trace`: its report, its gate, and what it says of models with something to find."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toolkit.graphs.census import ops_by_type

Write = Callable[[str, str], Path]
FOUND = """
import time
import tensorflow as tf
from toolkit import ModelSpec, TensorSpec

SEEN = []

class Branchy(tf.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0
        self.weight = tf.Variable([1.0, 2.0, 3.0])

    def __call__(self, x):
        print("traced")
        SEEN.append(time.time())
        self.calls += 1
        if tf.reduce_sum(x) > 0.0:
            x = x * self.weight
        return x

MODEL = ModelSpec("branchy", Branchy, inputs={"x": TensorSpec("float32", (None, 3))})
"""
CLEAN = """
import tensorflow as tf
from toolkit import ModelSpec, TensorSpec

class Clean(tf.Module):
    def __init__(self):
        super().__init__()
        self.weight = tf.Variable([1.0, 2.0, 3.0])

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
    def __call__(self, x):
        return x * self.weight

MODEL = ModelSpec("clean", Clean, inputs={"x": TensorSpec("float32", (None, 3))})
"""
UNTURNED = """
import keras
import tensorflow as tf
from toolkit import ModelSpec, TensorSpec

class Picky(keras.layers.Layer):
    def call(self, x):
        if tf.reduce_sum(x) > 0.0:
            return x
        return -x

MODEL = ModelSpec("picky", lambda: keras.Sequential([Picky()]), inputs={"x": TensorSpec("float32", (None, 3))})
"""
COUNTING = """
import tensorflow as tf
from toolkit import ModelSpec, TensorSpec

class Counting(tf.Module):
    def __init__(self):
        super().__init__()
        self.count = tf.Variable(0.0)

    def __call__(self, x):
        return x + self.count.assign_add(1.0)

MODEL = ModelSpec("counting", Counting, inputs={"x": TensorSpec("float32", (None, 3))})
"""


def test_what_a_model_does_at_trace_time_only_is_found_by_line(cli: Callable[..., Any], write: Write) -> None:
    place = str(write("branchy.py", FOUND))
    said = cli("trace", place, "--json")
    assert said.code == 0, said.err
    found = said.document["result"]
    lines = FOUND.splitlines()

    def line(text: str) -> int:
        return next(at for at, written in enumerate(lines, 1) if text in written)

    effects = {effect.partition(".py:")[2] for effect in found["side_effects"]}
    for text, what in (
        ("print(", "print(...)"),
        ("SEEN.append", "SEEN.append(...)"),
        ("time.time", "time.time(...)"),
        ("self.calls +=", "writing self.calls"),
    ):
        assert f"{line(text)}: {what} runs at trace time only" in effects
    assert [text.partition(".py:")[2] for text in found["control_flow"]] == [
        f"{line('if tf')}: if on a tensor became a conditional op"
    ]
    (signature,) = found["signatures"]
    assert "CPU:0" in signature["devices"]
    assert signature["threads"]["verdict"] in {"faster", "slower", "no difference"}


def test_a_clean_model_has_no_finding(cli: Callable[..., Any], write: Write) -> None:
    said = cli("trace", str(write("clean.py", CLEAN)), "--json", "--max-traces", "1")
    assert said.code == 0, said.err
    found = said.document["result"]
    assert (found["traces"], found["side_effects"], found["control_flow"]) == (1, [], [])


def test_more_traces_than_allowed_are_refused(cli: Callable[..., Any], write: Write) -> None:
    said = cli("trace", str(write("branchy.py", FOUND)), "--max-traces", "1")
    assert said.code == 6
    assert "traces, 1 allowed" in said.err
    assert "tf.function(branchy, input_signature=" in said.err
    assert "x: shape float32[1, 3] -> float32[2, 3]" in said.out
    assert "branchy · serving_default" in said.out


def test_control_flow_that_could_not_be_turned_is_told_by_line(cli: Callable[..., Any], write: Write) -> None:
    said = cli("trace", str(write("picky.py", UNTURNED)))
    assert said.code == 2
    line = next(at for at, text in enumerate(UNTURNED.splitlines(), 1) if "if tf" in text)
    assert f"picky.py:{line} could not be turned into graph ops" in said.err
    assert "tf.cond" in said.err
    assert "Traceback" not in said.err


def test_a_graph_with_state_is_run_as_a_server_loads_it(cli: Callable[..., Any], write: Write) -> None:
    said = cli("trace", str(write("counting.py", COUNTING)), "--json")
    assert said.code == 0, said.err
    (signature,) = said.document["result"]["signatures"]
    assert set(signature["placement"].values()) == set(signature["devices"]) == {"CPU:0"}
    assert signature["threads"]["times_as_fast"] is not None


def test_tensorboard_reads_what_is_written(cli: Callable[..., Any], write: Write, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing import plugin_asset_util
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorflow.core.framework.graph_pb2 import GraphDef

    place = tmp_path / "board"
    said = cli("trace", str(write("clean.py", CLEAN)), "--tensorboard", str(place), "--json")
    assert said.code == 0, said.err
    (run,) = said.document["result"]["written"]
    events = EventAccumulator(run)
    events.Reload()
    graph = GraphDef.FromString(events.Graph().SerializeToString())
    assert "Mul" in ops_by_type(graph)
    (profile,) = plugin_asset_util.ListAssets(run, "profile")
    files = list((Path(run) / "plugins" / "profile" / profile).glob("*.xplane.pb"))
    assert files
    assert all(file.stat().st_size > 0 for file in files)


def test_a_picture_that_cannot_be_written_is_told(cli: Callable[..., Any], write: Write, tmp_path: Path) -> None:
    said = cli("trace", str(write("clean.py", CLEAN)), "--picture", str(tmp_path))
    assert said.code == 4
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing-like-it"], "there is no model"),
        (["HERE", "--signature", "other"], "has no signature 'other'"),
        (["HERE", "--calls", "none.py"], "there is no file none.py"),
        (["HERE", "--max-traces", "-1"], "-1 is not in the range"),
    ],
)
def test_wrong_input_is_told_in_a_line(cli: Callable[..., Any], write: Write, words: list[str], said: str) -> None:
    place = str(write("clean.py", CLEAN))
    answered = cli("trace", *[place if word == "HERE" else word for word in words])
    assert answered.code == 2
    assert said in answered.err
    assert "Traceback" not in answered.err
