"""GetStats over a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import asyncpg
import grpc
import pytest

from tandem.v1 import processor_pb2 as pb
from tests.factories import create_many, create_task
from tests.support.cluster import Database
from tests.support.processor import fields_refused, only_serving, refused

if TYPE_CHECKING:
    from tandem.v1.processor_pb2_grpc import ProcessorServiceAsyncStub


@pytest.fixture
async def stub(
    processor_pool: asyncpg.Pool,
) -> AsyncIterator[ProcessorServiceAsyncStub]:
    async with only_serving(processor_pool) as serving:
        yield serving


async def test_everything_is_counted_by_the_databases_clock(
    stub: ProcessorServiceAsyncStub,
    creator_pool: asyncpg.Pool,
    owner_pool: asyncpg.Pool,
) -> None:
    await create_many(creator_pool, 3)
    before = await owner_pool.fetchval("SELECT now()")

    stats = await stub.GetStats(pb.GetStatsRequest(days=31))

    after = await owner_pool.fetchval("SELECT now()")
    assert [(each.queue, each.count) for each in stats.queues] == [("default", 3)]
    assert len(stats.days) == 31
    assert stats.days[0].created == 3
    assert before <= stats.read_time.ToDatetime(before.tzinfo) <= after


async def test_callers_share_one_count_and_it_is_kept(
    stub: ProcessorServiceAsyncStub, creator_pool: asyncpg.Pool
) -> None:
    request = pb.GetStatsRequest(days=1)

    first = await asyncio.gather(*(stub.GetStats(request) for _ in range(10)))
    await create_task(creator_pool)
    again = await stub.GetStats(request)
    of_all = await stub.GetStats(pb.GetStatsRequest(days=2))

    assert {each.read_time.ToNanoseconds() for each in (*first, again)} == {
        again.read_time.ToNanoseconds()
    }
    assert list(again.queues) == []
    assert of_all.queues[0].count == 1


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (pb.GetStatsRequest(days=-1), ["days"]),
        (pb.GetStatsRequest(days=32), ["days"]),
        (pb.GetStatsRequest(project="no good"), ["project"]),
        (pb.GetStatsRequest(project="x" * 64, days=2**31 - 1), ["days", "project"]),
    ],
)
async def test_p10_every_bad_field_is_named(
    stub: ProcessorServiceAsyncStub, request_: pb.GetStatsRequest, fields: list[str]
) -> None:
    assert await fields_refused(stub.GetStats(request_)) == fields


async def test_a_database_that_is_too_slow_is_unavailable(
    stub: ProcessorServiceAsyncStub, database: Database
) -> None:
    """Whoever rewrites the table keeps the counts waiting, and not for long."""
    async with database.admin() as admin, admin.transaction():
        await admin.execute("LOCK TABLE tandem.task_status IN ACCESS EXCLUSIVE MODE")
        code, reason = await refused(stub.GetStats(pb.GetStatsRequest()))

    assert (code, reason.reason) == (
        grpc.StatusCode.UNAVAILABLE,
        "STORE_UNAVAILABLE",
    )
    assert list((await stub.GetStats(pb.GetStatsRequest())).queues) == []
