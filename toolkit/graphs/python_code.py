"""Reads the Python functions behind a model: their syntax trees, what their names stand for, and what they call."""

import ast
import builtins
import functools
import inspect
import linecache
import os
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any

UNKNOWN = object()  # what only running the code would tell
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_OURS = f"{Path(__file__).resolve().parents[1]}{os.sep}"
_STANDARD = f"{sysconfig.get_path('stdlib')}{os.sep}"


@dataclass(frozen=True)
class Code:
    """A function of a user's, and the object that it is a method of, if any."""

    function: FunctionType
    owner: Any = None

    @cached_property
    def trees(self) -> list[ast.AST]:
        """Its syntax; several where lambdas of one line cannot be told apart, none where there is no source."""
        code = self.function.__code__
        parameters = code.co_varnames[: code.co_argcount]
        return [
            node
            for node in _tree_of(code.co_filename).get(code.co_firstlineno, ())
            if getattr(node, "name", "<lambda>") == code.co_name
            and tuple(part.arg for part in (*node.args.posonlyargs, *node.args.args)) == parameters
        ]

    @property
    def nodes(self) -> Iterator[ast.AST]:
        """Every node of it, nested functions included."""
        for tree in self.trees:
            yield from ast.walk(tree)

    @cached_property
    def local(self) -> frozenset[str]:
        """Names that it or a function inside it binds: what they hold is gone after the call."""
        names = {node.arg for node in self.nodes if isinstance(node, ast.arg)}
        names |= {node.id for node in self.nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        names |= {node.name for node in self.nodes if isinstance(node, ast.FunctionDef) and node not in self.trees}
        declared = {name for node in self.nodes if isinstance(node, ast.Global | ast.Nonlocal) for name in node.names}
        return frozenset(names - (declared & ({*self.function.__globals__} | {*self.function.__code__.co_freevars})))

    @cached_property
    def imported(self) -> dict[str, Any]:
        """Names that it imports itself; only what is loaded already, for nothing is run here."""
        found: dict[str, Any] = {}
        for node in self.nodes:
            if isinstance(node, ast.Import):
                for part in node.names:
                    whole = part.asname or part.name.split(".")[0]
                    found[whole] = sys.modules.get(part.name if part.asname else whole, UNKNOWN)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                module = sys.modules.get(node.module or "")
                found |= {part.asname or part.name: getattr(module, part.name, UNKNOWN) for part in node.names}
        return found

    @property
    def own_name(self) -> str | None:
        """What it calls the object that it is a method of."""
        names = self.function.__code__.co_varnames[: self.function.__code__.co_argcount]
        return names[0] if self.owner is not None and names else None

    def outlives(self, node: ast.AST) -> bool:
        """Whether what an expression such as `self.seen[0]` reaches into was there before the call."""
        while isinstance(node, ast.Attribute | ast.Subscript):
            node = node.value
        return isinstance(node, ast.Name) and (node.id == self.own_name or node.id not in self.local)

    def value(self, node: ast.AST) -> Any:
        """What a name or a dotted name stands for, or UNKNOWN."""
        if isinstance(node, ast.Name):
            return self._named(node.id)
        if isinstance(node, ast.Attribute):
            return attribute(self.value(node.value), node.attr)
        return UNKNOWN

    def _named(self, name: str) -> Any:
        if name == self.own_name:
            return self.owner
        if name in self.imported:
            return self.imported[name]
        if name in self.local:
            return UNKNOWN
        closed = closed_over(self.function)
        if name in closed:
            return closed[name]
        return self.function.__globals__.get(name, getattr(builtins, name, UNKNOWN))

    def reached(self) -> Iterator[Any]:
        """What it calls, and the functions that it hands to others, as tf.map_fn takes them."""
        for node in self.nodes:
            if isinstance(node, ast.Call):
                yield self.value(node.func)
                for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                    handed = self.value(argument)
                    if isinstance(handed, FunctionType | MethodType):
                        yield handed
        # A decorator holds the function that it wraps.
        yield from closed_over(self.function).values()


def codes_behind(candidates: Sequence[Any]) -> Iterator[Code]:
    """Every function of a user's that calling these would run, each once; libraries are passed through."""
    waiting, seen = list(candidates), set()
    while waiting:
        candidate = waiting.pop(0)
        for code in _functions_of(candidate):
            users = is_users(code.function)
            # One wrapper's code of a library's may wrap many functions.
            key = (code.function.__code__ if users else code.function, id(code.owner))
            if key in seen:
                continue
            seen.add(key)
            if users:
                yield code
                waiting += code.reached()
            else:
                wrapped = getattr(code.function, "__wrapped__", None)
                waiting += [wrapped] if wrapped is not None else _kept(code.function)


def attribute(holder: Any, name: str) -> Any:
    """An attribute without running a property or `__getattr__` of anyone's."""
    if holder is UNKNOWN:
        return UNKNOWN
    if isinstance(holder, ModuleType):
        return vars(holder).get(name, UNKNOWN) if _is_users_module(holder) else _loaded(holder, name)
    found = inspect.getattr_static(holder, name, UNKNOWN)
    if isinstance(found, staticmethod):
        return found.__func__
    if isinstance(found, classmethod):
        return MethodType(found.__func__, holder)
    if isinstance(found, FunctionType) and not isinstance(holder, type):
        return MethodType(found, holder)
    # A tf.function binds itself to its object.
    return getattr(holder, name) if _is_graph_function(found) else found


def closed_over(function: FunctionType) -> dict[str, Any]:
    """The names of a closure and what they hold; one that holds nothing yet is left out."""
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # assigned later
            continue
    return found


def is_users(function: FunctionType) -> bool:
    """Whether a function is neither of a library nor of this package."""
    name = function.__code__.co_filename
    installed = "site-packages" in name or "dist-packages" in name
    return not (installed or name.startswith(("<", _OURS, _STANDARD)))


def _loaded(module: ModuleType, name: str) -> Any:
    # A library that loads its parts when they are asked for may lack what one of them needs.
    try:
        return getattr(module, name, UNKNOWN)
    except (ImportError, RuntimeError):
        return UNKNOWN


def _is_users_module(module: ModuleType) -> bool:
    return "site-packages" not in (getattr(module, "__file__", None) or "site-packages")


def _functions_of(candidate: Any) -> Iterator[Code]:
    if candidate is UNKNOWN or isinstance(candidate, type | ModuleType):
        return
    if isinstance(candidate, functools.partial):
        yield from _functions_of(candidate.func)
    elif isinstance(candidate, MethodType):
        # A tf.function that is a method holds its object by a weak reference.
        owner = getattr(candidate.__self__, "weakrefself_target__", None)
        if isinstance(candidate.__func__, FunctionType):
            yield Code(candidate.__func__, owner() if owner else candidate.__self__)
    elif isinstance(candidate, FunctionType):
        yield Code(candidate)
    elif _is_graph_function(candidate):
        yield from _functions_of(candidate.python_function)
    else:
        for name in ("call", "__call__"):
            method = attribute(candidate, name)
            if isinstance(method, MethodType) or _is_graph_function(method):
                yield from _functions_of(method)


def _is_graph_function(thing: Any) -> bool:
    return inspect.getattr_static(type(thing), "python_function", None) is not None


def _kept(function: FunctionType) -> list[Any]:
    """What a wrapper of this package's keeps: the user's own callable."""
    return list(closed_over(function).values()) if function.__code__.co_filename.startswith(_OURS) else []


@functools.lru_cache(maxsize=64)
def _tree_of(file: str) -> dict[int, list[Any]]:
    """The functions of a source file by the line that they start in, decorators included."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except SyntaxError:
        return {}
    found: dict[int, list[Any]] = {}
    for node in ast.walk(tree):
        if isinstance(node, _FUNCTIONS):
            lines = [node.lineno, *(part.lineno for part in getattr(node, "decorator_list", ()))]
            found.setdefault(min(lines), []).append(node)
    return found
