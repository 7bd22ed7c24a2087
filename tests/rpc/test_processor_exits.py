"""Handlers that raise what ends loops, threads and processes: the others go on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from tandem.handlers import Context, Handlers, RetryPolicy
from tandem.v1 import task_pb2
from tests.factories import create_task
from tests.support.cluster import Database
from tests.support.processor import working

State = task_pb2.TaskStatus

ONCE = RetryPolicy(max_attempts=1)
SOON = timedelta(milliseconds=1)


async def leave() -> None:
    sys.exit("no more")


async def from_the_handler(_: Context) -> None:
    await leave()


async def from_a_task_that_is_awaited(_: Context) -> None:
    await asyncio.wait_for(leave(), 30)


async def from_a_task_group(_: Context) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(leave())


async def from_a_stage(ctx: Context) -> None:
    await ctx.stage("draft", lambda: sys.exit("no more"))


@pytest.mark.parametrize(
    "handler",
    [from_the_handler, from_a_task_that_is_awaited, from_a_task_group, from_a_stage],
)
async def test_a_handler_that_leaves_the_process_ends_its_attempt_and_no_other(
    database: Database,
    creator_pool: asyncpg.Pool,
    handler: Callable[[Context], Coroutine[Any, Any, None]],
) -> None:
    status = await run_and_echo(database, creator_pool, handler)

    assert status.state == State.STATE_FAILED
    assert status.error.message == "SystemExit: no more"


async def stop_the_loop(_: Context) -> None:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0)


async def leave_in_a_callback(_: Context) -> None:
    asyncio.get_running_loop().call_soon(sys.exit)
    await asyncio.sleep(0)


@pytest.mark.parametrize("handler", [stop_the_loop, leave_in_a_callback])
async def test_a_handler_that_ends_the_loop_of_all_stops_nobody(
    database: Database,
    creator_pool: asyncpg.Pool,
    handler: Callable[[Context], Coroutine[Any, Any, None]],
) -> None:
    status = await run_and_echo(database, creator_pool, handler)

    assert status.state == State.STATE_SUCCEEDED


async def test_a_step_that_runs_out_of_an_iterator_fails_its_attempt(
    database: Database, creator_pool: asyncpg.Pool
) -> None:
    def first() -> Any:
        return next(iter([]))

    async def take_first(ctx: Context) -> None:
        await ctx.stage("first", first)

    status = await run_and_echo(database, creator_pool, take_first)

    assert status.state == State.STATE_FAILED
    assert status.error.message == "RuntimeError: first raised StopIteration"


async def run_and_echo(
    database: Database,
    creator_pool: asyncpg.Pool,
    handler: Callable[[Context], Coroutine[Any, Any, None]],
) -> task_pb2.TaskStatus:
    """How a task with this handler ended, once another one has run after it."""
    handlers = Handlers()
    handlers.register("bad", retry=ONCE)(handler)

    @handlers.register("echo")
    async def echo(ctx: Context) -> dict[str, Any]:
        return ctx.payload

    bad = await create_task(creator_pool, type="bad", start_delay=SOON)
    async with working(database.processor_url, handlers) as processor:
        ended = await processor.finished(bad)
        good = await create_task(creator_pool, start_delay=SOON)
        echoed = await processor.finished(good)
    assert echoed.status.state == State.STATE_SUCCEEDED
    return ended.status
