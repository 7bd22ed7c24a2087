"""Every line that the code may log, read from its source."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import grimp

from tests.support.log_calls import Call, bound_in, calls_in
from tests.support.running_pair import ROOT

FOLDERS: Final = (
    "shared/tandem",
    "services/creator/tandem_creator",
    "services/processor/tandem_processor",
)

COMMANDS: Final = ("tandem.pruning.", "tandem.postgres.migrate")
"""Modules of which services import a part, and of which only commands log."""

RELAY: Final = "tandem.outbox."
"""Runs in a caller's program, and tells that program's log."""


@dataclass(frozen=True, slots=True)
class Event:
    """All lines of one name."""

    level: str
    service: str
    """`creator`, `processor`, `both`, `tandem` for commands, or `outbox`."""

    fields: frozenset[str]
    """Those that its calls give it, besides what is bound to the logger or the context."""


def logged_events() -> dict[str, Event]:
    """Every event of the services and of what they share, by name.

    Raises:
        AssertionError: the source does not tell an event's name or its fields, or two
            places differ about an event of one name.
    """
    found: dict[str, tuple[Call, set[str]]] = {}
    for module, tree in _modules().items():
        for call in calls_in(tree, module):
            first, services = found.setdefault(call.event, (call, set()))
            assert call == first, f"{module}: '{call.event}' differs from another place"
            services |= _services(module)
    return {
        name: Event(call.level, _together(services), call.fields)
        for name, (call, services) in found.items()
    }


def bound_fields() -> set[str]:
    """What is bound to a logger or to the context, and so stands on many lines."""
    return {field for tree in _modules().values() for field in bound_in(tree)}


def _services(module: str) -> set[str]:
    """Whose lines those of this module are."""
    if module.startswith(RELAY):
        return {"outbox"}
    if module.startswith(COMMANDS):
        return {"tandem"}
    services = {name for name in ("creator", "processor") if module in _parts(name)}
    assert services, f"{module} logs, and neither service imports it"
    return services


def _together(services: set[str]) -> str:
    if {"creator", "processor"} <= services:
        return "both"
    (service,) = services
    return service


@cache
def _parts(service: str) -> frozenset[str]:
    """Every module that this service imports, its own among them."""
    main = f"tandem_{service}.__main__"
    return frozenset({main, *_imports().find_upstream_modules(main)})


@cache
def _imports() -> grimp.ImportGraph:
    packages = [Path(folder).name for folder in FOLDERS]
    return grimp.build_graph(*packages, cache_dir=None)


@cache
def _modules() -> Mapping[str, ast.Module]:
    """The source of each, by its dotted name."""
    return {
        _dotted(file, ROOT / folder): ast.parse(file.read_text(encoding="utf-8"))
        for folder in FOLDERS
        for file in sorted((ROOT / folder).rglob("*.py"))
    }


def _dotted(file: Path, package: Path) -> str:
    parts = file.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")
