"""A concurrent run, recorded, and judged by a program that knows nothing of the services."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg

from tests.factories import create_many
from tests.support.cluster import Database
from tests.support.creator import served
from tests.support.history import History, load, violations
from tests.support.recorder import Recorder

CALLERS = 12
CALLS = 50
OPEN_CREATES = 15
READERS = 2


async def record(
    database: Database, creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool
) -> History:
    async with (
        served(database.creator_url) as left,
        served(database.creator_url) as right,
        database.admin() as stranger,
        stranger.transaction(),
        asyncio.timeout(100),
    ):
        # A stranger's transaction is open all the while: it must hold up nobody.
        await stranger.execute("SELECT pg_current_xact_id()")
        # The lane is there before anybody holds it open.
        await create_many(creator_pool, 1)
        recorder = Recorder([left, right], seed=1)
        async with asyncio.TaskGroup() as readers:
            for _ in range(READERS):
                readers.create_task(recorder.look(creator_pool))
            readers.create_task(recorder.subscribe(left, name="left"))
            readers.create_task(recorder.subscribe(right, name="right"))
            async with asyncio.TaskGroup() as callers:
                for _ in range(CALLERS):
                    callers.create_task(recorder.call(CALLS))
                for _ in range(2):
                    held = recorder.hold_open(creator_pool, times=OPEN_CREATES)
                    callers.create_task(held)
            recorder.stop.set()
        await recorder.take_stock(owner_pool)
    return recorder.history


async def test_a_recorded_run_of_two_creators_keeps_every_promise(
    database: Database,
    creator_pool: asyncpg.Pool,
    owner_pool: asyncpg.Pool,
    tmp_path: Path,
) -> None:
    history = await record(database, creator_pool, owner_pool)
    history.save(tmp_path / "history.jsonl")

    assert violations(load(tmp_path / "history.jsonl")) == []
    assert len(history.answered) > CALLERS * CALLS * 3 // 4
    assert len(history.streamed) == 2
    # The readers did wait for somebody: their horizons were more than two.
    assert len({look.horizon for look in history.looked}) > OPEN_CREATES
