"""How each driver wants parameters written (PEP 249)."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

Paramstyle: TypeAlias = Literal["qmark", "numeric", "named", "format", "pyformat"]

# Every statement has each of its parameters once, in order.
_PLACES: Final[Mapping[Paramstyle, str]] = MappingProxyType(
    {
        "qmark": "?",
        "numeric": r":\1",
        "named": r":p\1",
        "format": "%s",
        "pyformat": r"%(p\1)s",
    }
)
_BY_NAME: Final = frozenset({"named", "pyformat"})
_PLACE: Final = re.compile(r"\$(\d+)")


def checked_style(style: str) -> Paramstyle:
    """The style, if the standard has it.

    Raises:
        ValueError: it has no such style.
    """
    for known in _PLACES:
        if style == known:
            return known
    raise ValueError(f"no paramstyle {style!r}; use one of {', '.join(_PLACES)}")


def style_of(connection: object) -> Paramstyle:
    """What the connection's driver declares.

    Raises:
        ValueError: neither its module nor one above it says anything.
    """
    for module in _modules(type(connection)):
        if style := getattr(sys.modules.get(module), "paramstyle", None):
            return checked_style(style)
    kind = f"{type(connection).__module__}.{type(connection).__qualname__}"
    raise ValueError(f"{kind} tells no paramstyle: give Outbox(..., paramstyle=...)")


def _modules(kind: type) -> Iterator[str]:
    for each in kind.__mro__:
        parts = each.__module__.split(".")
        for length in range(len(parts), 0, -1):
            yield ".".join(parts[:length])


def written(sql: str, style: Paramstyle) -> str:
    """The statement with its parameters as the driver wants them."""
    return _PLACE.sub(_PLACES[style], sql)


def given(values: Sequence[Any], style: Paramstyle) -> Any:
    """The parameters as the driver wants them."""
    if style in _BY_NAME:
        return {f"p{place}": value for place, value in enumerate(values, 1)}
    return tuple(values)
