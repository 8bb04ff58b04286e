"""Asks the eager model on real samples: the golden cases, and what it does that says what artifacts may be asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit.building.blame import first_line, own_frame
from toolkit.core.artifact import Behaviour
from toolkit.core.golden import Case
from toolkit.core.model import TracedModel
from toolkit.core.parity import DEFAULT_TOLERANCES, EXACT
from toolkit.core.tensors import Feed, Outputs
from toolkit.errors import TraceError
from toolkit.graphs.census import STATE_WRITES, layers_of
from toolkit.graphs.resources import resources_of
from toolkit.verifying.compare import compare
from toolkit.verifying.parity import AGAIN, chosen_rows, single_row

BATCH_SIZES = (1, 7, 32)


@dataclass(frozen=True)
class Baseline:
    """The golden cases of every signature, in order, and each signature's behaviour."""

    cases: tuple[Case, ...]
    behaviour: dict[str, Behaviour]


def record_baseline(traced: TracedModel) -> Baseline:
    """The eager model's answers at batch 1, 7, 32 and the spec's own sizes; its variables are as before afterwards."""
    state = _State(traced)
    cases: list[Case] = []
    behaviour = {}
    for name in traced.signatures:
        found, facts = _Recorder(traced, name, state).record()
        cases += found
        behaviour[name] = facts
    state.restore()
    return Baseline(tuple(cases), behaviour)


class _State:
    """The values that the model's variables had when it was saved, to start every case from."""

    def __init__(self, traced: TracedModel) -> None:
        # Frozen weights cannot change; copying them would double the memory of a large model.
        graphs = (function.graph.as_graph_def() for function in traced.functions.values())
        stateful = any(layers_of(graph_def, *STATE_WRITES) for graph_def in graphs)
        self._variables = resources_of(traced.functions).variables if stateful else ()
        self._values = [np.array(variable.numpy()) for variable in self._variables]

    def restore(self) -> bool:
        """Whether a call had changed something."""
        changed = False
        for variable, value in zip(self._variables, self._values, strict=True):
            if not np.array_equal(variable.numpy(), value):
                variable.assign(value)
                changed = True
        return changed


@dataclass(frozen=True)
class _Recorder:
    traced: TracedModel
    name: str
    state: _State

    def record(self) -> tuple[list[Case], Behaviour]:
        signature = self.traced.signatures[self.name]
        batched = any(spec.batched for spec in signature.inputs.values())
        cases: list[Case] = []
        random: set[str] = set()
        stateful = False
        for case_name, batch_size, seed in self._questions(batched):
            feed = self.traced.samples[self.name](batch_size, seed)
            first = self._ask(feed)
            second = self._ask(feed)
            changed = self.state.restore()
            stateful |= changed
            repeated = self._ask(feed) if changed else second
            self.state.restore()
            random |= {key for key in first if not self._agrees(key, first, repeated)}
            cases.append(Case(self.name, case_name, feed, first))
            if changed:
                cases.append(Case(self.name, case_name + AGAIN, feed, second))
        compared = [key for key in signature.outputs if key not in random]
        independent = not stateful and self._rows_stand_alone(cases, compared)
        return cases, Behaviour(tuple(sorted(random)), stateful, independent)

    def _questions(self, batched: bool) -> list[tuple[str, int, int]]:
        if not batched:
            return [(f"sample{seed}", 1, seed) for seed in range(3)]
        sizes = sorted({*BATCH_SIZES, *self.traced.spec.batch_sizes})
        return [(f"batch{size}", size, seed) for seed, size in enumerate(sizes)]

    def _ask(self, feed: Feed) -> Outputs:
        try:
            outputs = self.traced.eager[self.name](feed)
        except Exception as error:  # runs the user's model
            sizes = ", ".join(f"{key}{list(array.shape)}" for key, array in feed.items())
            raise TraceError(
                f"the eager model '{self.traced.spec.name}' fails on {sizes}: "
                f"{type(error).__name__}: {first_line(error)}",
                hint=f"do the declared inputs and samples fit it? see {own_frame(error)}",
            ) from error
        missing = set(self.traced.signatures[self.name].outputs) ^ set(outputs)
        if missing:
            raise TraceError(
                f"'{self.traced.spec.name}' called eagerly and traced differ in outputs {', '.join(sorted(missing))}",
                hint="return the same structure in both",
            )
        return outputs

    def _agrees(self, key: str, expected: Outputs, actual: Outputs) -> bool:
        spec = self.traced.signatures[self.name].outputs[key]
        limit = self.traced.spec.tolerances.get(key, DEFAULT_TOLERANCES.get(spec.dtype, EXACT))
        return compare(key, np.asarray(expected[key]), np.asarray(actual[key]), limit).passed

    def _rows_stand_alone(self, cases: Sequence[Case], compared: Sequence[str]) -> bool:
        signature: Any = self.traced.signatures[self.name]
        for case in cases:
            rows = chosen_rows(signature, case, compared)
            for row in rows:
                alone = self._ask(single_row(signature, case.feed, row))
                expected = {key: case.outputs[key][row : row + 1] for key in compared}
                if not all(self._agrees(key, expected, alone) for key in compared):
                    return False
            if rows:
                return True
        return False
