"""Checks of fields that name every one at fault, not only the first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, Self

from google.protobuf import duration_pb2, timestamp_pb2

from tandem import limits, wire
from tandem.errors import InvalidRequest, Violation

NAMED: Final = 20
"""Violations that the message names, too: it is for people."""

NAME_RULE: Final = (
    "must be 1 to 63 of A-Z a-z 0-9 _ . - and begin with a letter or digit"
)


class Violations:
    """Collects what is wrong with a request."""

    def __init__(
        self, found: list[Violation] | None = None, *, within: str = ""
    ) -> None:
        self._found = [] if found is None else found
        self._within = within

    def within(self, path: str) -> Self:
        """The same collection, for a part of the request: fields are named under it."""
        return type(self)(self._found, within=f"{self._within}{path}.")

    def add(self, field: str, description: str) -> None:
        self._found.append(Violation(f"{self._within}{field}", description))

    def __bool__(self) -> bool:
        return bool(self._found)

    def refuse(self) -> None:
        """Raise if anything was found.

        Raises:
            InvalidRequest: names every field at fault.
        """
        if self._found:
            raise refusal(self._found)

    def name(self, field: str, text: str, *, default: str = "") -> str:
        """A project, type, queue, group: required unless there is a default."""
        if not text and default:
            return default
        if not text:
            self.add(field, "is required")
        elif not limits.NAME.fullmatch(text):
            self.add(field, NAME_RULE)
        return text

    def names(self, field: str, texts: Iterable[str]) -> list[str]:
        return [self.name(f"{field}[{i}]", text) for i, text in enumerate(texts)]

    def text(self, field: str, text: str, *, most: int = limits.MAX_TEXT) -> str:
        """Free text, of at most so many characters, without NUL."""
        if len(text) > most:
            self.add(field, f"must be at most {most} characters")
        if "\0" in text:
            self.add(field, "has a NUL character")
        return text

    def moment(self, field: str, value: timestamp_pb2.Timestamp) -> datetime | None:
        try:
            return wire.moment(value)
        except (ValueError, OverflowError):
            self.add(field, "must be a time between the years 1 and 9999")
            return None

    def span(
        self,
        field: str,
        value: duration_pb2.Duration,
        *,
        least: timedelta,
        most: timedelta,
    ) -> timedelta | None:
        try:
            parsed = wire.span(value)
        except OverflowError:
            parsed = timedelta.max
        if least <= parsed <= most:
            return parsed
        self.add(field, f"must be from {_plain(least)} to {_plain(most)}")
        return None

    def count(self, field: str, value: int, *, least: int, most: int) -> int:
        if not least <= value <= most:
            self.add(field, f"must be from {least} to {most:,}")
        return value

    def known_enum(self, field: str, value: int, known: Iterable[int]) -> int:
        """One of the contract's values; proto3 lets any number through."""
        if value not in known:
            self.add(field, f"has no value {value}")
        return value


def refusal(found: Sequence[Violation]) -> InvalidRequest:
    """What a caller is told of these, of which there is one at least."""
    text = "; ".join(f"{each.field} {each.description}" for each in found[:NAMED])
    if len(found) > NAMED:
        text += f"; and {len(found) - NAMED} more"
    return InvalidRequest(text, violations=found)


def at_fault(field: str, description: str) -> InvalidRequest:
    """What a caller is told of this one field."""
    return refusal([Violation(field, description)])


def _plain(span: timedelta) -> str:
    if span.days > 1:
        return f"{span.days} days"
    if span.days:
        return f"{span.total_seconds() / 3600:g} hours"
    return f"{span.total_seconds():g} s"
