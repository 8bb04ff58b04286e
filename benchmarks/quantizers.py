"""Which quantizer makes the better TFLite file? Prints a row for each: python -m benchmarks.quantizers [MODEL...].

TensorFlow Lite's converter, whose files the formats `tflite-int8` and `tflite-dynamic` are, beside ai-edge-quantizer
(no dependency of this project: `pip install ai-edge-quantizer`), from the same model with the same calibration data.
Size, the task's figure on held-out data, and a call at batch 1 in LiteRT, one thread, rounds interleaved.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import toolkit
from benchmarks.rounds import ROOT, machine
from toolkit.building.catalog import resolve
from toolkit.core.model import ModelSpec
from toolkit.core.tensors import Feed
from toolkit.errors import ParityError

ROUNDS, CALLS = 15, 60


def main() -> int:
    """Print a row for each file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["mlp", "cnn", "transformer"])
    print(*machine(), sep="\n")
    for name in parser.parse_args().models:
        spec = resolve(name, ROOT).spec
        with tempfile.TemporaryDirectory() as folder:
            files = _files(name, spec, Path(folder))
            assert spec.calibration is not None, "ranges of integers take calibration data"
            times = _times({key: _runner(content) for key, content in files.items()}, next(iter(spec.calibration())))
        for key, content in files.items():
            print(f"{name:12} {key:32} {len(content):9} B  {_task(spec, content)}  {times[key]:7.1f} us")
    return 0


def _files(name: str, spec: ModelSpec, folder: Path) -> dict[str, bytes]:
    found = {}
    for one in ("tflite", "tflite-int8", "tflite-dynamic"):
        try:
            toolkit.build(name, formats=("saved_model", one), out=folder / one)
        except ParityError as error:
            print(f"refused: {error}")
        else:
            found[one] = (folder / one / one / "serving_default.tflite").read_bytes()
    for recipe in ("static_wi8_ai8", "dynamic_wi8_afp32"):
        found[f"ai-edge-quantizer {recipe}"] = _other(folder / "tflite/tflite/serving_default.tflite", recipe, spec)
    return found


def _other(path: Path, recipe: str, spec: ModelSpec) -> bytes:
    from ai_edge_quantizer import quantizer
    from ai_edge_quantizer import recipe as recipes

    made = quantizer.Quantizer(str(path))
    # By itself a static recipe makes the edges integers, too, which the files it stands beside do not have.
    edges = [{"regex": ".*", "operation": edge, "algorithm_key": "no_quantize"} for edge in ("INPUT", "OUTPUT")]
    made.load_quantization_recipe([*getattr(recipes, recipe)(), *edges])
    feeds = {"serving_default": [dict(feed) for feed in spec.calibration()]} if spec.calibration else {}
    calibration = made.calibrate(feeds) if made.need_calibration else None
    return bytes(made.quantize(calibration).quantized_model)


def _runner(content: bytes) -> Callable[[Feed], Mapping[str, Any]]:
    from ai_edge_litert.interpreter import Interpreter

    signature = Interpreter(model_content=content, num_threads=1).get_signature_runner("serving_default")
    return lambda feed: signature(**feed)


def _task(spec: ModelSpec, content: bytes) -> str:
    return f"{spec.evaluate(_runner(content)):.4f}" if spec.evaluate else "-"


def _times(runners: Mapping[str, Callable[[Feed], Any]], feed: Feed) -> dict[str, float]:
    found: dict[str, list[float]] = {key: [] for key in runners}
    for _ in range(ROUNDS):
        for key, run in runners.items():
            started = time.perf_counter()
            for _ in range(CALLS):
                run(feed)
            found[key].append((time.perf_counter() - started) / CALLS * 1e6)
    return {key: statistics.median(values) for key, values in found.items()}


if __name__ == "__main__":
    raise SystemExit(main())
