"""The W3C's `traceparent`: how a call says in which trace it belongs."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

Metadata: TypeAlias = tuple[tuple[str, str], ...]

KEY: Final = "traceparent"

TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
"""https://www.w3.org/TR/trace-context/#traceparent-header-field-values"""


def current_traceparent() -> str:
    """Of the span that is current in this program; empty where there is none.

    A program that has not imported OpenTelemetry has no span, and nothing is
    imported to find that out.
    """
    trace: Any = sys.modules.get("opentelemetry.trace")
    current = getattr(trace, "get_current_span", None)
    if current is None:
        return ""
    context = current().get_span_context()
    if not context.is_valid:
        return ""
    flags = int(context.trace_flags)
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}"


def sent_traceparent(metadata: Iterable[tuple[str, str | bytes]] | None) -> str:
    """Of the metadata of a call; empty where it has none, or a malformed one."""
    for key, value in metadata or ():
        if key == KEY and TRACEPARENT.fullmatch(str(value)):
            return str(value)
    return ""


def metadata(given: str = "") -> Metadata | None:
    """What a call carries: the traceparent given, else that of the current span."""
    traceparent = given or current_traceparent()
    return ((KEY, traceparent),) if traceparent else None


def checked(given: str) -> str:
    """The same text.

    Raises:
        ValueError: it is no traceparent.
    """
    if given and not TRACEPARENT.fullmatch(given):
        raise ValueError(f"{given!r} is no traceparent, as the W3C writes it")
    return given
