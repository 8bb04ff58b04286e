"""Finds Python side effects in the code that tracing runs: they happen while tracing and never again."""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Sequence
from types import FunctionType, MethodType
from typing import Any

_CALLS = {"print", "input", "open"}
_MODULES = {"random", "time", "logging", "datetime", "warnings"}
_MUTATORS = {"append", "extend", "insert", "update", "setdefault", "pop", "clear", "remove", "add"}
_DEPTH = 6


def side_effects_of(model: Any, functions: Sequence[Any]) -> tuple[str, ...]:
    """`file:line: what` of each print, append, attribute write and the like in the user's code behind a model.

    Static: reads the source of the functions, of the methods and functions they call, and of a Keras model's own
    layers; libraries are left out, and so is what only touches a function's local names.
    """
    found: list[str] = []
    for function in _reachable(model, functions):
        for effect in _effects(function):
            if effect not in found:
                found.append(effect)
    return tuple(found)


def _reachable(model: Any, functions: Sequence[Any]) -> Iterator[FunctionType]:
    waiting: list[tuple[Any, int]] = [(function, 0) for function in functions]
    layers = model._flatten_layers() if hasattr(model, "_flatten_layers") else [model]  # noqa: SLF001  # Keras offers no public walk
    for layer in layers:
        waiting += [(getattr(layer, name, None), 0) for name in ("call", "__call__")]
    seen: set[Any] = set()
    while waiting:
        candidate, depth = waiting.pop(0)
        owner = getattr(candidate, "__self__", None)
        function = _plain(candidate)
        if function is None or function.__code__ in seen or depth > _DEPTH or not _is_users(function):
            continue
        seen.add(function.__code__)
        yield function
        waiting += [(called, depth + 1) for called in _called(function, owner)]


def _plain(candidate: Any) -> FunctionType | None:
    candidate = getattr(candidate, "python_function", candidate)
    candidate = inspect.unwrap(candidate) if callable(candidate) else candidate
    if isinstance(candidate, MethodType):
        candidate = candidate.__func__
    return candidate if isinstance(candidate, FunctionType) else None


def _is_users(function: FunctionType) -> bool:
    name = function.__code__.co_filename
    return "site-packages" not in name and "/toolkit/building/" not in name and not name.startswith("<")


def _called(function: FunctionType, owner: Any) -> Iterator[Any]:
    closed = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    for node in ast.walk(_tree(function)):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name):
            name = node.func.id
            yield closed[name].cell_contents if name in closed else function.__globals__.get(name)
        elif isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "self":
            yield getattr(owner, node.func.attr, None)


def _tree(function: FunctionType) -> ast.AST:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError, TypeError):
        return ast.Module([], [])  # typed at a prompt, or a lambda inside a larger expression: nothing to read


def _effects(function: FunctionType) -> Iterator[str]:
    tree = _tree(function)
    code = function.__code__
    local = set(code.co_varnames[code.co_argcount + code.co_kwonlyargcount :])
    for node in ast.walk(tree):
        what = _effect(node, local, set(code.co_freevars))
        if what:
            line = code.co_firstlineno + getattr(node, "lineno", 1) - 1
            yield f"{code.co_filename}:{line}: {what} runs at trace time only"


def _effect(node: ast.AST, local: set[str], free: set[str]) -> str | None:
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func)
        base = name.split(".")[0]
        if name in _CALLS or base in _MODULES or name.startswith(("np.random.", "numpy.random.")):
            return f"{name}(...)"
        if isinstance(node.func, ast.Attribute) and node.func.attr in _MUTATORS and base not in local:
            return f"{name}(...)"
    if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            if isinstance(target, ast.Attribute) and ast.unparse(target).split(".")[0] not in local:
                return f"writing {ast.unparse(target)}"
            if isinstance(target, ast.Subscript) and ast.unparse(target.value) in free:
                return f"writing {ast.unparse(target)}"
    if isinstance(node, ast.Global | ast.Nonlocal):
        return f"writing {', '.join(node.names)}"
    return None
