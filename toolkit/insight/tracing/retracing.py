"""Calls a model's tf.function and tells each trace: what caused it, what it cost, what to write instead."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolkit.building.blame import first_line, own_frame
from toolkit.graphs.retraces import (
    Cause,
    Kind,
    Known,
    causes,
    context_now,
    known_traces,
    parts_of,
    tracing_time,
    types_of,
)


@dataclass(frozen=True)
class Trace:
    """One trace.

    Args:
        call: the number of the call that made it, from 1.
        seconds: building the graph, without running it.
        causes: none for the first trace.
        advice: a line of code that would have spared it; empty where there is nothing to spare.
    """

    call: int
    seconds: float
    causes: Sequence[Cause]
    reason: str
    advice: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        found = [{"argument": at.argument, "kind": at.kind.value, "before": at.before, "after": at.after}
                 for at in self.causes]  # fmt: skip
        return {"call": self.call, "seconds": round(self.seconds, 6), "reason": self.reason, "causes": found,
                "advice": self.advice}  # fmt: skip


@dataclass
class Recorder:
    """Stands in for a tf.function while its calls are watched.

    Args:
        function: the tf.function.
        name: how people write it: `model`, for instance.
    """

    function: Any
    name: str
    calls: int = 0
    traces: list[Trace] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _seen: list[Mapping[str, Any]] = field(default_factory=list)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the function, and looks at what that made."""
        self.calls += 1
        types, context, before = types_of(self.function, args, kwargs), context_now(), known_traces(self.function)
        self._seen.append(types)
        try:
            with tracing_time() as seconds:
                return self.function(*args, **kwargs)
        except Exception as error:  # whatever the model raises is noted, and the caller's
            self.failures.append(f"call {self.calls}: {type(error).__name__}: {first_line(error)} ({own_frame(error)})")
            raise
        finally:
            self._look(types, context, before, seconds)

    def _look(self, types: Mapping[str, Any], context: Any, before: Sequence[Known], seconds: Sequence[float]) -> None:
        old = {id(known.concrete) for known in before}
        made = [known for known in known_traces(self.function) if id(known.concrete) not in old]
        found = causes(types, context, before)
        for number, _ in enumerate(made):
            first = not before
            reason = "; ".join(map(said, found))
            if first:
                reason = "the first call" if not number else "the first call made variables, so it was traced again"
            advice = "" if first else self._advice(found)
            # TensorFlow's counter has both traces of such a first call; they cost about the same.
            self.traces.append(Trace(self.calls, sum(seconds) / len(made), found, reason, advice))

    def _advice(self, found: Sequence[Cause]) -> str:
        lines = dict.fromkeys(line for cause in found if (line := self._line(cause)))
        return "; ".join(lines)

    def _line(self, cause: Cause) -> str:
        name = cause.argument
        number = next((text for text in (cause.after, cause.before) if text.startswith("Python ")), None)
        if cause.kind is Kind.SHAPE:
            specs = self._input_signature()
            how = f"input_signature=[{specs}]" if specs else "reduce_retracing=True"
            line = f"{self.name} = tf.function({self.name}, {how})"
        elif number is not None:
            line = f"{name}=tf.constant({number.split(' ', 2)[2]})  # always a tensor: one trace for all values"
        elif cause.kind is Kind.DTYPE:
            line = f"{name}=tf.cast({name}, tf.{cause.before.partition('[')[0]})"
        elif cause.kind is Kind.STRUCTURE:
            line = f"# always pass {name} as {cause.before}"
        elif cause.kind is Kind.OBJECT:
            line = f"# one trace for each object: make {name} once and keep it"
        else:
            line = "# call it outside of other devices, graphs and strategies, or once in each"
        return line

    def _input_signature(self) -> str:
        """Specs that cover every call so far; empty where an argument is no tensor."""
        written = []
        for name in self._seen[-1]:
            kinds = [types[name] for types in self._seen if name in types]
            code = _code(name, _common(kinds))
            if code is None:
                return ""
            written.append(code)
        return ", ".join(written)


def said(cause: Cause) -> str:
    """A cause in words."""
    what = f"{cause.argument}: {cause.kind.value} " if cause.argument else ""
    return f"{what}{cause.before} -> {cause.after}"


def _common(kinds: Sequence[Any]) -> Any:
    """The narrowest type that covers the newest and as many of the others as it can."""
    found = kinds[-1]
    for kind in kinds[:-1]:
        wider = found.most_specific_common_supertype([kind])
        found = found if wider is None else wider
    return found


def _code(name: str, kind: Any) -> str | None:
    """A trace type as an input_signature has it; None for what it cannot hold."""
    if type(kind).__name__ == "TensorSpec":
        dims = "None" if kind.shape.rank is None else str(kind.shape.as_list())
        return f'tf.TensorSpec({dims}, tf.{kind.dtype.name}, name="{name}")'
    parts = parts_of(kind)
    if not parts:
        return None
    written = {key: _code(f"{name}_{key}", part) for key, part in parts.items()}
    if any(part is None for part in written.values()):
        return None
    if type(kind).__name__ == "Dict":
        return "{" + ", ".join(f"{key!r}: {part}" for key, part in written.items()) + "}"
    return "[" + ", ".join(str(part) for part in written.values()) + "]"
