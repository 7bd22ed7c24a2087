"""Telling how many members a group has here, when it changes and now and then."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import asyncpg

from tandem_creator.members import Member
from tandem_creator.store.census import Count, tell
from tandem_creator.store.places import Reader

TELL_SECONDS: Final = 10.0
"""Between two tellings of the same: three fit into the lifetime of what is told."""


class Census:
    """What was told of one group, kept true in the database."""

    def __init__(self, pool: asyncpg.Pool, reader: Reader) -> None:
        self._pool = pool
        self._reader = reader
        self._told = Count()
        self._next = 0.0

    @property
    def is_empty(self) -> bool:
        """Whether nothing is told that would have to be taken back."""
        return not self._told.members

    async def keep(self, members: Iterable[Member], *, now: float) -> None:
        """Tell how many there are, if that is news or was told long ago."""
        found = count(members)
        if found == self._told and (now < self._next or not found.members):
            return
        await tell(self._pool, self._reader, found)
        self._told, self._next = found, now + TELL_SECONDS


def count(members: Iterable[Member]) -> Count:
    """How many they are, and how many of them are deaf."""
    deaf = [member.is_deaf for member in members]
    return Count(len(deaf), sum(deaf))
