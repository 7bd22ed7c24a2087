"""Messages of callers who need not be known: taken in a few at a time, and soon given up."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from tandem.authentication.door import Context
from tandem.errors import InvalidRequest

MOST: Final = 16
"""Messages that are waited for at once, of 4 MiB at most. A whole one waits for nothing:
so it is the oldest that is given up, and a probe comes through whoever sends halves."""

LIMIT: Final = 5.0
"""Seconds until a message must be there."""


class Doorstep:
    """Where they wait, in one process."""

    def __init__(self) -> None:
        # By age. Given up is taken out here, and so never given up twice.
        self._waiting: dict[asyncio.Timeout, None] = {}

    async def take(self, context: Context) -> Any:
        """The one message of the call.

        Raises:
            InvalidRequest: it was not there in time, or newer ones took its place.
        """
        try:
            async with asyncio.timeout(LIMIT) as limit:
                self._make_room()
                self._waiting[limit] = None
                try:
                    return await context.read()
                finally:
                    self._waiting.pop(limit, None)
        except TimeoutError as error:
            raise InvalidRequest("the message did not arrive in time") from error

    def _make_room(self) -> None:
        while len(self._waiting) >= MOST:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            if not oldest.expired():
                oldest.reschedule(asyncio.get_running_loop().time())
