"""CancelTask, RetryTask, PauseQueue, ResumeQueue: what each changes, and what it refuses."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import grpc
import pytest

from tandem.access import Caller
from tandem.handlers import BlockingContext, Context, Handlers
from tandem.states import TaskState
from tandem.v1 import processor_pb2 as pb
from tandem.v1 import task_pb2
from tandem_processor import cancelling, reports
from tandem_processor.cancelling import CancelBell, Cancelling
from tests.factories import create_many, create_task
from tests.support.cluster import Database
from tests.support.janitor import Janitor
from tests.support.processor import (
    LIMIT,
    fields_refused,
    only_serving,
    refused,
    working,
)
from tests.support.processors import cancel, everything, join, outcome, run_task

if TYPE_CHECKING:
    from tandem.v1.processor_pb2_grpc import ProcessorServiceAsyncStub

State = task_pb2.TaskStatus
SOON = timedelta(milliseconds=1)
NAMES = ["", "a b", "-mail", "m" * 64, "m\0"]


@pytest.fixture
async def stub(
    processor_pool: asyncpg.Pool,
) -> AsyncIterator[ProcessorServiceAsyncStub]:
    async with only_serving(processor_pool) as serving:
        yield serving


def to_cancel(task_id: object, **fields: Any) -> pb.CancelTaskRequest:
    return pb.CancelTaskRequest(task_id=str(task_id), **fields)


def to_retry(task_id: object, *, attempt: int) -> pb.RetryTaskRequest:
    return pb.RetryTaskRequest(task_id=str(task_id), expected_attempt=attempt)


async def test_a_pending_task_is_answered_cancelled_and_a_repeat_is_answered_the_same(
    stub: ProcessorServiceAsyncStub, creator_pool: asyncpg.Pool
) -> None:
    task_id = await create_task(creator_pool, payload={"n": 1})

    first = (await stub.CancelTask(to_cancel(task_id, comment="twice"))).task
    again = (await stub.CancelTask(to_cancel(task_id, comment="late"))).task

    assert first == again
    assert first.status.state == State.STATE_CANCELLED
    assert first.status.cancel_comment == "twice"
    assert not first.status.HasField("cancel_request_time")
    assert not first.spec.HasField("payload")


async def test_a_running_task_is_answered_running_with_the_time_of_the_request(
    stub: ProcessorServiceAsyncStub,
    creator_pool: asyncpg.Pool,
    processor_pool: asyncpg.Pool,
) -> None:
    claimed = await run_task(creator_pool, processor_pool, await join(processor_pool))
    longest = "ü" * 255

    other = (await stub.CancelTask(to_cancel(claimed.task_id, expected_attempt=0))).task
    asked = await stub.CancelTask(
        to_cancel(claimed.task_id, expected_attempt=1, comment=longest)
    )

    assert not other.status.HasField("cancel_request_time")
    assert asked.task.status.state == State.STATE_RUNNING
    assert asked.task.status.HasField("cancel_request_time")
    assert asked.task.status.cancel_comment == longest


async def test_p10_a_bad_request_is_refused_with_every_field_named(
    stub: ProcessorServiceAsyncStub,
) -> None:
    long, nul = "x" * 256, "a\0b"
    for comment in (long, nul):
        request = to_cancel("7", expected_attempt=-1, comment=comment)
        assert await fields_refused(stub.CancelTask(request)) == [
            "comment",
            "expected_attempt",
            "task_id",
        ]
    assert await fields_refused(stub.RetryTask(to_retry("", attempt=-1))) == [
        "expected_attempt",
        "task_id",
    ]
    for name in NAMES:
        pause, resume = (
            stub.PauseQueue(pb.PauseQueueRequest(queue=name)),
            stub.ResumeQueue(pb.ResumeQueueRequest(queue=name)),
        )
        assert await fields_refused(pause) == ["queue"]
        assert await fields_refused(resume) == ["queue"]


@pytest.mark.parametrize("there", [True, False], ids=["hidden", "missing"])
async def test_an_id_that_may_not_be_read_is_not_found_and_nothing_changes(
    stub: ProcessorServiceAsyncStub,
    creator_pool: asyncpg.Pool,
    processor_pool: asyncpg.Pool,
    monkeypatch: pytest.MonkeyPatch,
    there: bool,
) -> None:
    """The same answer for both, word for word but for the id."""
    task_id = await create_task(creator_pool)
    cancelled = await create_task(creator_pool)
    await cancel(processor_pool, cancelled)
    before = [await everything(processor_pool, each) for each in (task_id, cancelled)]
    if there:
        monkeypatch.setattr(Caller, "may_read", lambda *_: False)
    gone, ended = (task_id, cancelled) if there else (uuid4(), uuid4())

    for call in (
        stub.CancelTask(to_cancel(gone)),
        stub.RetryTask(to_retry(ended, attempt=0)),
    ):
        code, reason = await refused(call)
        assert code is grpc.StatusCode.NOT_FOUND
        assert reason.message == "TASK_NOT_FOUND: no task has this id"

    after = [await everything(processor_pool, each) for each in (task_id, cancelled)]
    assert after == before


@pytest.mark.parametrize("state", [TaskState.FAILED, TaskState.CANCELLED])
async def test_a_retried_task_is_answered_pending_and_a_repeat_is_harmless(
    stub: ProcessorServiceAsyncStub,
    creator_pool: asyncpg.Pool,
    processor_pool: asyncpg.Pool,
    state: TaskState,
) -> None:
    me = await join(processor_pool)
    claimed = await run_task(creator_pool, processor_pool, me)
    await reports.report(processor_pool, me, [outcome(claimed, state)])

    first = (await stub.RetryTask(to_retry(claimed.task_id, attempt=1))).task
    again = (await stub.RetryTask(to_retry(claimed.task_id, attempt=1))).task

    assert first == again
    assert first.status.state == State.STATE_PENDING
    assert (first.status.attempt, first.status.claim) == (1, 1)
    assert first.status.due_time == first.status.update_time
    assert not first.status.HasField("finish_time")


@pytest.mark.parametrize(
    "state", [TaskState.RUNNING, TaskState.SUSPENDED, TaskState.SUCCEEDED]
)
async def test_p9_what_did_not_end_badly_is_not_retried(
    stub: ProcessorServiceAsyncStub,
    creator_pool: asyncpg.Pool,
    processor_pool: asyncpg.Pool,
    state: TaskState,
) -> None:
    me = await join(processor_pool)
    claimed = await run_task(creator_pool, processor_pool, me)
    if state is not TaskState.RUNNING:
        await reports.report(processor_pool, me, [outcome(claimed, state)])
    before = await everything(processor_pool, claimed.task_id)

    code, reason = await refused(stub.RetryTask(to_retry(claimed.task_id, attempt=1)))
    other = (await stub.RetryTask(to_retry(claimed.task_id, attempt=2))).task

    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert (reason.reason, reason.metadata["state"]) == ("TRANSITION_REFUSED", state)
    assert State.State.Name(other.status.state) == f"STATE_{state}"
    assert await everything(processor_pool, claimed.task_id) == before


async def test_a_pruned_task_is_not_retried_and_not_cancelled(
    stub: ProcessorServiceAsyncStub,
    creator_pool: asyncpg.Pool,
    processor_pool: asyncpg.Pool,
    janitor_pool: asyncpg.Pool,
) -> None:
    task_id = await create_task(creator_pool)
    await cancel(processor_pool, task_id)
    await Janitor(janitor_pool).strip(task_id)

    for attempt in (0, 1):
        retry = stub.RetryTask(to_retry(task_id, attempt=attempt))
        code, reason = await refused(retry)
        assert (code, reason.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "TRANSITION_REFUSED",
        )
        assert "was pruned" in reason.message
    task = (await stub.CancelTask(to_cancel(task_id, comment="late"))).task
    assert task.status.state == State.STATE_CANCELLED
    assert (task.HasField("prune_time"), task.status.cancel_comment) == (True, "")


async def test_a_watch_is_told_of_each_change_at_once(
    stub: ProcessorServiceAsyncStub, creator_pool: asyncpg.Pool
) -> None:
    """Nobody looks now and then: what is seen was rung for."""
    task_id = await create_task(creator_pool)
    watched = pb.WatchTaskRequest(task_id=str(task_id))
    async with asyncio.timeout(LIMIT):
        watch: Any = stub.WatchTask(watched)
        await watch.read()
        await stub.CancelTask(to_cancel(task_id))
        assert (await watch.read()).task.status.state == State.STATE_CANCELLED
        await stub.RetryTask(to_retry(task_id, attempt=0))
        assert [each async for each in _states(stub.WatchTask(watched), 1)] == [
            State.STATE_PENDING
        ]


async def _states(watch: Any, count: int) -> AsyncIterator[int]:
    for _ in range(count):
        yield (await watch.read()).task.status.state
    watch.cancel()


def idle(kind: str, started: Callable[[], None]) -> Handlers:
    """A handler that ends only when it is told to."""
    handlers = Handlers()

    async def wait(ctx: Context) -> None:
        started()
        await asyncio.Event().wait()

    def wait_in_thread(ctx: BlockingContext) -> None:
        started()
        ctx.cancelled.wait(LIMIT)
        raise RuntimeError("told to stop")

    handlers.register("echo")(wait_in_thread if kind == "plain" else wait)
    return handlers


@pytest.mark.parametrize("kind", ["async", "plain"])
async def test_a_handler_in_the_process_that_is_asked_is_stopped_at_once(
    database: Database,
    creator_pool: asyncpg.Pool,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    """Neither a look nor a round is due while the test lasts."""
    monkeypatch.setattr(cancelling, "POLL_SECONDS", 3600)
    started = threading.Event()
    task_id = await create_task(creator_pool, start_delay=SOON)
    async with working(database.processor_url, idle(kind, started.set)) as processor:
        assert await asyncio.to_thread(started.wait, LIMIT)
        await processor.stub.CancelTask(to_cancel(task_id, comment="enough"))
        task = await processor.finished(task_id)

    assert task.status.state == State.STATE_CANCELLED
    assert (task.status.cancel_comment, task.status.attempt) == ("enough", 1)
    assert not task.status.HasField("error")


async def test_p8_a_handler_is_stopped_whichever_processor_is_asked(
    database: Database, creator_pool: asyncpg.Pool
) -> None:
    started = threading.Event()
    task_id = await create_task(creator_pool, start_delay=SOON)
    async with (
        working(database.processor_url, idle("async", started.set)),
        working(database.processor_url, Handlers()) as other,
    ):
        assert await asyncio.to_thread(started.wait, LIMIT)
        await other.stub.CancelTask(to_cancel(task_id))
        task = await other.finished(task_id)

    assert task.status.state == State.STATE_CANCELLED


async def test_a_processor_that_runs_nothing_asks_for_no_cancels(
    database: Database, processor_pool: asyncpg.Pool
) -> None:
    class Runner:
        running: dict[object, int] = {}  # noqa: RUF012 - read only

    looking = Cancelling(
        processor_pool,
        uuid4(),
        runner=Runner(),  # type: ignore[arg-type]  # all that is looked at
        bell=CancelBell(),
    )
    await processor_pool.close()

    await looking.run_once()


async def test_a_task_without_attempts_left_is_run_once_more_by_a_retry(
    database: Database, creator_pool: asyncpg.Pool
) -> None:
    handlers = Handlers()
    ran: list[int] = []

    @handlers.register("echo")
    async def echo(ctx: Context) -> None:
        await ctx.stage("draft", lambda: ran.append(-ctx.attempt))
        ran.append(ctx.attempt)
        raise RuntimeError(f"boom {ctx.attempt}")

    task_id = await create_task(creator_pool, start_delay=SOON, max_attempts=1)
    async with working(database.processor_url, handlers) as processor:
        await processor.finished(task_id)
        for attempt in (1, 2):
            await processor.stub.RetryTask(to_retry(task_id, attempt=attempt))
            task = await processor.finished(task_id)

    assert ran == [-1, 1, 2, 3]
    assert (task.status.state, task.status.attempt) == (State.STATE_FAILED, 3)
    assert task.status.error.message == "RuntimeError: boom 3"
    assert [e.message for e in task.status.earlier_errors] == [
        "RuntimeError: boom 2",
        "RuntimeError: boom 1",
    ]


async def test_p8_a_paused_queue_rests_in_every_processor_and_nothing_of_it_is_lost(
    database: Database, creator_pool: asyncpg.Pool
) -> None:
    handlers = Handlers()

    @handlers.register("echo")
    async def echo(ctx: Context) -> None:
        return None

    both = {"queues": ("mail", "other")}
    async with (
        working(database.processor_url, handlers, **both) as one,
        working(database.processor_url, handlers, **both) as two,
    ):
        for _ in range(2):
            await one.stub.PauseQueue(pb.PauseQueueRequest(queue="mail"))
        resting = await create_many(creator_pool, 20, queue="mail", start_delay=SOON)
        others = await create_many(creator_pool, 20, queue="other", start_delay=SOON)
        for task_id in others:
            await one.finished(task_id)
        request = pb.BatchGetTasksRequest(task_ids=[str(each) for each in resting])
        tasks = (await two.stub.BatchGetTasks(request)).tasks
        assert {(t.status.state, t.status.claim) for t in tasks} == {
            (State.STATE_PENDING, 0)
        }

        for _ in range(2):
            await two.stub.ResumeQueue(pb.ResumeQueueRequest(queue="mail"))
        ended = [await two.finished(task_id) for task_id in resting]

    assert {task.status.state for task in ended} == {State.STATE_SUCCEEDED}


async def test_a_queue_without_tasks_is_paused_and_one_never_paused_resumed(
    stub: ProcessorServiceAsyncStub, processor_pool: asyncpg.Pool
) -> None:
    await stub.PauseQueue(pb.PauseQueueRequest(queue="later"))
    await stub.ResumeQueue(pb.ResumeQueueRequest(queue="never"))

    rows = await processor_pool.fetch("SELECT queue, paused FROM tandem.queues")
    assert [tuple(row) for row in rows] == [("later", True)]
