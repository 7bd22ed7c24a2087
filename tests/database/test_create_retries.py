"""P12 and P1 under bad luck: what Postgres takes back is tried again, within the call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
import pytest

from tandem.errors import Overloaded
from tandem.v1 import creator_pb2 as pb
from tandem_creator.batches import Batch, parse_batch
from tandem_creator.statistics import Statistics
from tandem_creator.store.creates import Created
from tandem_creator.store.lanes import Lanes
from tandem_creator.whole import WholeBatches
from tests.support.batching import a_draft, batching, count_created, race
from tests.support.cluster import Database
from tests.support.creator import a_request
from tests.support.until import until

LIMIT = 20.0

COUNT = "SELECT count(*) FROM tandem.tasks"

# What a sequence gave out stays given out, also when its transaction is undone.
UNLUCKY = """
CREATE SEQUENCE tandem.tries;
CREATE FUNCTION tandem.bad_luck() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF nextval('tandem.tries') <= {times} THEN
        RAISE EXCEPTION 'bad luck' USING ERRCODE = '{code}';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER bad_luck BEFORE INSERT ON tandem.tasks
FOR EACH STATEMENT EXECUTE FUNCTION tandem.bad_luck();
"""

TRIED = "SELECT s.last_value FROM tandem.tries AS s"

WAITING_FOR_LOCK = """
SELECT a.pid
FROM pg_stat_activity AS a
WHERE a.datname = current_database()
  AND a.usename = 'tandem_creator'
  AND a.wait_event_type = 'Lock'
"""

DEADLOCK, SERIALIZATION = "40P01", "40001"


@asynccontextmanager
async def whole_batches(url: str, *, most_waiting: int) -> AsyncIterator[WholeBatches]:
    """With room for one batch at a time."""
    async with asyncpg.create_pool(url, min_size=1, max_size=2) as pool:
        yield WholeBatches(
            pool,
            lanes=Lanes(),
            ring=lambda: None,
            statistics=Statistics(),
            most_waiting=most_waiting,
        )


def a_batch(count: int) -> Batch:
    requests = [a_request(payload={"n": n}) for n in range(count)]
    return parse_batch(
        pb.BatchCreateTasksRequest(requests=requests, request_id=str(uuid4()))
    )


@pytest.mark.parametrize("code", [DEADLOCK, SERIALIZATION])
async def test_a_flush_that_is_taken_back_is_tried_again(
    database: Database, owner_pool: asyncpg.Pool, code: str
) -> None:
    await owner_pool.execute(UNLUCKY.format(times=2, code=code))

    async with batching(database.creator_url) as creator:
        answers = await race([creator], [a_draft() for _ in range(20)])

    assert count_created(answers) == 20
    assert await owner_pool.fetchval(COUNT) == 20


@pytest.mark.parametrize("code", [DEADLOCK, SERIALIZATION])
async def test_p12_a_batch_that_is_taken_back_is_tried_again_whole(
    database: Database, owner_pool: asyncpg.Pool, code: str
) -> None:
    await owner_pool.execute(UNLUCKY.format(times=2, code=code))

    async with whole_batches(database.creator_url, most_waiting=1) as batches:
        answers = await batches.create(a_batch(20), judge=lambda _: None)

    assert sum(isinstance(answer, Created) for answer in answers.values()) == 20
    assert await owner_pool.fetchval(COUNT) == 20


async def test_p12_bad_luck_without_end_leaves_nothing(
    database: Database, owner_pool: asyncpg.Pool
) -> None:
    await owner_pool.execute(UNLUCKY.format(times=100, code=DEADLOCK))

    async with whole_batches(database.creator_url, most_waiting=1) as batches:
        with pytest.raises(asyncpg.DeadlockDetectedError):
            await batches.create(a_batch(20), judge=lambda _: None)

    assert await owner_pool.fetchval(TRIED) == 3
    assert await owner_pool.fetchval(COUNT) == 0


async def test_more_batches_than_may_wait_are_refused_and_those_that_go_leave_nothing(
    database: Database, owner_pool: asyncpg.Pool
) -> None:
    async with (
        asyncio.timeout(LIMIT),
        whole_batches(database.creator_url, most_waiting=1) as batches,
        database.admin() as admin,
    ):
        async with owner_pool.acquire() as owner, owner.transaction():
            await owner.execute("LOCK TABLE tandem.tasks IN SHARE ROW EXCLUSIVE MODE")
            sent = asyncio.create_task(batches.create(a_batch(3), judge=lambda _: None))
            await until(lambda: admin.fetchval(WAITING_FOR_LOCK))
            waiting = asyncio.create_task(
                batches.create(a_batch(5), judge=lambda _: None)
            )
            await asyncio.sleep(0)
            with pytest.raises(Overloaded):
                await batches.create(a_batch(7), judge=lambda _: None)
            waiting.cancel()
        assert len(await sent) == 3
        after = await batches.create(a_batch(11), judge=lambda _: None)

    assert len(after) == 11
    assert await owner_pool.fetchval(COUNT) == 3 + 11


async def test_a_batch_without_a_connection_goes_with_its_caller(
    database: Database, owner_pool: asyncpg.Pool
) -> None:
    async with (
        asyncio.timeout(LIMIT),
        asyncpg.create_pool(database.creator_url, min_size=1, max_size=1) as pool,
    ):
        batches = WholeBatches(
            pool, lanes=Lanes(), ring=lambda: None, statistics=Statistics()
        )
        async with pool.acquire():
            waiting = asyncio.create_task(
                batches.create(a_batch(5), judge=lambda _: None)
            )
            # Longer than it takes to ask the pool, which has nothing to give.
            done, _ = await asyncio.wait([waiting], timeout=0.2)
            waiting.cancel()
        await batches.create(a_batch(7), judge=lambda _: None)

    assert not done
    assert await owner_pool.fetchval(COUNT) == 7
