"""Counts for people who watch over the tasks, worked out once for all who ask."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg

from tandem import wire
from tandem.access import Caller
from tandem.postgres.logins import Connection
from tandem.v1 import processor_pb2 as pb
from tandem_processor import counts, readers, tallies
from tandem_processor.counts import Alike, Midnights, Projects
from tandem_processor.requests import StatsQuery
from tandem_processor.sharing import Shared

KEEP_SECONDS: Final = 5.0
"""How old a count may be that is answered."""

OVERDUE_AFTER: Final = timedelta(minutes=5)
"""The statements say the same."""

# One moment for all statements, each planned for its values, and one core for them:
# what is counted here must not be in the way of claims.
CAREFULLY: Final = """
SET LOCAL statement_timeout = '10s';
SET LOCAL lock_timeout = '2s';
SET LOCAL plan_cache_mode = 'force_custom_plan';
SET LOCAL max_parallel_workers_per_gather = 0
"""

READ_NOW: Final = "SELECT now()"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is counted, as one key: equal ones share a count."""

    projects: tuple[str, ...] | None
    """None: all of them."""

    days: int


class Stats:
    """Counts of one process. Dashboards may poll it."""

    def __init__(
        self, pool: asyncpg.Pool, *, keep_seconds: float = KEEP_SECONDS
    ) -> None:
        self._pool = pool
        self._shared = Shared(self._count, keep_seconds=keep_seconds)

    async def get(self, query: StatsQuery, caller: Caller) -> pb.GetStatsResponse:
        """The counts of what the caller may read; of anything else there is nothing."""
        projects = await self._readable(query.project, caller)
        return await self._shared.get(Wanted(projects, query.days))

    async def of_all(self) -> pb.GetStatsResponse:
        """The counts of every project, for whoever operates them; no days."""
        return await self._shared.get(Wanted(None, days=0))

    async def _readable(self, project: str, caller: Caller) -> tuple[str, ...] | None:
        if project:
            return (project,) if caller.may_read(project) else ()
        if caller.may_read_all:
            return None
        return tuple(filter(caller.may_read, await counts.read_projects(self._pool)))

    async def _count(self, wanted: Wanted) -> pb.GetStatsResponse:
        async with _at_one_moment(self._pool) as connection:
            return await count(connection, wanted)


@asynccontextmanager
async def _at_one_moment(pool: asyncpg.Pool) -> AsyncIterator[Connection]:
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        await connection.execute(CAREFULLY)
        yield connection


async def count(connection: Connection, wanted: Wanted) -> pb.GetStatsResponse:
    """All counts, in a transaction that sees one moment."""
    now: datetime = await connection.fetchval(READ_NOW)
    midnights = _midnights(now, wanted.days)
    alike = await counts.count_statuses(connection, wanted.projects, midnights)
    open_ = await _open(connection, wanted.projects, alike, now)
    lanes = await readers.read_lanes(connection)
    bands = await readers.read_bands(connection)
    members = await readers.count_members(connection)
    rows = await readers.read_processors(connection)
    return pb.GetStatsResponse(
        queues=tallies.queues(alike, open_, lanes, now),
        groups=tallies.groups(alike, bands, members),
        days=await _days(connection, wanted.projects, alike, midnights),
        processors=tallies.processors(alike, rows),
        read_time=wire.timestamp(now),
    )


async def _open(
    connection: Connection, projects: Projects, alike: Sequence[Alike], now: datetime
) -> tallies.Open:
    waiting: Counter[int] = Counter()
    first: dict[int, int] = {}
    for each in filter(lambda each: each.is_open, alike):
        lane = each.lane_id
        waiting[lane] += each.count
        first[lane] = min(each.first_position, first.get(lane, each.first_position))
    oldest = await counts.read_oldest(connection, projects, first)
    late = [lane for lane, since in oldest.items() if since < now - OVERDUE_AFTER]
    fresh = await counts.count_fresh(connection, projects, late) if late else {}
    overdue = {lane: waiting[lane] - fresh.get(lane, 0) for lane in late}
    return tallies.Open(oldest=oldest, overdue=overdue)


async def _days(
    connection: Connection,
    projects: Projects,
    alike: Sequence[Alike],
    midnights: Midnights,
) -> Sequence[pb.DayStats]:
    if not midnights:
        return []
    created = await counts.count_created(connection, projects, midnights)
    stripped = await counts.count_stripped(connection, projects, midnights)
    ended = tallies.ended(alike, stripped)
    return tallies.days(midnights, created=created, ended=ended)


def _midnights(now: datetime, days: int) -> Midnights:
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return [today - timedelta(days=back) for back in reversed(range(days))]
