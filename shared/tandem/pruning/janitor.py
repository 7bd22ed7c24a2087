"""One round of pruning, in batches of which each stands by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sized
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

import asyncpg

from tandem.pruning import expiry, strips, takes, walk
from tandem.pruning.retention import Retention, keep_retention

BATCH: Final = 1000
"""Rows of one transaction."""

Batch = TypeVar("Batch", bound=Sized)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What a round did; a dry one: what it would have done."""

    stripped: int
    deleted: int
    windows: int
    takes: int
    held_by: tuple[str, ...]
    """Groups for which ids past the retention are kept: they have not taken them."""


class Janitor:
    """Prunes one database. Several may do so at once, beside any traffic."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        retention: Retention,
        *,
        batch: int = BATCH,
        dry_run: bool = False,
    ) -> None:
        self._pool = pool
        self._retention = retention
        self._batch = batch
        self._dry_run = dry_run

    async def run_once(self) -> Pruned:
        """Strip, delete and strike all that is past its time."""
        if not self._dry_run:
            await keep_retention(self._pool, self._retention)
        lanes = await walk.read_lanes(
            self._pool, strip_after=self._retention.strip_after
        )
        return Pruned(
            stripped=sum([await self._strip(lane) for lane in lanes]),
            deleted=await self._delete(),
            windows=await self._remove(
                expiry.expired_windows(self._pool, batch=self._batch),
                partial(expiry.delete_windows, self._pool),
            ),
            takes=await self._remove(
                takes.empty_takes(self._pool, batch=self._batch),
                partial(takes.strike_takes, self._pool),
            ),
            held_by=tuple(sorted({lane.held_by for lane in lanes if lane.held_by})),
        )

    async def _strip(self, lane: walk.Lane) -> int:
        strip_after = self._retention.strip_after
        stripped = 0
        async for ripe in walk.ripe_in(
            self._pool, lane, strip_after=strip_after, batch=self._batch
        ):
            stripped += (
                len(ripe.task_ids)
                if self._dry_run
                else await strips.strip(self._pool, ripe, strip_after=strip_after)
            )
        return stripped

    async def _delete(self) -> int:
        delete_after = self._retention.delete_after
        return await self._remove(
            expiry.expired_tasks(
                self._pool, delete_after=delete_after, batch=self._batch
            ),
            partial(expiry.delete_tasks, self._pool, delete_after=delete_after),
        )

    async def _remove(
        self,
        batches: AsyncIterator[Batch],
        remove: Callable[[Batch], Awaitable[int]],
    ) -> int:
        removed = 0
        async for batch in batches:
            removed += len(batch) if self._dry_run else await remove(batch)
        return removed
