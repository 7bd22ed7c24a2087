"""How far the stream is settled, computed once for all who follow it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from tandem import calls
from tandem.errors import Stopping, StoreUnavailable
from tandem.happening import happens
from tandem.postgres.pool import is_read_only
from tandem_creator.connections import Kept
from tandem_creator.store.positions import read_settled

log = structlog.get_logger()

POLL_SECONDS: Final = 1.0
"""How late a change is noticed when no bell was heard."""

PACE_SECONDS: Final = 0.005
"""Between two looks under load: each costs the database about a millisecond."""


class SetServing(Protocol):
    """Says in health whether calls can succeed now."""

    async def __call__(self, *, serving: bool) -> None: ...


class Horizon:
    """The settled position. It only grows, but for a change of epoch."""

    def __init__(self, kept: Kept, *, poll: float = POLL_SECONDS) -> None:
        self._kept = kept
        self._poll = poll
        self._settled = 0
        self._followers = 0
        self._is_stale = True
        self._is_closed = False
        self._notices: list[Callable[[], None]] = []
        self._bell = asyncio.Event()
        self._moved = asyncio.Event()

    @property
    def settled(self) -> int:
        """Everything at or under it is committed, or will never be."""
        return self._settled

    def ring(self) -> None:
        """Something was committed. A missed call costs one poll, never a task."""
        self._is_stale = True
        if self._followers:
            self._bell.set()

    def forget(self) -> None:
        """Begin anew: another history may stand lower."""
        self._settled = 0
        self._bell.set()

    def close(self) -> None:
        """End every wait with Stopping."""
        self._is_closed = True
        self._wake()

    def follow(self, notice: Callable[[], None]) -> Callable[[], None]:
        """Call `notice` whenever it moves, until the answer is called."""
        self._notices.append(notice)
        self._count_in()

        def unfollow() -> None:
            self._followers -= 1
            self._notices.remove(notice)

        return unfollow

    async def past(self, position: int, *, within: float) -> int | None:
        """The settled position once it is past this one; None if it was not in time.

        Raises:
            Stopping: this process shuts down.
        """
        self._count_in()
        try:
            async with asyncio.timeout(within):
                return await self._wait_past(position)
        except TimeoutError:
            return None
        finally:
            self._followers -= 1

    def _count_in(self) -> None:
        self._followers += 1
        if self._is_stale:
            self._bell.set()

    async def _wait_past(self, position: int) -> int:
        while not self._is_closed and self._settled <= position:
            await self._moved.wait()
        if self._is_closed:
            raise Stopping("this creator is shutting down")
        return self._settled

    async def refresh(self) -> int:
        """The settled position as it is now.

        Raises:
            Stopping: this process shuts down.
        """
        if self._is_closed:
            raise Stopping("this creator is shutting down")
        await self._look()
        return self._settled

    async def run(self, set_serving: SetServing) -> None:
        """Look whenever the bell rings, and by poll, until cancelled.

        Health follows the last look: who cannot look cannot create either.
        """
        while True:
            serving = await self._try_to_look()
            if not self._is_closed:
                await set_serving(serving=serving)
            await asyncio.sleep(PACE_SECONDS)
            await happens(self._bell, self._poll)

    async def _try_to_look(self) -> bool:
        try:
            await self._look()
        except (*calls.STORE_AWAY, StoreUnavailable) as error:
            log.warning("database unavailable", error=type(error).__name__)
            return False
        return True

    async def _look(self) -> None:
        # Cleared first: what commits from here on rings anew.
        self._bell.clear()
        self._is_stale = False
        async with self._kept.connected() as connection:
            settled = await read_settled(connection)
            if is_read_only(connection):
                raise StoreUnavailable("the database is read-only")
        if settled > self._settled:
            self._settled = settled
            self._wake()

    def _wake(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
        for notice in self._notices:
            notice()
