"""The command line of scripts/train.py: which names it takes, and what each remakes."""

import argparse
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).resolve().parent
DATASETS = ("digits", "sentences", "penguins")


def trainers() -> list[str]:
    """Models with weights: one file each, ending in a function `train`."""
    return sorted(path.stem for path in (HERE / "recipes").glob("*.py"))


def main(arguments: list[str]) -> int:
    """Train each named model and say how well it does on rows it has not seen."""
    parser = argparse.ArgumentParser(prog="scripts/train.py", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(trainers())}; none trains all")
    parser.add_argument("--data", choices=DATASETS, help="remake a data file from the package that ships it, and stop")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in trainers()]
    if unknown:
        parser.error(f"no recipe for {', '.join(unknown)}: use one of {', '.join(trainers())}")
    if options.data:
        import_module(f"scripts.training.datasets.{options.data}").write()
        return 0
    for name in options.names or trainers():
        import_module(f"scripts.training.recipes.{name}").train()
    return 0
