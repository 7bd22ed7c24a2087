"""Drains: how fast one processor works what is pending."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import asyncpg

from benchmarks import process_sql as sql
from benchmarks.cpu import Clock
from benchmarks.databases import Databases
from benchmarks.filling import Span, connected, fill, pause
from benchmarks.loads.shared import Figures
from benchmarks.pair import Place, pair

DRAIN_LIMIT = 300.0

LOOK_AGAIN = 0.05

TAIL = 200
"""Positions whose end tells that the whole span is likely to have ended."""


class Unfinished(RuntimeError):
    """A drain did not come to its end, or not to a good one."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What the database has counted up to one moment."""

    wal: int
    updated: int
    hot: int
    dead: int

    @classmethod
    def read(cls, databases: Databases, database: str) -> Counted:
        """Sessions tell what they did when they end, for certain: stop them before."""
        row = databases.fetch(sql.READ_UPDATES, database)[0]
        return cls(databases.wal(), row["updated"], row["hot"], row["dead"])

    def since(self, earlier: Counted, *, tasks: int) -> dict[str, float]:
        """For each finished task, and the share of updates that touched no index."""
        updated = self.updated - earlier.updated
        hot = self.hot - earlier.hot
        return {
            "bytes of WAL": round((self.wal - earlier.wal) / tasks),
            "updates": round(updated / tasks, 2),
            "dead rows": round((self.dead - earlier.dead) / tasks, 2),
            "HOT": round(hot / updated, 3) if updated else 0.0,
        }


def drain(place: Place, database: str, *, tasks: int, concurrency: int) -> Figures:
    """Put tasks there, and let a processor work them that was idle before."""
    span = asyncio.run(_fill(place.databases.url(database), tasks))
    return drain_span(place, database, span, concurrency=concurrency)


def drain_span(place: Place, database: str, span: Span, *, concurrency: int) -> Figures:
    """Work a span that is there, in a paused queue. At the end it is paused again."""
    databases, url = place.databases, place.databases.url(database)
    before = Counted.read(databases, database)
    with pair(place, database, concurrency=str(concurrency)) as both:
        watched = {**both.watched, "postgres": [databases.pid]}
        figures = asyncio.run(_drain(url, span, watched))
    counted = Counted.read(databases, database)
    figures.outcomes.update(counted.since(before, tasks=span.count))
    return figures


async def _fill(url: str, tasks: int) -> Span:
    async with connected(url) as connection:
        await pause(connection)
        return await fill(connection, tasks)


async def _drain(url: str, span: Span, watched: dict[str, list[int]]) -> Figures:
    async with connected(url) as connection:
        first = Clock.read(watched)
        await pause(connection, paused=False)
        await until_finished(connection, span)
        last = Clock.read(watched)
        await pause(connection)
        [row] = await connection.fetch(sql.READ_DRAIN, *span.place)
    if row["succeeded"] != span.count:
        raise Unfinished(f"{row['succeeded']} of {span.count} succeeded at once")
    cores = last.cores_since(first, span=row["seconds"])
    return Figures(rate=span.count / row["seconds"], cores=cores)


async def until_finished(connection: asyncpg.Connection, span: Span) -> None:
    """Wait until each task of the span is."""
    give_up = time.monotonic() + DRAIN_LIMIT
    first = max(span.last - TAIL, span.first)
    while await connection.fetchval(
        sql.COUNT_UNFINISHED, span.lane_id, first, span.last
    ) or await connection.fetchval(sql.COUNT_UNFINISHED, *span.place):
        if time.monotonic() > give_up:
            raise Unfinished(f"not drained within {DRAIN_LIMIT:.0f} s")
        await asyncio.sleep(LOOK_AGAIN)
