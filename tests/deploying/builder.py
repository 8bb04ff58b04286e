"""Deploys in a process that a test can kill: `builder.py VERB FOLDER BUNDLE before|after`."""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from tests.core.builder import die_at
from toolkit.deploying import operations
from toolkit.deploying.layout import Layout
from toolkit.deploying.publish import publish, restore, withdraw
from toolkit.verifying.bundle import check_files


def published(layout: Layout, bundle: Path) -> None:
    publish(layout, bundle, check_files(bundle), {"p50_ms": 1.5})


def taken_out(layout: Layout, bundle: Path) -> None:
    withdraw(layout, max(layout.versions()), "wrong")


def brought_back(layout: Layout, bundle: Path) -> None:
    restore(layout, max(layout.withdrawn_versions()))


def cleared(layout: Layout, bundle: Path) -> None:
    operations.carry_out(operations.gc_steps(layout, 1, set()), lambda text: None, dry_run=False)


Act = Callable[[Layout, Path], None]
# What stands there before, and what is then done and killed.
VERBS: dict[str, tuple[list[Act], Act]] = {
    "publish": ([published], published),
    "withdraw": ([published, published], taken_out),
    "restore": ([published, published, taken_out], brought_back),
    "gc": ([published, published, published, taken_out], cleared),
}


def main(verb: tuple[list[Act], Act], folder: Path, bundle: Path, moment: str) -> None:
    """One go each in folder/1, folder/2 …, the n-th killed at its n-th call, until one comes to its end."""
    before, act = verb
    start = Layout(folder / "start", "times")
    with start.alone():
        for step in before:
            step(start, bundle)
    number, status = 0, -1
    while status:
        number += 1
        child = os.fork()
        if not child:
            layout = Layout(folder / str(number), "times")
            shutil.copytree(start.base, layout.base)
            for config in layout.base.glob("*.config"):
                config.write_text(config.read_text().replace(str(start.base), str(layout.base)))
            die_at(number, moment)
            with layout.alone():
                act(layout, bundle)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert status in (0, signal.SIGKILL), status
    sys.stdout.write(f"{number}\n")


if __name__ == "__main__":
    main(VERBS[sys.argv[1]], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
