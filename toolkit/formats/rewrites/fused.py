"""Loops that carry an LSTM, a GRU or a simple cell over a list become the one op that ONNX has for it.

A masked step changes nothing, so that the steps that a mask lets through, moved to the front of their row, give the
same states: one op with the rows' own lengths is exact for every mask, wherever its gaps are.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from toolkit.formats.rewrites.affine import joined, joined_bias
from toolkit.formats.rewrites.cells import Cell, Source, plain
from toolkit.formats.rewrites.frozen import Frozen
from toolkit.formats.rewrites.lists import Items
from toolkit.formats.rewrites.recurrence import LoopReader, Recurrence, Written, is_zero
from toolkit.formats.rewrites.retrace import Step, retraced
from toolkit.formats.rewrites.rewrite import Rewrite, Stage
from toolkit.formats.rewrites.rows import Rows
from toolkit.formats.rewrites.unroll import REPLACEMENTS, has_loops, taken_apart
from toolkit.graphs.census import layer_of

# tf2onnx takes minutes for what TFLite's converter does in seconds.
MOST_OPS = 3000


def _while(step: Step) -> Sequence[Any] | None:
    found = LoopReader(step).read()
    if found is None:
        # tf2onnx takes the first length of a list that grows for its length in every step.
        return taken_apart(step, MOST_OPS, growing=False)
    masked = "" if found.mask is None else ", each row's masked steps moved to its end"
    step.tracing.note(f"{step.type} (layer {layer_of(step.op.name)}) became one {found.cell.kind}{masked}")
    return _Fusing(step, found).outputs()


@dataclass(frozen=True)
class _Order:
    """Where the steps that a mask lets through stand: in front, and each row's number of them."""

    mask: Any
    lengths: Any

    def compact(self, rows: Any) -> Any:
        """[steps, batch, features] with the unmasked steps of each row first, in their order."""
        import tensorflow as tf

        steps = tf.shape(self.mask)[0] if self.mask.shape[0] is None else self.mask.shape[0]
        at = tf.range(steps)[:, None]
        # Sorted descending: unmasked steps by their place, then the others, whose order does not matter.
        rank = tf.cast(tf.where(self.mask, steps - at, -1 - at), tf.float32)
        _, order = tf.math.top_k(tf.transpose(rank), steps)
        return self._picked(rows, tf.transpose(order))

    def spread(self, rows: Any, masked: Any) -> Any:
        """The other way round, where a masked step repeats the last unmasked one; `masked` before there is any."""
        import tensorflow as tf

        seen = tf.cumsum(tf.cast(self.mask, tf.int32), 0)
        return tf.where(seen[:, :, None] > 0, self._picked(rows, tf.maximum(seen - 1, 0)), masked)

    def _picked(self, rows: Any, order: Any) -> Any:
        import tensorflow as tf

        batch = tf.shape(rows)[1]
        flat = tf.reshape(rows, [-1, rows.shape[2]])
        return tf.gather(flat, order * batch + tf.range(batch))


@dataclass(frozen=True)
class _Fusing:
    step: Step
    found: Recurrence

    def outputs(self) -> Sequence[Any]:
        """The loop's outputs from one recurrent op."""
        values, found = list(self.step.inputs), self.found
        order = self._order()
        every, last, carried = self._call(order)
        for at, value in enumerate(values):
            if at in found.repeated:
                values[at] = self._kept(order, last, value)
        values[found.cell.hidden] = self._kept(order, last, values[found.cell.hidden])
        if found.cell.carried is not None:
            values[found.cell.carried] = self._kept(order, carried, values[found.cell.carried])
        for at, written in found.written.items():
            values[at] = self._list(written, order, every, last)
        return self._counted(values)

    def _order(self) -> _Order | None:
        import tensorflow as tf

        if self.found.mask is None:
            return None
        mask = tf.squeeze(self.step.inputs[self.found.mask].stacked(), 2)
        if mask.shape[0] is None:
            mask = mask[: self._steps()]
        return _Order(mask, tf.reduce_sum(tf.cast(mask, tf.int32), 0))

    def _kept(self, order: _Order | None, value: Any, initial: Any) -> Any:
        """A state after the loop; a row without any step keeps the one it had."""
        import tensorflow as tf

        if order is None or is_zero(self.step, initial):
            return value
        return tf.where(order.lengths[:, None] > 0, value, initial)

    def _list(self, written: Written, order: _Order | None, every: Any, last: Any) -> Any:
        import tensorflow as tf

        if written.last:
            shown = self._shown(order, written, last)
            return Items((shown,), shown.shape, shown.dtype)
        rows = every if order is None else self._spread(order, written, every)
        if rows.shape[0] is None:
            return Rows(rows)
        return Items(tuple(tf.unstack(rows)), rows.shape[1:], rows.dtype, rows)

    def _shown(self, order: _Order | None, written: Written, last: Any) -> Any:
        """What the last step wrote."""
        import tensorflow as tf

        if order is None:
            return last
        if written.state is not None:
            return self._kept(order, last, self.step.inputs[written.state])
        return tf.where(order.mask[-1][:, None], last, tf.zeros_like(last))

    def _spread(self, order: _Order, written: Written, every: Any) -> Any:
        """What each step wrote: behind a mask the last output before it, or zeros."""
        import tensorflow as tf

        zeros = tf.zeros_like(every[0])
        if written.state is None:
            return tf.where(order.mask[:, :, None], order.spread(every, zeros), zeros)
        initial = self.step.inputs[written.state]
        return order.spread(every, zeros if is_zero(self.step, initial) else initial)

    def _counted(self, values: list[Any]) -> list[Any]:
        """Counters stand at the number of steps."""
        body = self.step.tracing.body(self.step.attr("body").name)
        for at, value in enumerate(values):
            changed = value is self.step.inputs[at] and plain(body.outputs[at]) is not body.inputs[at]
            if changed and body.inputs[at].dtype == "int32":
                values[at] = self._steps()
        return values

    def _steps(self) -> Any:
        import numpy as np

        length = self.step.inputs[self.found.items].length
        return self.step.tracing.folder.constant(np.int32(length)) if isinstance(length, int) else length

    def _call(self, order: _Order | None) -> tuple[Any, Any, Any]:
        """(every output [steps, batch, units], the last one, an LSTM's cell state)."""
        import tensorflow as tf

        cell, inputs = self.found.cell, self.step.inputs
        rows = inputs[self.found.items].stacked()
        initial = [inputs[at] for at in (cell.hidden, cell.carried) if at is not None]
        given = [] if all(is_zero(self.step, one) for one in initial) else [one[None] for one in initial]
        units = initial[0].shape[1]
        lengths = [] if order is None else [order.lengths]
        operands = [rows if order is None else order.compact(rows), *_weights(cell, self._item(), units), *lengths]
        form = {
            "kind": cell.kind,
            "units": units,
            "lengths": bool(lengths),
            "initial": len(given),
            "reset_after": cell.recurrent is not None,
        }
        # TensorFlow has no such op for the CPU; onnx_recurrent.py turns this call into ONNX's.
        results = tf.raw_ops.PyFuncStateless(
            input=[*operands, *given], token=json.dumps(form), Tout=[tf.float32] * (2 + (cell.kind == "LSTM"))
        )
        every = tf.ensure_shape(results[0], [rows.shape[0], rows.shape[1], units])
        states = [tf.ensure_shape(one, [rows.shape[1], units]) for one in results[1:]]
        return every, states[0], states[-1]

    def _item(self) -> Source:
        return next(key for key in self.found.cell.sources if key.kind == "item")


def _weights(cell: Cell, item: Source, units: int) -> tuple[Any, Any, Any]:
    """W [1, gates x units, features], R [1, gates x units, units] and B [1, 2 x gates x units] as ONNX orders them."""
    import tensorflow as tf

    kernel = joined(cell.gates, item, units)
    state = Source("state", cell.hidden, units)
    bias = joined_bias(cell.gates, units)
    further = tf.zeros_like(bias)
    recurrent = joined(cell.gates, state, units)
    if cell.kind == "GRU":
        last = cell.recurrent or cell.gates[2]
        key = next((key for key in last.parts if key.kind != "item"), state)
        candidate = joined([last], key, units)
        recurrent = tf.concat([recurrent[:, : 2 * units], candidate], 1)
        if cell.recurrent is not None:
            further = tf.concat([tf.zeros([2 * units]), joined_bias([cell.recurrent], units)], 0)
    return tf.transpose(kernel)[None], tf.transpose(recurrent)[None], tf.concat([bias, further], 0)[None]


def _apply(frozen: Frozen) -> Frozen:
    changed = retraced(frozen, {**REPLACEMENTS, "While": _while, "StatelessWhile": _while})
    return changed if changed.notes != frozen.notes else frozen


REWRITE = Rewrite("fused", ("onnx",), Stage.CONTROL, has_loops, _apply)
