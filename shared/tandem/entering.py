"""What a call passes before its behaviour: the door, then what its method needs."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from structlog.contextvars import bind_contextvars

from tandem.access import ANONYMOUS, current_caller
from tandem.allowances import Allowances
from tandem.authentication.door import Context, Door
from tandem.errors import PermissionDenied
from tandem.permissions import Rule

ADMITTED_AGAIN: Final = 5.0
"""Seconds. A stream whose caller is no longer known ends with its next message after these."""


class Entry:
    """The way into one method. Without a door everybody may do everything."""

    __slots__ = ("_allowances", "_door", "_rule")

    def __init__(
        self, door: Door | None, rule: Rule, allowances: Allowances | None = None
    ) -> None:
        self._door = door
        self._rule = rule
        self._allowances = allowances or Allowances()

    @property
    def asks(self) -> bool:
        """Whether callers have to be known."""
        return self._door is not None

    async def admit(self, context: Context) -> None:
        """Learn who calls, and whether they may use the method at all.

        Raises:
            Unauthenticated: nobody who is known.
            PermissionDenied: in no project.
            RateLimited: too often.
        """
        if self._door is None:
            current_caller.set(ANONYMOUS)
            self._allowances.spend(ANONYMOUS)
            return
        caller = await self._door.admit(context)
        current_caller.set(caller)
        bind_contextvars(caller=caller.name)
        self._allowances.spend(caller)
        self._rule.require_use(caller)

    def permit(self, request: Any) -> None:
        """Whether they may, in the projects that the request names.

        Raises:
            PermissionDenied: not in one of them.
        """
        if self._door is not None:
            self._rule.require_projects(current_caller.get(), request)

    def streaming(self) -> AbstractContextManager[None]:
        """One stream of the caller, for the length of a block.

        Without a door nobody can be told from anybody else, and none is counted.

        Raises:
            RateLimited: it has as many open as it may.
        """
        if self._door is None:
            return nullcontext()
        return self._allowances.streaming(current_caller.get())

    def stay(self, context: Context) -> Stay:
        """The same for a stream, for as long as it goes on."""
        return Stay(self._door, context)


class Stay:
    """A stream outlives keys and tokens: its caller is admitted anew now and then."""

    __slots__ = ("_context", "_door", "_scopes", "_until")

    def __init__(self, door: Door | None, context: Context) -> None:
        self._door = door
        self._context = context
        self._scopes = current_caller.get().scopes
        self._until = time.monotonic() + ADMITTED_AGAIN

    async def prolong(self) -> None:
        """Before each message.

        Raises:
            Unauthenticated: what was presented is no longer valid.
            PermissionDenied: it allows something else by now.
        """
        if self._door is None or time.monotonic() < self._until:
            return
        caller = await self._door.admit(self._context)
        if caller.scopes != self._scopes:
            raise PermissionDenied("the scopes have changed: open the stream again")
        self._until = time.monotonic() + ADMITTED_AGAIN
