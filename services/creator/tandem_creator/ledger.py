"""The takes that this process answers for, kept true in the database."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import asyncpg

from tandem_creator.holdings import Holdings
from tandem_creator.members import (
    REFUSAL_SECONDS,
    Member,
    queues_of,
    readable_by,
    types_of,
)
from tandem_creator.store import takes
from tandem_creator.store.places import Reader

IDLE_SECONDS: Final = 1.0
"""Ids that wait so long for credit are left to other creators."""

KEEP_SECONDS: Final = 5.0
"""Ids that were taken ahead, and wait so long for those before them, as well."""

RESEND_SECONDS: Final = 10.0
"""A member that says nothing about its ids for so long has lost them."""


def silent_for(resend: float) -> float:
    """Seconds after which a creator that has not refreshed a take has lost it."""
    return resend / 2


class Ledger:
    """Strikes off, releases, refreshes and takes over takes of one group."""

    def __init__(
        self, pool: asyncpg.Pool, reader: Reader, *, holdings: Holdings, resend: float
    ) -> None:
        self._pool = pool
        self._reader = reader
        self._holdings = holdings
        self._resend = resend
        self._next_refresh = 0.0
        self._released: dict[int, float] = {}

    async def settle(self, members: Collection[Member], *, now: float) -> None:
        """Strike off what is confirmed; release what nobody here can take."""
        if done := self._holdings.remove_done():
            await takes.strike(self._pool, self._reader, done)
        for member in members:
            member.forgive(now=now)
        stranded = self._holdings.remove_stranded(
            members, idle=now - IDLE_SECONDS, kept=now - KEEP_SECONDS, now=now
        )
        if stranded:
            if members:
                # Another creator's member first: the ones here refused it, or
                # have no credit for it.
                self._released |= dict.fromkeys(stranded, now + REFUSAL_SECONDS)
            await takes.release(self._pool, self._reader, stranded)

    async def release_all(self) -> None:
        """Leave everything to other creators."""
        held = list(self._holdings.take_ids)
        self._holdings.remove_all_but(())
        if held:
            await takes.release(self._pool, self._reader, held)

    async def refresh(self, *, now: float) -> None:
        """Say that what is held is held; forget what another creator took over."""
        held = list(self._holdings.take_ids)
        if not held or now < self._next_refresh:
            return
        self._next_refresh = now + self._resend / 6
        ours = await takes.refresh(self._pool, self._reader, held)
        self._holdings.remove_all_but(ours)

    async def retake(self, members: Collection[Member], *, now: float) -> bool:
        """Take over one take that nobody answers for. Whether there was one.

        For members with credit alone: what others run would wait here in vain, be
        released, and be read and taken over again as long as it is there.
        """
        members = [member for member in members if member.room(now=now)]
        self._released = {t: end for t, end in self._released.items() if end > now}
        silent = silent_for(self._resend)
        found = await takes.retake(
            self._pool,
            self._reader,
            queues_of(members),
            types=types_of(members),
            silent_for=silent,
            but_not={*self._holdings.take_ids, *self._released},
            projects=await readable_by(
                members,
                lambda: takes.read_lost_projects(
                    self._pool, self._reader, silent_for=silent
                ),
            ),
        )
        if found is not None:
            self._holdings.add(found.take_id, found.lane, ids=found.ids, now=now)
        return found is not None
