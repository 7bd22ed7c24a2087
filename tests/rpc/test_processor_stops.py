"""A processor that stops: what its handlers are given, and what becomes of their tasks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import MutableMapping, Sequence
from typing import Any

import asyncpg
import grpc
import pytest
from structlog.testing import capture_logs

from tandem import client
from tandem.handlers import (
    BlockingContext,
    Context,
)
from tandem.outcomes import Claimed
from tandem.v1 import processor_pb2 as pb
from tandem.v1 import task_pb2
from tandem_processor import claims
from tandem_processor.runner import Runner
from tests.factories import create_many, create_task
from tests.support.cluster import Database
from tests.support.handled import SOON, answer, only, quick
from tests.support.held_claims import PATIENT, held_claims
from tests.support.processor import LIMIT, working
from tests.support.processors import status
from tests.support.until import until

State = task_pb2.TaskStatus


async def test_p11_a_stop_lets_handlers_end_within_the_grace(
    database: Database, creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    handlers, register = only()
    started, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    @register
    def echo(ctx: BlockingContext) -> dict[str, Any]:
        loop.call_soon_threadsafe(started.set)
        go_on.wait(LIMIT)
        return {"done": True}

    task_id = await create_task(creator_pool, start_delay=SOON)
    async with working(database.processor_url, handlers, grace=10.0) as processor:
        async with asyncio.timeout(LIMIT):
            await started.wait()
        stopping = asyncio.create_task(processor.stop())
        go_on.set()
        await stopping

    row = await status(processor_pool, task_id)
    assert (row["state"], row["result"]) == ("SUCCEEDED", '{"done":true}')


async def test_p11_what_outlives_the_grace_is_given_back_unspent_and_its_row_is_gone(
    database: Database, creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    handlers, register = only()
    started: list[str] = []

    @register
    async def echo(ctx: Context) -> None:
        await ctx.stage("draft", lambda: 1)
        started.append(ctx.task_id)
        await asyncio.Event().wait()

    task_ids = await create_many(creator_pool, 5, start_delay=SOON)
    async with working(database.processor_url, handlers, grace=0.1):
        await until(lambda: answer(len(started) == len(task_ids)))

    for task_id in task_ids:
        row = await status(processor_pool, task_id)
        assert (row["state"], row["attempt"], row["claim"]) == ("PENDING", 0, 1)
        assert row["due_time"] is not None
    assert await processor_pool.fetchval("SELECT count(*) FROM tandem.processors") == 0


async def test_p11_what_is_being_claimed_as_a_stop_comes_is_run(
    database: Database, creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    """Left behind, it would be taken for the victim of a crash."""
    with capture_logs() as lines:
        async with working(
            database.processor_url, quick(), grace=20.0, **PATIENT
        ) as processor:
            async with held_claims(database) as held:
                task_id = await create_task(creator_pool, start_delay=SOON)
                await held.a_claim_waits()
                stopping = asyncio.create_task(processor.stop())
                await until(lambda: answer(_has(lines, "draining")))
            await stopping

    row = await status(processor_pool, task_id)
    assert (row["state"], row["crashes"]) == ("SUCCEEDED", 0)


async def test_p11_a_claim_under_way_and_running_handlers_share_one_grace(
    database: Database, creator_pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the claim takes all of it: nothing is left for handlers."""
    left: list[float] = []
    drained = asyncio.Event()
    drain = Runner.drain

    async def noting(self: Runner, grace: float) -> None:
        left.append(grace)
        await drain(self, grace)
        drained.set()

    monkeypatch.setattr(Runner, "drain", noting)
    async with working(
        database.processor_url, quick(), grace=0.5, **PATIENT
    ) as processor:
        async with held_claims(database) as held:
            await create_task(creator_pool, start_delay=SOON)
            await held.a_claim_waits()
            stopping = asyncio.create_task(processor.stop())
            async with asyncio.timeout(LIMIT):
                await drained.wait()
        await stopping

    assert left == [pytest.approx(0, abs=0.01)]


async def test_p11_what_is_claimed_after_the_grace_is_given_back_unspent(
    database: Database, creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    handlers, register = only()
    begun: list[str] = []

    @register
    async def echo(ctx: Context) -> None:
        begun.append(ctx.task_id)

    async with working(
        database.processor_url, handlers, grace=0.0, **PATIENT
    ) as processor:
        async with held_claims(database) as held:
            task_id = await create_task(creator_pool, start_delay=SOON)
            await held.a_claim_waits()
            stopping = asyncio.create_task(processor.stop())
            await held.a_leave_waits()
        await stopping

    row = await status(processor_pool, task_id)
    assert (row["state"], row["attempt"], row["crashes"]) == ("PENDING", 0, 0)
    assert (begun, row["claim"]) == ([], 1)
    assert await processor_pool.fetchval("SELECT count(*) FROM tandem.processors") == 0


async def test_p11_a_claim_whose_answer_was_lost_before_a_stop_is_given_back_unspent(
    database: Database,
    creator_pool: asyncpg.Pool,
    processor_pool: asyncpg.Pool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handlers, register = only()
    register(print)
    lost, claim = asyncio.Event(), claims.claim

    async def lose(*args: Any, **wanted: Any) -> list[Claimed]:
        await claim(*args, **wanted)
        lost.set()
        raise ConnectionResetError

    # The next round would be long after the stop.
    patient = {"heartbeat": 30.0, "dead_after": 60.0}
    async with working(database.processor_url, handlers, **patient):
        await until(lambda: _lives(processor_pool))
        monkeypatch.setattr(claims, "claim", lose)
        task_id = await create_task(creator_pool, start_delay=SOON)
        async with asyncio.timeout(LIMIT):
            await lost.wait()

    row = await status(processor_pool, task_id)
    assert (row["state"], row["attempt"], row["crashes"]) == ("PENDING", 0, 0)
    assert await processor_pool.fetchval("SELECT count(*) FROM tandem.processors") == 0


async def _lives(pool: asyncpg.Pool) -> bool:
    return bool(await pool.fetchval("SELECT count(*) FROM tandem.processors"))


def _has(lines: Sequence[MutableMapping[str, Any]], event: str) -> bool:
    return any(line["event"] == event for line in lines)


@pytest.mark.parametrize("kind", ["async", "plain"])
async def test_p11_a_stage_cut_off_by_a_stop_is_not_told_as_failed(
    database: Database,
    creator_pool: asyncpg.Pool,
    processor_pool: asyncpg.Pool,
    kind: str,
) -> None:
    handlers, register = only()
    started = threading.Event()

    if kind == "async":

        async def draft() -> None:
            started.set()
            await asyncio.Event().wait()

        @register
        async def echo(ctx: Context) -> None:
            await ctx.stage("draft", draft)
    else:

        def write(cancelled: threading.Event) -> None:
            started.set()
            assert not cancelled.wait(LIMIT)

        @register
        def plain(ctx: BlockingContext) -> None:
            ctx.stage("draft", write, ctx.cancelled)

    await create_task(creator_pool, start_delay=SOON)
    async with working(database.processor_url, handlers, grace=0.1):
        await until(lambda: answer(started.is_set()))

    row = await processor_pool.fetchrow(
        """
        SELECT s.state::text, g.state, g.finish_time
        FROM tandem.task_status AS s
        JOIN tandem.task_stages AS g ON g.task_id = s.task_id
        """
    )
    assert row is not None
    assert tuple(row) == ("PENDING", "RUNNING", None)


async def test_p11_an_open_watch_ends_with_stopping(
    database: Database, creator_pool: asyncpg.Pool
) -> None:
    handlers, _ = only()
    handlers.register("other")(print)
    task_id = await create_task(creator_pool)
    async with working(database.processor_url, handlers) as processor:
        call = processor.stub.WatchTask(pb.WatchTaskRequest(task_id=str(task_id)))
        await call.read()
        stopping = asyncio.create_task(processor.stop())
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await call.read()
        await stopping

    reason = client.reason_of(ended.value)
    assert reason is not None
    assert reason.reason == "STOPPING"
