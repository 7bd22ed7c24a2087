"""Positions never repeat: another history of the database begins far above."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from tandem.postgres.pool import create_pool
from tandem_creator.epoch import Epoch
from tandem_creator.store.creates import Created
from tandem_creator.store.positions import enter_epoch, read_last
from tests.support.batching import LIMIT, a_draft, batching
from tests.support.cluster import Database

JUMP = 10**9


async def pretend_failover(owner_pool: asyncpg.Pool) -> None:
    """As after a promotion: the epoch on record is of another timeline."""
    await owner_pool.execute("UPDATE tandem.epochs SET timeline = timeline + 1")


async def test_on_another_timeline_positions_jump_before_anything_is_created(
    database: Database, owner_pool: asyncpg.Pool
) -> None:
    before = await read_last(owner_pool)
    await pretend_failover(owner_pool)

    async with batching(database.creator_url) as batcher:
        answer = await batcher.create(a_draft())

    assert isinstance(answer, Created)
    assert answer.position > before + JUMP


async def test_several_creators_enter_a_new_epoch_once(
    creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool
) -> None:
    before = await read_last(owner_pool)
    await pretend_failover(owner_pool)
    gate = asyncio.Barrier(8)

    async def enter() -> object:
        async with creator_pool.acquire() as connection:
            await gate.wait()
            return await enter_epoch(connection)

    async with asyncio.timeout(LIMIT):
        epochs = await asyncio.gather(*(enter() for _ in range(8)))

    assert len(set(epochs)) == 1
    assert before + JUMP < await read_last(owner_pool) < before + 2 * JUMP


async def test_a_known_epoch_moves_nothing(
    creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool
) -> None:
    before = await read_last(owner_pool)

    first = await enter_epoch(creator_pool)
    second = await enter_epoch(creator_pool)

    assert first == second
    assert await read_last(owner_pool) == before


async def test_every_new_connection_enters_the_epoch_before_it_is_used(
    database: Database, owner_pool: asyncpg.Pool
) -> None:
    """A creator that outlives a failover holds only connections made since."""
    epoch = Epoch()
    changes: list[None] = []
    pool = await create_pool(
        database.creator_url, size=1, application_name="t", on_connect=epoch.enter
    )
    async with pool:
        epoch.on_change(lambda: changes.append(None))
        first = epoch.current
        await pretend_failover(owner_pool)
        await pool.expire_connections()

        await pool.fetchval("SELECT 1")

        assert epoch.current != first
        assert len(changes) == 1


async def test_a_failover_behind_a_pooler_is_noticed_without_a_new_connection(
    creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool
) -> None:
    epoch, changed = Epoch(), asyncio.Event()
    async with creator_pool.acquire() as connection:
        await epoch.enter(connection)
        first = epoch.current
        epoch.on_change(changed.set)
        watching = asyncio.create_task(epoch.watch(connection))
        await pretend_failover(owner_pool)
        async with asyncio.timeout(LIMIT):
            await changed.wait()
        watching.cancel()
        await asyncio.wait([watching])

    assert epoch.current != first


async def test_tasks_are_created_at_read_committed_only(
    creator_pool: asyncpg.Pool,
) -> None:
    nulls = ", ".join(["NULL"] * 20)
    async with creator_pool.acquire() as connection:
        with pytest.raises(asyncpg.InvalidTransactionStateError):
            async with connection.transaction(isolation="repeatable_read"):
                await connection.execute(
                    f"SELECT new_task_id FROM tandem.create_tasks_v1({nulls})"
                )
