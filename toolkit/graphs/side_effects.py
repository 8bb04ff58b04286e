"""Finds Python side effects in the code that tracing runs: they happen while tracing and never again."""

import ast
import builtins
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

from toolkit.graphs.python_code import UNKNOWN, Code, codes_behind

_CALLS = frozenset({"print", "input", "open"})
_REACHING = frozenset({"next", "setattr", "delattr"})  # into their first argument
_MODULES = frozenset({"random", "time", "logging", "datetime", "warnings", "_io"})
_MUTATORS = frozenset(
    {"append", "appendleft", "extend", "insert", "update", "setdefault", "pop", "popitem", "popleft", "clear", "remove"}
    | {"add", "discard", "sort", "reverse"}
)


def side_effects_of(model: Any, functions: Sequence[Any]) -> tuple[str, ...]:
    """`file:line: what` of each print, append, attribute write and the like in the user's code behind a model.

    Static: reads the source of the functions, of what they call, and of a Keras model's own layers. Libraries are left
    out, and so is what only touches values that are gone after the call.
    """
    layers = model._flatten_layers() if hasattr(model, "_flatten_layers") else ()  # Keras offers no public walk
    found: dict[str, None] = {}
    for code in codes_behind([*functions, *layers]):
        once = set(_made_once(code))
        for node in code.nodes:
            for what in _effects(code, node) if node not in once else ():
                found[f"{code.function.__code__.co_filename}:{getattr(node, 'lineno', 1)}: {what}"] = None
    return tuple(f"{place} runs at trace time only" for place in found)


def _made_once(code: Code) -> Iterator[ast.AST]:
    """The writes of `if self.w is None: self.w = tf.Variable(...)`, by which a module makes variables when called."""
    for node in code.nodes:
        if not isinstance(node, ast.If):
            continue
        written = [target for part in node.body if isinstance(part, ast.Assign) for target in part.targets]
        names = [ast.unparse(target) for target in written]
        if any(ast.unparse(node.test) in {f"{name} is None", f"not {name}"} for name in names):
            yield from written


def _effects(code: Code, node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call):
        if _acts(code, node):
            yield f"{ast.unparse(node.func)}(...)"
    elif isinstance(node, ast.Attribute | ast.Subscript):
        if not isinstance(node.ctx, ast.Load) and code.outlives(node):
            yield f"writing {ast.unparse(node)}"
    elif isinstance(node, ast.Global | ast.Nonlocal):
        names = [name for name in node.names if name not in code.local]
        if names:
            yield f"writing {', '.join(names)}"


def _acts(code: Code, call: ast.Call) -> bool:
    called = code.value(call.func)
    if isinstance(call.func, ast.Name):
        name = call.func.id
        if name in _REACHING and called is getattr(builtins, name):
            return bool(call.args) and code.outlives(call.args[0])
        return (name in _CALLS and called is getattr(builtins, name)) or _of_module(called)
    if not isinstance(call.func, ast.Attribute):
        return False
    receiver = code.value(call.func.value)
    if _of_module(receiver) or _of_module(called):
        return True
    return call.func.attr in _MUTATORS and code.outlives(call.func) and _is_container(receiver)


def _of_module(thing: Any) -> bool:
    """Whether it is one of the modules whose functions act on or read the world, or of their making."""
    if thing is UNKNOWN:
        return False
    name = thing.__name__ if isinstance(thing, ModuleType) else getattr(thing, "__module__", None)
    name = name if isinstance(name, str) else type(thing).__module__
    # A random generator of NumPy's is a Python object like those of `random`.
    return name.split(".")[0] in _MODULES or name.startswith("numpy.random")


def _is_container(receiver: Any) -> bool:
    if receiver is UNKNOWN:
        return False
    # Keras and TensorFlow wrap the lists and dicts of a model's attributes in classes that stay lists and dicts.
    return isinstance(receiver, list | dict | set | bytearray) or hasattr(receiver, "appendleft")
