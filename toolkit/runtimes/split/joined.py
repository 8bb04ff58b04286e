"""Makes one Runner of a file's runtime and of what TensorFlow runs before and after it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace

import numpy as np

from toolkit.core.plugins import Opening
from toolkit.core.runner import FunctionRunner, Runner
from toolkit.core.split import FOLDER, Part, read_split
from toolkit.core.tensors import Array, Feed, Outputs, Signature
from toolkit.errors import ParityError
from toolkit.runtimes import saved_model

Open = Callable[[Opening], AbstractContextManager[Runner]]


@contextmanager
def joined(opening: Opening, open_file: Open) -> Iterator[Runner]:
    """A Runner over the whole signature: the file alone, or where it is split all its parts one after the other.

    Args:
        opening: of the artifact's file.
        open_file: how the format's own runtime opens it.

    Raises:
        ParityError: file and SavedModel were not made together.
    """
    split = read_split(opening.path)
    if split is None:
        with open_file(opening) as runner:
            yield runner
        return
    with ExitStack() as stack:
        steps = [
            (part, stack.enter_context(_open_part(opening, part, open_file if part is split.back else None)))
            for part in split.parts
        ]
        signature = Signature(
            {
                name: runner.signature.inputs[name]
                for part, runner in steps
                for name in part.inputs
                if name in split.inputs
            },
            {
                name: runner.signature.outputs[name]
                for part, runner in steps
                for name in part.outputs
                if name in split.outputs
            },
            opening.signature.method,
        )
        name = next(runner.name for part, runner in steps if part is split.back)
        yield FunctionRunner(name, signature, _run(steps, split.outputs))


@contextmanager
def _open_part(opening: Opening, part: Part, open_file: Open | None) -> Iterator[Runner]:
    own = replace(opening, signature_name=part.signature, signature=Signature(part.inputs, part.outputs))
    if open_file is None:
        own, open_file = replace(own, path=opening.path.parent / FOLDER), saved_model.open_runner
    with open_file(own) as runner:
        for wanted, actual in ((part.inputs, runner.signature.inputs), (part.outputs, runner.signature.outputs)):
            if set(wanted) != set(actual):
                raise ParityError(
                    f"'{part.signature}' of {own.path} has {', '.join(sorted(actual)) or 'nothing'}, "
                    f"the split wants {', '.join(sorted(wanted))}",
                    hint="build the bundle again",
                )
        yield runner


def _run(steps: Sequence[tuple[Part, Runner]], outputs: Sequence[str]) -> Callable[[Feed], Outputs]:
    plan = [(tuple(part.inputs), runner.run) for part, runner in steps]

    def run(feed: Feed) -> Outputs:
        made: dict[str, Array] = {}
        for names, run_part in plan:
            found = run_part({name: feed[name] if name in feed else made[name] for name in names})
            # A Session gives a number where others want an array without dimensions.
            made |= {name: np.asarray(value) for name, value in found.items()}
        return {name: made[name] for name in outputs}

    return run
