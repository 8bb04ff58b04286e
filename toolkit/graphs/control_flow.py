"""Which Python `if`, `while` and `for` AutoGraph turned into graph ops while a model was traced, by file and line."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

# What AutoGraph calls once a condition turned out to be a tensor (tensorflow/python/autograph/operators).
_STATEMENTS = {
    "_tf_if_stmt": "if on a tensor became a conditional op",
    "_tf_while_stmt": "while on a tensor became a loop op",
    "_tf_range_for_stmt": "for over tf.range became a loop op",
    "_known_len_tf_for_stmt": "for over a tensor became a loop op",
    "_tf_iterator_for_stmt": "for over an iterator became a loop op",
}
_LIBRARIES = ("site-packages", "dist-packages")


@dataclass
class ControlFlow:
    """The statements that were turned, in the order of their first turning."""

    _found: dict[str, str] = field(default_factory=dict)

    @property
    def statements(self) -> tuple[str, ...]:
        """`file:line: what became of it`."""
        return tuple(f"{place}: {what}" for place, what in self._found.items())


@contextmanager
def watched_control_flow() -> Iterator[ControlFlow]:
    """Watches AutoGraph while the block traces something. Not for two threads at once."""
    from tensorflow.python.autograph.impl import api
    from tensorflow.python.autograph.operators import control_flow

    found, sources = ControlFlow(), dict[str, Any]()
    transform = api._TRANSPILER.transform

    def remembered(*args: Any, **kwargs: Any) -> Any:
        function, module, source_map = transform(*args, **kwargs)
        sources[module.__file__] = source_map
        return function, module, source_map

    kept = {name: getattr(control_flow, name) for name in _STATEMENTS}
    # AutoGraph tells nobody what it turns; its operators are asked instead.
    api._TRANSPILER.transform = remembered
    for name, what in _STATEMENTS.items():
        setattr(control_flow, name, _noting(kept[name], what, sources, found._found))
    try:
        yield found
    finally:
        del api._TRANSPILER.transform
        for name, operator in kept.items():
            setattr(control_flow, name, operator)


def _noting(
    operator: Callable[..., Any], what: str, sources: dict[str, Any], found: dict[str, str]
) -> Callable[..., Any]:
    def noted(*args: Any, **kwargs: Any) -> Any:
        place = _place(sys._getframe(1), sources)
        if place is not None:
            found.setdefault(place, what)  # a `for` goes on as a loop with a condition
        return operator(*args, **kwargs)

    return noted


def _place(frame: FrameType | None, sources: dict[str, Any]) -> str | None:
    """file:line of the user's statement behind the innermost generated frame; None where that is a library's."""
    from tensorflow.python.autograph.pyct.origin_info import LineLocation

    while frame is not None:
        source_map = sources.get(frame.f_code.co_filename)
        if source_map is not None:
            origin = source_map.get(LineLocation(filename=frame.f_code.co_filename, lineno=frame.f_lineno))
            if origin is not None:
                file = origin.loc.filename
                return None if any(name in file for name in _LIBRARIES) else f"{file}:{origin.loc.lineno}"
        frame = frame.f_back
    return None
