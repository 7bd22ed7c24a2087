"""Takes of a group's readers, as creators make them."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

import asyncpg

from tandem_creator.store import takes
from tandem_creator.store.places import Lane, Reader, Taken, read_news, take
from tandem_creator.store.positions import read_settled

WORKERS = Reader("processors", "creator-1")
OTHER = Reader("processors", "creator-2")
WATCHERS = Reader("watchers", "creator-1")

RESEND = 10.0


async def lane_of(
    pool: asyncpg.Pool, reader: Reader = WORKERS, queue: str = "default"
) -> Lane:
    settled = await read_settled(pool)
    return (await read_news(pool, reader, [queue], settled=settled)).lanes[0]


async def take_some(
    pool: asyncpg.Pool,
    reader: Reader,
    lane: Lane,
    *,
    most: int = 1000,
    types: Collection[str] | None = None,
    projects: Collection[str] | None = None,
) -> Taken | None:
    settled = await read_settled(pool)
    return await take(
        pool,
        reader,
        lane,
        settled=settled,
        most=most,
        types=types,
        projects=projects,
    )


async def take_all(pool: asyncpg.Pool, reader: Reader = WORKERS) -> int:
    """Take what there is in the one lane. Answers the id of the take."""
    taken = await take_some(pool, reader, await lane_of(pool, reader))
    assert taken
    assert taken.take_id
    return taken.take_id


async def retake_some(
    pool: asyncpg.Pool,
    reader: Reader,
    *,
    types: Collection[str] | None = None,
    projects: Collection[str] | None = None,
    silent_for: float = RESEND,
) -> takes.Retaken | None:
    return await takes.retake(
        pool,
        reader,
        ["default"],
        types=types,
        silent_for=silent_for,
        but_not=(),
        projects=projects,
    )


def ids(taken: Taken | takes.Retaken | None) -> list[UUID]:
    return [task_id for task_id, _ in taken.ids] if taken else []
