from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import grpc
import pytest
from google.protobuf.json_format import MessageToDict

from tandem import attempts, client
from tandem.handlers import (
    AttemptStopped,
    BlockingContext,
    Context,
    DoNotRetry,
    Handlers,
    RetryLater,
    RetryPolicy,
)
from tandem.outcomes import Outcome
from tandem.states import TaskState
from tandem.v1 import processor_pb2 as pb
from tandem.v1 import task_pb2
from tandem_processor import runner
from tandem_processor.reporter import Reporter
from tests.factories import create_many, create_task
from tests.support.cluster import Database
from tests.support.fake_creator import fake_creator
from tests.support.processor import LIMIT, working
from tests.support.processors import status
from tests.support.until import until

State = task_pb2.TaskStatus
SOON = timedelta(milliseconds=1)
AT_ONCE = RetryPolicy(initial_backoff=SOON, max_backoff=SOON)


def only(type_: str = "echo", **options: Any) -> tuple[Handlers, Callable[..., Any]]:
    handlers = Handlers()
    return handlers, handlers.register(type_, **options)


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
        await until(lambda: _answer(blocking.is_set()))
        beat = await _last_beat(processor_pool)
        await until(lambda: _later_than(processor_pool, beat))
        got = await processor.stub.GetTask(
            pb.GetTaskRequest(task_id=str(task_id)), timeout=5
        )
        assert got.task.status.state == State.STATE_RUNNING
        release.set()
        await processor.finished(task_id)


async def _answer(value: Any) -> Any:
    return value


async def _last_beat(pool: asyncpg.Pool) -> Any:
    return await pool.fetchval("SELECT max(heartbeat_time) FROM tandem.processors")


async def _later_than(pool: asyncpg.Pool, beat: Any) -> bool:
    return bool(await _last_beat(pool) > beat)


async def test_p7_a_handler_whose_lease_is_lost_is_stopped(
    database: Database, creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    """The next word that it says is refused, and what it returns is not kept."""
    handlers, register = only()
    started, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    stopped: list[bool] = []

    @register
    def echo(ctx: BlockingContext) -> dict[str, Any]:
        loop.call_soon_threadsafe(started.set)
        go_on.wait(LIMIT)
        try:
            ctx.progress(0.5)
        except AttemptStopped:
            stopped.append(True)
            raise
        return {"stale": True}

    task_id = await create_task(creator_pool, start_delay=SOON)
    async with working(database.processor_url, handlers):
        async with asyncio.timeout(LIMIT):
            await started.wait()
        await _take_over(processor_pool)
        go_on.set()
        await until(lambda: _answer(stopped))

    row = await status(processor_pool, task_id)
    assert (row["state"], row["claim"], row["progress"]) == ("RUNNING", 2, None)
    assert row["result"] is None


async def _take_over(pool: asyncpg.Pool) -> None:
    await pool.execute(
        "UPDATE tandem.task_status SET claim = claim + 1, processor_id = $1", uuid4()
    )


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
        await until(lambda: _answer(len(started) == len(task_ids)))

    for task_id in task_ids:
        row = await status(processor_pool, task_id)
        assert (row["state"], row["attempt"], row["claim"]) == ("PENDING", 0, 1)
        assert row["due_time"] is not None
    assert await processor_pool.fetchval("SELECT count(*) FROM tandem.processors") == 0


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
        await until(lambda: _answer(started.is_set()))

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


async def test_ids_of_the_stream_are_claimed_and_confirmed_known_or_not(
    database: Database, creator_pool: asyncpg.Pool
) -> None:
    handlers, register = only()

    @register
    async def echo(ctx: Context) -> None: ...

    task_id, nobody = await create_task(creator_pool), uuid4()
    async with (
        fake_creator([str(task_id), str(nobody)]) as (creator, address),
        working(
            database.processor_url, handlers, creator_address=(address,)
        ) as processor,
    ):
        task = await processor.finished(task_id)
        assert await creator.confirmed() == {str(task_id), str(nobody)}

    assert task.status.state == State.STATE_SUCCEEDED


async def test_p8_a_processor_taken_for_dead_joins_again_under_a_new_id(
    database: Database, creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    handlers, register = only()

    @register
    async def echo(ctx: Context) -> None: ...

    async with working(database.processor_url, handlers) as processor:
        (old,) = await until(lambda: _live(processor_pool))
        await processor_pool.execute("UPDATE tandem.processors SET state = 'DEAD'")
        (new,) = await until(lambda: _live(processor_pool))
        task_id = await create_task(creator_pool, start_delay=SOON)
        task = await processor.finished(task_id)

    assert new != old
    assert task.status.processor_id == str(new)


async def test_p8_a_claim_whose_answer_was_lost_is_given_back(
    database: Database, creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    """The row runs under a living processor that knows nothing of it."""
    handlers, register = only()

    @register
    async def echo(ctx: Context) -> None: ...

    task_id = await create_task(creator_pool)
    async with working(database.processor_url, handlers) as processor:
        (me,) = await until(lambda: _live(processor_pool))
        await processor_pool.execute(
            """
            WITH claimed AS (
                UPDATE tandem.task_status
                SET state = 'RUNNING', claim = 1, attempt = 1, processor_id = $1,
                    start_time = now()
                RETURNING task_id
            )
            INSERT INTO tandem.claim_batches (processor_id, task_ids)
            SELECT $1, array_agg(task_id) FROM claimed
            """,
            me,
        )
        task = await processor.finished(task_id)

    assert task.status.state == State.STATE_SUCCEEDED
    assert (task.status.claim, task.status.attempt) == (2, 1)


@pytest.mark.parametrize("part", ["judge", "report", "wait"])
async def test_a_defect_after_the_handler_spends_the_attempt(
    database: Database,
    creator_pool: asyncpg.Pool,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
) -> None:
    """Given back unspent, the handler would run again and again without limit."""
    handlers, register = only(retry=AT_ONCE)
    runs: list[int] = []

    @register
    async def echo(ctx: Context) -> None:
        runs.append(ctx.attempt)

    _break(part, monkeypatch)
    task_id = await create_task(creator_pool, start_delay=SOON, max_attempts=2)
    async with working(database.processor_url, handlers) as processor:
        task = await processor.finished(task_id)

    assert len(runs) <= 2
    assert task.status.state == State.STATE_FAILED
    assert (task.status.attempt, task.status.error.reason) == (2, "CRASHED")


async def test_p8_the_tasks_of_a_silent_processor_are_run_by_another(
    database: Database, creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    handlers, register = only()

    @register
    async def echo(ctx: Context) -> None: ...

    task_id = await create_task(creator_pool)
    await _die_holding(processor_pool)
    async with working(database.processor_url, handlers) as processor:
        task = await processor.finished(task_id)

    assert task.status.state == State.STATE_SUCCEEDED
    assert (task.status.claim, task.status.attempt) == (2, 2)
    assert task.status.error.reason == "CRASHED"


async def _die_holding(pool: asyncpg.Pool) -> None:
    dead = uuid4()
    await pool.execute(
        """
        INSERT INTO tandem.processors (processor_id, host, process_id, queues, types)
        VALUES ($1, 'gone', 1, '{default}', '{echo}')
        """,
        dead,
    )
    await pool.execute(
        """
        WITH claimed AS (
            UPDATE tandem.task_status
            SET state = 'RUNNING', claim = 1, attempt = 1, processor_id = $1,
                start_time = now()
            RETURNING task_id
        )
        INSERT INTO tandem.claim_batches (processor_id, task_ids)
        SELECT $1, array_agg(task_id) FROM claimed
        """,
        dead,
    )
    await pool.execute(
        "UPDATE tandem.processors SET heartbeat_time = now() - interval '1 minute'"
    )


async def _live(pool: asyncpg.Pool) -> list[Any]:
    rows = await pool.fetch(
        "SELECT processor_id FROM tandem.processors WHERE state = 'LIVE'"
    )
    return [row["processor_id"] for row in rows]


def _break(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the parts between a handler's end and its kept report has a defect."""

    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a defect")

    report = Reporter.report

    async def reports_no_success(self: Reporter, outcome: Outcome) -> None:
        if outcome.state is TaskState.SUCCEEDED:
            fails()
        await report(self, outcome)

    if part == "report":
        monkeypatch.setattr(Reporter, "report", reports_no_success)
    else:
        where = {"judge": (runner, "judge"), "wait": (attempts, "timeout_of")}
        monkeypatch.setattr(*where[part], fails)
