"""What `tfx-export build` costs, all verification included, against the three bare conversions of the same model.

    python -m benchmarks.build_cost [--model mlp] [--rounds 5]

Bare is one process: tf.saved_model.save of the traced function, TFLiteConverter and tf2onnx, and nothing else. The
start of every process (imports, for `build` also the child's) is timed apart and in no ratio. Processor time, of parent
and child together, is what tells on a busy machine.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.rounds import ROOT, interleaved, machine, ratio, verdict

LIMIT = 3.0


def bare(model: str) -> dict[str, Any]:
    """Seconds of the start, of making the model, and of each conversion."""
    clock = _Clock()
    import keras
    import tensorflow as tf
    import tf2onnx.convert  # noqa: F401  # its import belongs to the start

    from toolkit.building.catalog import resolve
    from toolkit.building.load import build_model
    from toolkit.building.trace import trace_model

    assert keras.layers
    tf.constant(0)
    clock.lap("start")
    entry = resolve(model, ROOT)
    traced = trace_model(entry.spec, build_model(entry.spec))
    functions = traced.functions
    clock.lap("model")
    spent = time.process_time()
    with tempfile.TemporaryDirectory() as directory:
        _convert(functions, Path(directory), clock)
    cpu_s = time.process_time() - spent
    return {
        "start_s": clock.laps.pop("start"),
        "model_s": clock.laps.pop("model"),
        "steps_s": clock.laps,
        "cpu_s": cpu_s,
    }


def _convert(functions: Mapping[str, Any], directory: Path, clock: "_Clock") -> None:
    """The three conversions and nothing else, a lap each."""
    import tensorflow as tf
    import tf2onnx.convert

    root = tf.Module()
    root.weights = [list(function.variables) for function in functions.values()]
    tf.saved_model.save(root, str(directory / "saved_model"), signatures=dict(functions))
    clock.lap("saved_model")
    for name, function in functions.items():
        content = tf.lite.TFLiteConverter.from_concrete_functions([function], root).convert()
        (directory / f"{name}.tflite").write_bytes(content)
    clock.lap("tflite")
    for name, function in functions.items():
        specs = list(function.structured_input_signature[1].values())
        path = str(directory / f"{name}.onnx")
        tf2onnx.convert.from_function(tf.function(_positional(function)), specs, opset=18, output_path=path)
    clock.lap("onnx")


def _positional(function: Any) -> Callable[..., Any]:
    names = list(function.structured_input_signature[1])
    return lambda *tensors: function(**dict(zip(names, tensors, strict=True)))


def build(model: str) -> dict[str, Any]:
    """Seconds of both processes' start, and of each step of a build."""
    clock = _Clock()
    from toolkit.building import jobs
    from toolkit.building.catalog import resolve
    from toolkit.building.isolate import Isolated
    from toolkit.building.pipeline import Options, build_bundle

    with Isolated() as child, tempfile.TemporaryDirectory() as directory:
        child.prepare(jobs.warm_up)
        jobs.warm_up()
        child.run(jobs.warm_up, timeout_s=600)
        clock.lap("start")
        spent = _cpu_s(child)
        steps: list[str] = ["finding the model"]

        def progress(step: str) -> None:
            clock.lap(steps.pop())
            steps.append(step)

        outcome = build_bundle(resolve(model, ROOT), Options(Path(directory)), child, progress)
        clock.lap(steps.pop())
        if outcome.error:
            raise SystemExit(outcome.error.message)
        cpu_s = _cpu_s(child) - spent
    return {"start_s": clock.laps.pop("start"), "steps_s": clock.laps, "cpu_s": cpu_s}


def _cpu_s(child: Any) -> float:
    own: float = time.process_time()
    return own + float(child.run(time.process_time, timeout_s=60))


class _Clock:
    """Seconds between laps."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = self.laps.get(name, 0.0) + now - self._last
        self._last = now


SIDES = {"bare": bare, "build": build}


def main() -> int:
    """Print both sides' steps and the ratio; 1 where the limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mlp")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(SIDES[options.side](options.model)))
        return 0
    print(*machine(), sep="\n")
    sides = {name: ["-m", "benchmarks.build_cost", "--model", options.model, "--side", name] for name in SIDES}
    found = interleaved(sides, options.rounds)
    _show(found)
    conversions = [sum(one["steps_s"].values()) for one in found["bare"]]
    builds = [sum(one["steps_s"].values()) for one in found["build"]]
    with_model = [one["model_s"] + total for one, total in zip(found["bare"], conversions, strict=True)]
    print(f"build against bare conversions:                        {ratio(builds, conversions)}")
    print(f"the same, making the model counted on the bare side:  {ratio(builds, with_model)}")
    cpu = ratio(*([one["cpu_s"] for one in found[side]] for side in ("build", "bare")))
    print(f"build against bare conversions, processor time:       {cpu}")
    return 0 if verdict("build against bare conversions", ratio(builds, conversions).median, LIMIT, " x") else 1


def _show(found: dict[str, list[dict[str, Any]]]) -> None:
    for side, documents in found.items():
        print(f"{side}: start {statistics.median(one['start_s'] for one in documents):.2f} s, then, median seconds:")
        model = [one["model_s"] for one in documents if "model_s" in one]
        if model:
            print(f"  {statistics.median(model):6.3f}  making the model")
        for step in documents[0]["steps_s"]:
            print(f"  {statistics.median(one['steps_s'][step] for one in documents):6.3f}  {step}")
        print(f"  {statistics.median(sum(one['steps_s'].values()) for one in documents):6.3f}  together")
        print(f"  {statistics.median(one['cpu_s'] for one in documents):6.3f}  processor time")


if __name__ == "__main__":
    sys.exit(main())
