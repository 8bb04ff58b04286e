"""Holds a runner against recorded cases: names, dtypes, values, repeated runs, single rows, a stateful second call."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

import numpy as np

from toolkit.core.artifact import Behaviour
from toolkit.core.golden import Case
from toolkit.core.parity import DEFAULT_TOLERANCES, EXACT, Allowed, Check, Deviation, Tolerance
from toolkit.core.runner import Runner
from toolkit.core.tensors import Array, Feed, Outputs, Signature, TensorSpec, composite_parts
from toolkit.errors import ToolkitError
from toolkit.verifying.compare import allow, compare, worse

AGAIN = ".again"  # the case that is the second call of the one before it


@dataclass(frozen=True)
class Expectation:
    """What one signature must do.

    Args:
        cases: the baseline's answers.
        tolerances: by output name, in place of the one of the dtype.
        allowed: differences that a person let pass, by output name.
    """

    name: str
    signature: Signature
    cases: Sequence[Case]
    behaviour: Behaviour
    tolerances: Mapping[str, Tolerance] = field(default_factory=dict)
    allowed: Mapping[str, Allowed] = field(default_factory=dict)

    def tolerance(self, output: str) -> Tolerance:
        """What this output is judged by."""
        default = DEFAULT_TOLERANCES.get(self.signature.outputs[output].dtype, EXACT)
        return self.tolerances.get(output, default)

    @property
    def compared(self) -> list[str]:
        """The outputs that eager repeats."""
        return [name for name in self.signature.outputs if name not in self.behaviour.random]


def check_runner(runtime: str, open_runner: Callable[[], AbstractContextManager[Runner]], wanted: Expectation) -> Check:
    """The verdict on one signature in one runtime; whatever a runtime raises becomes a problem of the check."""
    finding = _Finding(wanted)
    try:
        for group in _groups(wanted):
            with open_runner() as runner:
                finding.add_problems(_signature_problems(wanted.signature, runner.signature))
                if not finding.problems:
                    _run_group(runner, group, finding)
                # Rows that are independent keep no state either: there is one group, and its runner may go on.
                if wanted.behaviour.rows_independent and not finding.problems:
                    _run_rows(runner, wanted, finding)
    except ToolkitError as error:
        finding.add_problems([error.message.partition("\n")[0]])  # TensorFlow adds the stack of its graph
    outputs = {name: allow(deviation, wanted.allowed.get(name)) for name, deviation in finding.deviations.items()}
    sizes = sorted({size for case in wanted.cases if (size := batch_size(wanted.signature, case.feed)) is not None})
    return Check(wanted.name, runtime, tuple(sizes), outputs, tuple(finding.problems))


def batch_size(signature: Signature, feed: Feed) -> int | None:
    """Rows of a feed; None where no input has an open first dimension."""
    parts = composite_parts(signature.inputs)
    sizes = [feed[name].shape[0] for name, spec in signature.inputs.items() if spec.batched and name not in parts]
    sizes += [feed[name].shape[0] - 1 for name in parts if name.endswith(("_row_splits", "_row_splits_0"))]
    sizes += [int(feed[name][0]) for name in parts if name.endswith("_dense_shape")]
    return sizes[0] if sizes else None


def at_batch(wanted: Expectation, size: int) -> Expectation:
    """What is asked of a file that takes one batch size alone: the cases of that size, and no row by itself."""

    def fixed(spec: TensorSpec) -> TensorSpec:
        return replace(spec, shape=(size, *spec.shape[1:])) if spec.batched and spec.shape else spec

    inputs = {name: fixed(spec) for name, spec in wanted.signature.inputs.items()}
    cases = [case for case in wanted.cases if batch_size(wanted.signature, case.feed) in {size, None}]
    return replace(
        wanted,
        signature=replace(wanted.signature, inputs=inputs),
        cases=cases,
        behaviour=replace(wanted.behaviour, rows_independent=False),
    )


def single_row(signature: Signature, feed: Feed, row: int) -> dict[str, Array]:
    """The feed that asks for one row alone."""
    return {name: feed[name][row : row + 1] if spec.batched else feed[name] for name, spec in signature.inputs.items()}


def chosen_rows(signature: Signature, case: Case, outputs: Sequence[str]) -> Sequence[int]:
    """The rows that are asked alone: the first, a middle and the last one, where every output has a row for each."""
    if composite_parts(signature.inputs) or composite_parts(outputs):
        return ()  # a row of a ragged or sparse tensor is no slice of its parts
    size = batch_size(signature, case.feed)
    same = all(case.outputs[name].ndim > 0 and case.outputs[name].shape[0] == size for name in outputs)
    inputs = all(case.feed[name].shape[0] == size for name, spec in signature.inputs.items() if spec.batched)
    return sorted({0, size // 2, size - 1}) if size and size > 1 and same and inputs else ()


@dataclass
class _Finding:
    """What was seen so far of one check."""

    wanted: Expectation
    deviations: dict[str, Deviation] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add_problems(self, problems: Sequence[str]) -> None:
        self.problems += [problem for problem in problems if problem not in self.problems]

    def add_outputs(self, expected: Outputs, actual: Outputs, where: str) -> None:
        for name in self.wanted.compared:
            if name not in actual:
                self.add_problems([f"output '{name}' is missing; there are {', '.join(actual) or 'none'}"])
                continue
            found = compare(name, expected[name], np.asarray(actual[name]), self.wanted.tolerance(name))
            if found.problem:
                found = _located(found, where)
            known = self.deviations.get(name)
            self.deviations[name] = worse(known, found) if known else found


def _located(deviation: Deviation, where: str) -> Deviation:
    return replace(deviation, problem=f"{where}: {deviation.problem}")


def _groups(wanted: Expectation) -> Iterator[list[Case]]:
    """Cases that share one runner: all of them, or where calls change state each first call with its second."""
    if not wanted.behaviour.stateful:
        yield list(wanted.cases)
        return
    group: list[Case] = []
    for case in wanted.cases:
        if group and not case.name.endswith(AGAIN):
            yield group
            group = []
        group.append(case)
    yield group


def _run_group(runner: Runner, group: Sequence[Case], finding: _Finding) -> None:
    for case in group:
        outputs = runner.run(case.feed)
        finding.add_outputs(case.outputs, outputs, case.name)
        if finding.wanted.behaviour.stateful:
            continue
        # Memory that a kernel forgot to write shows as another answer to the same question.
        kept = {name: _bytes(outputs[name]) for name in finding.wanted.compared if name in outputs}
        again = runner.run(case.feed)
        changed = [name for name, first in kept.items() if name not in again or _bytes(again[name]) != first]
        finding.add_problems([f"output '{name}' changes between two runs of the same feed" for name in changed])


def _run_rows(runner: Runner, wanted: Expectation, finding: _Finding) -> None:
    case = next((case for case in wanted.cases if chosen_rows(wanted.signature, case, wanted.compared)), None)
    if case is None:
        return
    for row in chosen_rows(wanted.signature, case, wanted.compared):
        alone = runner.run(single_row(wanted.signature, case.feed, row))
        expected = {name: case.outputs[name][row : row + 1] for name in wanted.compared}
        finding.add_outputs(expected, alone, f"row {row} of {case.name} asked alone")


def _bytes(array: Array) -> bytes:
    array = np.asarray(array)
    return repr(array.tolist()).encode() if array.dtype.kind == "O" else array.tobytes()


def _signature_problems(wanted: Signature, found: Signature) -> list[str]:
    problems = []
    for side, want, have in (("input", wanted.inputs, found.inputs), ("output", wanted.outputs, found.outputs)):
        missing, extra = sorted(set(want) - set(have)), sorted(set(have) - set(want))
        if missing or extra:
            expected, actual = ", ".join(sorted(want)), ", ".join(sorted(have))
            problems.append(f"its {side}s are named {actual or 'nothing'}, expected {expected}")
            continue
        for name in want:
            problems += _spec_problems(f"{side} '{name}'", want[name], have[name])
    return problems


def _spec_problems(what: str, want: TensorSpec, have: TensorSpec) -> list[str]:
    if want.dtype != have.dtype:
        return [f"{what} is {have.dtype}, expected {want.dtype}"]
    if want.shape is None or have.shape is None:
        return []
    # LiteRT calls an output a scalar whose rank it does not know before the first run; its values are compared anyway.
    if what.startswith("output") and (len(want.shape) == len(have.shape) or not have.shape):
        return []
    # A dimension that the format fixed though it is open refuses other sizes; the other way round is harmless.
    fitting = len(want.shape) == len(have.shape) and all(
        theirs is None or mine == theirs for mine, theirs in zip(want.shape, have.shape, strict=True)
    )
    return [] if fitting else [f"{what} is {have}, expected {want}"]
