"""Handlers of every kind at work: what they are given, and what becomes of what they do."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from google.protobuf.json_format import MessageToDict
from structlog.contextvars import bind_contextvars, merge_contextvars
from structlog.testing import capture_logs

from tandem.handlers import (
    BlockingContext,
    Context,
    DoNotRetry,
    RetryLater,
)
from tandem.v1 import processor_pb2 as pb
from tandem.v1 import task_pb2
from tests.factories import create_task
from tests.support.cluster import Database
from tests.support.handled import AT_ONCE, SOON, answer, only
from tests.support.processor import LIMIT, working
from tests.support.until import until

State = task_pb2.TaskStatus


async def test_the_line_about_an_attempt_names_its_task_and_its_processor(
    database: Database, creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    """And nothing that the handler has bound, which may be another's."""
    handlers, register = only()

    @register
    async def echo(ctx: Context) -> None:
        bind_contextvars(of_the_handler=True)

    task_id = await create_task(creator_pool, start_delay=SOON)
    with capture_logs(processors=[merge_contextvars]) as lines:
        async with working(database.processor_url, handlers) as processor:
            await processor.finished(task_id)
            me = await processor_pool.fetchval(
                "SELECT processor_id FROM tandem.processors"
            )

    (line,) = [line for line in lines if line["event"] == "attempt"]
    assert (line["task_id"], line["processor_id"]) == (str(task_id), str(me))
    assert "of_the_handler" not in line


async def test_an_async_handler_is_given_its_task_and_its_result_is_kept(
    database: Database, creator_pool: asyncpg.Pool
) -> None:
    handlers, register = only()

    @register
    async def echo(ctx: Context) -> dict[str, Any]:
        draft = await ctx.stage("draft", lambda n: {"n": n + 1}, ctx.payload["n"])
        await ctx.progress(0.5)
        await ctx.annotate(provider="remote-7")
        return {"draft": draft, "key": ctx.idempotency_key, "title": ctx.title}

    task_id = await create_task(
        creator_pool, payload={"n": 1}, title="a title", start_delay=SOON
    )
    async with working(database.processor_url, handlers) as processor:
        task = await processor.finished(task_id)

    assert task.status.state == State.STATE_SUCCEEDED
    assert MessageToDict(task.status.result) == {
        "draft": {"n": 2},
        "key": str(task_id),
        "title": "a title",
    }
    assert [(s.name, s.attempt) for s in task.status.stages] == [("draft", 1)]
    assert dict(task.status.annotations) == {"provider": "remote-7"}
    assert task.status.start_time.ToNanoseconds() > 0


async def test_a_plain_handler_runs_in_a_thread_with_the_same_words(
    database: Database, creator_pool: asyncpg.Pool
) -> None:
    handlers, register = only()

    @register
    def echo(ctx: BlockingContext) -> dict[str, Any]:
        ctx.progress(0.5)
        ctx.annotate(provider="remote-7")
        draft = ctx.stage("draft", lambda: [1, None, "x"])
        return {"draft": draft, "thread": threading.current_thread().name}

    task_id = await create_task(creator_pool, start_delay=SOON)
    async with working(database.processor_url, handlers) as processor:
        task = await processor.finished(task_id)

    result = MessageToDict(task.status.result)
    assert result["draft"] == [1, None, "x"]
    assert result["thread"] != threading.main_thread().name
    assert dict(task.status.annotations) == {"provider": "remote-7"}


async def test_a_stage_runs_once_over_all_attempts(
    database: Database, creator_pool: asyncpg.Pool
) -> None:
    handlers, register = only(retry=AT_ONCE)
    ran: list[str] = []

    def step(name: str) -> str:
        ran.append(name)
        return name.upper()

    @register
    async def echo(ctx: Context) -> dict[str, Any]:
        draft = await ctx.stage("draft", step, "draft")
        if ctx.attempt < 3:
            raise RuntimeError("boom")
        return {"draft": draft, "form": await ctx.stage("format", step, "format")}

    task_id = await create_task(creator_pool, start_delay=SOON)
    async with working(database.processor_url, handlers) as processor:
        task = await processor.finished(task_id)

    assert ran == ["draft", "format"]
    assert dict(task.status.result) == {"draft": "DRAFT", "form": "FORMAT"}
    assert task.status.attempt == 3
    assert [s.attempt for s in task.status.stages] == [1, 3]
    assert task.status.error.message == "RuntimeError: boom"


@pytest.mark.parametrize(
    ("error", "reason", "attempts"),
    [
        (RuntimeError("boom"), "HANDLER_ERROR", 2),
        (DoNotRetry("hopeless"), "DO_NOT_RETRY", 1),
        (RetryLater(SOON), "HANDLER_ERROR", 2),
        (SystemExit(1), "HANDLER_ERROR", 2),
        (asyncio.CancelledError(), "HANDLER_ERROR", 2),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_what_a_handler_raises_decides_what_becomes_of_its_task(
    database: Database,
    creator_pool: asyncpg.Pool,
    error: BaseException,
    reason: str,
    attempts: int,
) -> None:
    handlers, register = only(retry=AT_ONCE)

    @register
    async def echo(ctx: Context) -> None:
        raise error

    task_id = await create_task(creator_pool, start_delay=SOON, max_attempts=2)
    async with working(database.processor_url, handlers) as processor:
        task = await processor.finished(task_id)

    assert task.status.state == State.STATE_FAILED
    assert (task.status.error.reason, task.status.attempt) == (reason, attempts)
    assert "Traceback" not in task.status.error.message


async def test_a_result_that_cannot_be_kept_fails_the_attempt(
    database: Database, creator_pool: asyncpg.Pool
) -> None:
    handlers, register = only(retry=AT_ONCE)

    @register
    async def echo(ctx: Context) -> dict[str, Any]:
        await ctx.stage("large", lambda: "x" * 200_000)
        return {"large": "y" * 100_000}

    task_id = await create_task(creator_pool, start_delay=SOON, max_attempts=1)
    async with working(database.processor_url, handlers) as processor:
        task = await processor.finished(task_id)

    assert task.status.error.reason == "UNSTORABLE_RESULT"
    assert not task.status.HasField("result")


@pytest.mark.parametrize("kind", ["async", "blocked loop", "thread"])
async def test_an_attempt_that_runs_too_long_ends_with_timeout(
    database: Database, creator_pool: asyncpg.Pool, kind: str
) -> None:
    """Whatever the handler does: the time is kept on another loop than its own."""
    handlers, register = only(timeout=timedelta(milliseconds=100), retry=AT_ONCE)
    release = threading.Event()

    if kind == "thread":

        @register
        def plain(ctx: BlockingContext) -> None:
            ctx.cancelled.wait(LIMIT)
    else:

        @register
        async def echo(ctx: Context) -> None:
            if kind == "blocked loop":
                release.wait(1)
            await asyncio.Event().wait()

    task_id = await create_task(creator_pool, start_delay=SOON, max_attempts=1)
    async with working(database.processor_url, handlers) as processor:
        task = await processor.finished(task_id)

    assert task.status.error.reason == "TIMEOUT"


async def test_a_handler_that_blocks_its_loop_costs_neither_lease_nor_calls(
    database: Database, creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    handlers, register = only()
    blocking, release = threading.Event(), threading.Event()

    @register
    async def echo(ctx: Context) -> None:
        blocking.set()
        release.wait(LIMIT)

    task_id = await create_task(creator_pool, start_delay=SOON)
    async with working(database.processor_url, handlers) as processor:
        await until(lambda: answer(blocking.is_set()))
        beat = await _last_beat(processor_pool)
        await until(lambda: _later_than(processor_pool, beat))
        got = await processor.stub.GetTask(
            pb.GetTaskRequest(task_id=str(task_id)), timeout=5
        )
        assert got.task.status.state == State.STATE_RUNNING
        release.set()
        await processor.finished(task_id)


async def _last_beat(pool: asyncpg.Pool) -> Any:
    return await pool.fetchval("SELECT max(heartbeat_time) FROM tandem.processors")


async def _later_than(pool: asyncpg.Pool, beat: Any) -> bool:
    return bool(await _last_beat(pool) > beat)
