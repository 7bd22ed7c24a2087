"""Checks of requests that name every field at fault, not only the first."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from asyncpg.pgproto import pgproto

from tandem import violations

NIL: Final = bytes(16)


class Violations(violations.Violations):
    """Collects what is wrong with a request, its ids included."""

    def uuid(self, field: str, text: str, *, required: bool = True) -> UUID | None:
        """A UUID in its 36-character form, not nil; None where it is unset or bad."""
        if not text:
            if required:
                self.add(field, "is required")
            return None
        try:
            # The driver's own kind, which is parsed and written in a fifth of the time.
            parsed: UUID = pgproto.UUID(text)
        except ValueError:
            self.add(field, "must be a UUID")
            return None
        if len(text) != len(str(parsed)):
            self.add(field, "must be a UUID in its 36-character form")
        elif parsed.bytes == NIL:
            self.add(field, "must not be the nil UUID")
        else:
            return parsed
        return None
