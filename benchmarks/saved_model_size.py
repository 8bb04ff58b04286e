"""How many bytes of variables a SavedModel holds, as a multiple of the weights that its signatures read.

python -m benchmarks.saved_model_size [MODEL]...

Each shipped Keras model is trained for one step with Adam first, since that is what a trained model carries along.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.rounds import ROOT, verdict

LIMIT = 1.02
MODELS = ("mlp", "cnn", "sequence", "transformer", "mobilenet")
_DATA = "variables/variables.data-00000-of-00001"


def main() -> int:
    """Print a table; 1 where ours holds more than each weight once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=MODELS, metavar="MODEL")
    worst = 0.0
    print(f"{'model':12} {'weights':>10}   {'tfx-export':>10}   {'model.export':>12}   tf.saved_model.save")
    for name in parser.parse_args().models:
        weights, shares = _shares(name)
        ours, exported, naive = shares
        print(f"{name:12} {weights / 1e6:7.2f} MB   {ours:8.2f} x   {exported:10.2f} x   {naive:8.2f} x", flush=True)
        worst = max(worst, ours)
    return 0 if verdict("tfx-export, the worst model", worst, LIMIT, " x") else 1


def _shares(name: str) -> tuple[int, list[float]]:
    import tensorflow as tf

    from toolkit.building.catalog import resolve
    from toolkit.building.load import build_model
    from toolkit.building.trace import trace_model
    from toolkit.formats.saved_model import FORMAT
    from toolkit.graphs.resources import resources_of

    spec = resolve(name, ROOT).spec
    built = build_model(spec)
    traced = trace_model(spec, built)
    weights = resources_of(traced.functions).variable_bytes
    _train_once(built.model, next(iter(traced.samples.values()))(8, 0))
    ways: tuple[Callable[[Path], Any], ...] = (
        lambda directory: FORMAT.export(traced, directory),
        lambda directory: built.model.export(directory, verbose=False),
        lambda directory: tf.saved_model.save(built.model, directory),
    )
    return weights, [_data_bytes(way) / weights for way in ways]


def _train_once(model: Any, feed: dict[str, Any]) -> None:
    model.compile("adam", "mse")
    tensors = next(iter(feed.values())) if len(feed) == 1 else feed
    model.train_on_batch(tensors, model(tensors).numpy() * 0)


def _data_bytes(save: Callable[[Path], Any]) -> int:
    with tempfile.TemporaryDirectory() as directory:
        save(Path(directory))
        return (Path(directory) / _DATA).stat().st_size


if __name__ == "__main__":
    sys.exit(main())
