"""Where a module logs, and with what: read from its syntax."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

LEVELS: Final = {
    "debug": "debug",
    "info": "info",
    "warning": "warning",
    "error": "error",
    "critical": "critical",
    "exception": "error",
}
"""What a logger's methods write as the level."""

BINDERS: Final = {"bind", "bind_contextvars", "bound_contextvars"}

TRACEBACK: Final = "exception"


@dataclass(frozen=True, slots=True)
class Call:
    """One place at which a line is logged."""

    event: str
    level: str
    fields: frozenset[str]


def calls_in(tree: ast.Module, module: str) -> Iterator[Call]:
    """Whatever this module logs.

    Raises:
        AssertionError: it does not tell an event's name or its fields.
    """
    for call in _method_calls(tree):
        method, where = _method(call), f"{module}:{call.lineno}"
        if _is_logger(call.func, tree):
            assert method in {*LEVELS, "bind"}, f"{where}: what does {method} log?"
        # Futures have an exception() as well: of nothing.
        if method in LEVELS and (call.args or call.keywords):
            fields = _fields(call, tree, where)
            if method == "exception" or "exc_info" in fields:
                fields = fields - {"exc_info"} | {TRACEBACK}
            name = _name(call, where)
            yield Call(name, LEVELS[method], frozenset(fields))


def bound_in(tree: ast.Module) -> set[str]:
    """What this module binds to a logger or to the context, for many lines."""
    return {
        field
        for call in _method_calls(tree)
        if _method(call) in BINDERS
        for field in _fields(call, tree, "a bound field")
    }


def _name(call: ast.Call, where: str) -> str:
    constant = call.args and isinstance(call.args[0], ast.Constant)
    assert constant, f"{where}: the name of the event is no constant"
    return str(ast.literal_eval(call.args[0])).replace("%s", "…")


def _fields(call: ast.Call, tree: ast.Module, where: str) -> set[str]:
    """The names of the keywords, also of those that a `**` stands for."""
    fields = {keyword.arg for keyword in call.keywords if keyword.arg}
    for keyword in call.keywords:
        if keyword.arg is None:
            more = _unpacked(keyword.value, tree)
            assert more, f"{where}: the source does not tell what ** gives"
            fields |= more
    return fields


def _unpacked(value: ast.expr, tree: ast.Module) -> set[str]:
    """What a function here returns as a literal, or what is passed to one as keywords."""
    if isinstance(value, ast.Call):
        return {
            str(ast.literal_eval(key))
            for function in _functions(tree)
            if function.name == _method(value)
            for node in ast.walk(function)
            if isinstance(node, ast.Return) and isinstance(node.value, ast.Dict)
            for key in node.value.keys
            if key is not None
        }
    takers = {
        function.name
        for function in _functions(tree)
        if function.args.kwarg and function.args.kwarg.arg == ast.unparse(value)
    }
    return {
        keyword.arg
        for call in _method_calls(tree)
        if _method(call) in takers
        for keyword in call.keywords
        if keyword.arg
    }


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def _method_calls(tree: ast.Module) -> Iterator[ast.Call]:
    """All calls, in the order of the source."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return iter(sorted(calls, key=lambda call: call.lineno))


def _method(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def _is_logger(function: ast.expr, tree: ast.Module) -> bool:
    """Whether a method of this module's logger is called."""
    own = any(
        isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "log"
        for node in tree.body
    )
    return own and ast.unparse(function).rpartition(".")[0] == "log"
