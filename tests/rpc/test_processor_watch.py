from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import asyncpg
import grpc
import pytest

from tandem import client
from tandem.server import Server
from tandem.v1 import processor_pb2 as pb
from tandem.v1 import processor_pb2_grpc, task_pb2
from tandem_processor import reports, steps
from tandem_processor.cancelling import CancelBell
from tandem_processor.running import SERVICE
from tandem_processor.service import ProcessorServicer
from tandem_processor.watch import Watch
from tests.factories import create_task
from tests.support.processors import claim, hold, join, outcome

if TYPE_CHECKING:
    from tandem.v1.processor_pb2_grpc import ProcessorServiceAsyncStub

LIMIT = 15.0
State = task_pb2.TaskStatus


@asynccontextmanager
async def watched(
    pool: asyncpg.Pool, **seconds: float
) -> AsyncIterator[tuple[ProcessorServiceAsyncStub, Watch]]:
    watch = Watch(pool, **{"tick_seconds": 0.05, "frame_seconds": 10.0, **seconds})
    servicer = ProcessorServicer(pool, watch, CancelBell())
    server = Server(servicer, SERVICE, listen="127.0.0.1:0")
    port = await server.start()
    ticking = asyncio.create_task(watch.run())
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield processor_pb2_grpc.ProcessorServiceStub(channel), watch
    ticking.cancel()
    await server.stop(0)


def opened(stub: ProcessorServiceAsyncStub, task_id: UUID) -> Any:
    return stub.WatchTask(pb.WatchTaskRequest(task_id=str(task_id)), timeout=LIMIT)


async def seen(call: Any, state: int) -> task_pb2.Task:
    """The first task in this state that the watch sends."""
    while (response := await call.read()) is not grpc.aio.EOF:
        if response.HasField("task") and response.task.status.state == state:
            return task_pb2.Task.FromString(response.task.SerializeToString())
    raise AssertionError("the watch ended before")


async def test_a_watch_sends_the_task_now_and_each_state_up_to_the_final_one(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    me = await join(processor_pool)
    task_id = await create_task(creator_pool)
    async with watched(processor_pool) as (stub, _):
        call = opened(stub, task_id)
        await seen(call, State.STATE_PENDING)
        (claimed,) = await claim(processor_pool, me, task_id)
        await seen(call, State.STATE_RUNNING)
        await reports.report(processor_pool, me, [outcome(claimed, result="{}")])
        await seen(call, State.STATE_SUCCEEDED)

        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


async def test_progress_and_stages_are_changes(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    me = await join(processor_pool)
    task_id = await create_task(creator_pool)
    (claimed,) = await claim(processor_pool, me, task_id)
    async with watched(processor_pool) as (stub, _):
        call = opened(stub, task_id)
        await seen(call, State.STATE_RUNNING)
        await steps.set_progress(processor_pool, hold(claimed, me), 0.5)
        while (await seen(call, State.STATE_RUNNING)).status.progress != 0.5:
            pass
        await steps.begin_stage(processor_pool, hold(claimed, me), "draft")
        while not (await seen(call, State.STATE_RUNNING)).status.stages:
            pass
        call.cancel()


async def test_a_watch_of_a_finished_task_sends_it_and_ends(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    me = await join(processor_pool)
    task_id = await create_task(creator_pool)
    (claimed,) = await claim(processor_pool, me, task_id)
    await reports.report(processor_pool, me, [outcome(claimed)])
    async with watched(processor_pool) as (stub, _):
        responses = [response async for response in opened(stub, task_id)]

    assert [r.task.status.state for r in responses] == [State.STATE_SUCCEEDED]


async def test_a_quiet_watch_shows_that_it_lives(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    task_id = await create_task(creator_pool)
    async with watched(processor_pool, frame_seconds=0.1) as (stub, _):
        call = opened(stub, task_id)
        frames = [await call.read() for _ in range(6)]
        call.cancel()

    assert [frame.HasField("task") for frame in frames] == [True] + [False] * 5


async def test_a_watch_of_no_task_is_not_found(processor_pool: asyncpg.Pool) -> None:
    async with watched(processor_pool) as (stub, _):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await opened(stub, uuid4()).read()

    reason = client.reason_of(raised.value)
    assert reason is not None
    assert reason.reason == "TASK_NOT_FOUND"


async def test_a_task_deleted_meanwhile_ends_its_watch_as_not_found(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool, owner_pool: asyncpg.Pool
) -> None:
    task_id = await create_task(creator_pool)
    async with watched(processor_pool) as (stub, _):
        call = opened(stub, task_id)
        await call.read()
        await owner_pool.execute("DELETE FROM tandem.task_status")
        await owner_pool.execute("DELETE FROM tandem.tasks")
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await seen(call, State.STATE_SUCCEEDED)

    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


async def test_nothing_is_kept_of_a_watch_that_ended(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    watch = Watch(processor_pool)
    task_id = await create_task(creator_pool)
    async with watch.following(task_id), watch.following(task_id):
        await watch.run_once()
        assert set(watch._marks) == {task_id}

    assert (watch._watchers, watch._marks) == ({}, {})
