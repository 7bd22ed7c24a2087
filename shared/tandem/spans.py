"""Spans of traces, as the code says them. Nobody hears them unless traces are exported."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType, TracebackType
from typing import Final, Protocol, Self, TypeAlias

Values: TypeAlias = Mapping[str, str | int | float | bool]
"""Attributes. Never a payload, a result, or the words of an exception."""

NOTHING: Final[Values] = MappingProxyType({})


class Kind(Enum):
    """What part of the work a span is, as OpenTelemetry divides it."""

    SERVER = auto()
    CONSUMER = auto()
    INTERNAL = auto()


class Span(Protocol):
    """A stretch of work.

    As a context manager it is the current one within the block, and ends with it;
    an exception makes it a failed one.
    """

    def note(self, values: Values) -> None: ...

    def mark(self, name: str, values: Values = NOTHING) -> None:
        """Something happened at this moment of it."""

    def fail(self, reason: str) -> None:
        """It is in error; the reason is one of few words."""

    def enter(self) -> None:
        """Be the current one from here on, wherever this context is handed on to."""

    def end(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Tracer(Protocol):
    """Where spans go."""

    def begin(
        self, name: str, kind: Kind, values: Values, parent: str | None = None
    ) -> Span:
        """A span under this traceparent; under the current one if None; of its own if empty."""


class _NoSpan:
    """What every span is where traces are off."""

    def note(self, values: Values) -> None: ...

    def mark(self, name: str, values: Values = NOTHING) -> None: ...

    def fail(self, reason: str) -> None: ...

    def enter(self) -> None: ...

    def end(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


NO_SPAN: Final[Span] = _NoSpan()


class _Switch:
    """One for the process, as its log is."""

    tracer: Tracer | None = None


def send_to(tracer: Tracer | None) -> None:
    """From here on spans of this process go there; None: nowhere."""
    _Switch.tracer = tracer


def are_on() -> bool:
    """Whether anybody hears of spans, so that it is worth finding out what to say."""
    return _Switch.tracer is not None


def begin(name: str, kind: Kind, values: Values, parent: str | None = None) -> Span:
    """As Tracer.begin; where traces are off, a span that does nothing."""
    tracer = _Switch.tracer
    return NO_SPAN if tracer is None else tracer.begin(name, kind, values, parent)


def part(name: str, values: Values = NOTHING) -> Span:
    """A part of what the current span does."""
    return begin(name, Kind.INTERNAL, values)


def stage(name: str) -> Span:
    """A stage of the attempt that runs here."""
    if not are_on():
        return NO_SPAN
    return part(f"stage {name}", {"tandem.stage.name": name})
