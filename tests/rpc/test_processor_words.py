"""What handlers say while they run: merged, bounded, checked, and fenced."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from google.protobuf.json_format import MessageToDict
from structlog.testing import capture_logs

from tandem import limits
from tandem.handlers import (
    AttemptStopped,
    BlockingContext,
    Context,
    Handlers,
    RetryPolicy,
)
from tandem.v1 import task_pb2
from tandem_processor import steps
from tests.factories import create_task
from tests.support.cluster import Database
from tests.support.processor import LIMIT, working
from tests.support.processors import status
from tests.support.until import until

State = task_pb2.TaskStatus

SOON = timedelta(milliseconds=1)
AT_ONCE = RetryPolicy(initial_backoff=SOON, max_backoff=SOON)

WORDS = 2000


def only(**options: Any) -> tuple[Handlers, Callable[..., Any]]:
    handlers = Handlers()
    return handlers, handlers.register("echo", retry=AT_ONCE, **options)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The fractions that were sent to the database."""
    fractions: list[float] = []
    set_progress = steps.set_progress

    async def note(pool: asyncpg.Pool, hold: steps.Hold, fraction: float) -> None:
        fractions.append(fraction)
        await set_progress(pool, hold, fraction)

    monkeypatch.setattr(steps, "set_progress", note)
    return fractions


async def test_quick_words_of_progress_are_merged_and_the_last_is_kept(
    database: Database, creator_pool: asyncpg.Pool, written: list[float]
) -> None:
    handlers, register = only()
    seconds: list[float] = []

    @register
    async def echo(ctx: Context) -> None:
        start = time.monotonic()
        for number in range(WORDS):
            await ctx.progress(number / WORDS)
        seconds.append(time.monotonic() - start)
        raise RuntimeError("before the last word was due")

    task_id = await create_task(creator_pool, start_delay=SOON, max_attempts=1)
    async with working(database.processor_url, handlers) as processor:
        task = await processor.finished(task_id)

    assert task.status.progress == (WORDS - 1) / WORDS
    assert written == sorted(written)
    # The first at once, the last before the report, and four a second between.
    assert len(written) <= 3 + 4 * seconds[0]


async def test_a_word_of_progress_is_seen_while_the_handler_goes_on(
    database: Database, creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    handlers, register = only()
    go_on = threading.Event()

    @register
    def echo(ctx: BlockingContext) -> None:
        ctx.progress(0.1)
        ctx.progress(0.2)
        go_on.wait(LIMIT)

    task_id = await create_task(creator_pool, start_delay=SOON)
    async with working(database.processor_url, handlers) as processor:

        async def says_last() -> bool:
            return bool((await status(processor_pool, task_id))["progress"] == 0.2)

        await until(says_last)
        go_on.set()
        await processor.finished(task_id)


async def test_p7_a_merged_word_of_a_stale_holder_changes_nothing_and_stops_it(
    database: Database, creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    handlers, register = only()
    taken, stopped = threading.Event(), threading.Event()
    said = asyncio.Event()
    loop = asyncio.get_running_loop()

    @register
    def echo(ctx: BlockingContext) -> None:
        ctx.progress(0.1)
        loop.call_soon_threadsafe(said.set)
        taken.wait(LIMIT)
        ctx.progress(0.2)
        if ctx.cancelled.wait(LIMIT):
            stopped.set()

    task_id = await create_task(creator_pool, start_delay=SOON)
    # No round finds out before the word does.
    async with working(
        database.processor_url, handlers, heartbeat=30.0, dead_after=60.0
    ):
        async with asyncio.timeout(LIMIT):
            await said.wait()
        await processor_pool.execute("UPDATE tandem.task_status SET claim = claim + 1")
        taken.set()
        assert await asyncio.to_thread(stopped.wait, LIMIT)

    assert (await status(processor_pool, task_id))["progress"] == 0.1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (lambda ctx: ctx.progress(float("nan")), "progress is from 0 to 1, not nan"),
        (lambda ctx: ctx.progress(1.01), "progress is from 0 to 1, not 1.01"),
        (lambda ctx: ctx.annotate(a="\0"), "annotations.a has a NUL character"),
        (lambda ctx: ctx.annotate(a="\ud800"), "annotations.a has a lone surrogate"),
        (lambda ctx: ctx.annotate(a=7), "the annotation a must be text"),
        (lambda ctx: ctx.annotate(a="x" * 256), "at most 255 characters"),
        (lambda ctx: ctx.annotate(**{"a b": "x"}), "no name of an annotation"),
        (lambda ctx: ctx.stage("a b", list), "is no name of a stage"),
        (lambda ctx: ctx.stage("a", lambda: float("inf")), "is not a finite number"),
        (lambda ctx: ctx.stage("a", lambda: "\0"), "stage a has a NUL character"),
    ],
)
async def test_p10_a_bad_word_fails_its_attempt_and_names_the_fault(
    database: Database,
    creator_pool: asyncpg.Pool,
    words: Callable[[BlockingContext], None],
    said: str,
) -> None:
    handlers, register = only()
    handlers.register("good")(lambda ctx: {"n": 1})

    @register
    def echo(ctx: BlockingContext) -> None:
        words(ctx)

    bad = await create_task(creator_pool, start_delay=SOON, max_attempts=1)
    good = await create_task(creator_pool, start_delay=SOON, type="good")
    async with working(database.processor_url, handlers) as processor:
        failed, neighbour = [await processor.finished(t) for t in (bad, good)]

    assert said in failed.status.error.message
    assert MessageToDict(neighbour.status.result) == {"n": 1}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a\0b", r"RuntimeError: a\0b"),
        ("a\ud800b", "RuntimeError: a?b"),
        ("x" * 10_000, f"RuntimeError: {'x' * 10_000}"[: limits.MAX_ERROR_MESSAGE]),
    ],
    ids=["NUL", "lone surrogate", "huge"],
)
async def test_p10_whatever_an_exception_says_its_message_is_kept(
    database: Database, creator_pool: asyncpg.Pool, text: str, kept: str
) -> None:
    handlers, register = only()

    @register
    async def echo(ctx: Context) -> None:
        raise RuntimeError(text)

    task_id = await create_task(creator_pool, start_delay=SOON, max_attempts=1)
    async with working(database.processor_url, handlers) as processor:
        task = await processor.finished(task_id)

    assert task.status.error.message == kept


async def test_a_task_has_at_most_16_annotations_over_all_its_attempts(
    database: Database, creator_pool: asyncpg.Pool
) -> None:
    handlers, register = only()

    @register
    async def echo(ctx: Context) -> None:
        if ctx.attempt == 1:
            await ctx.annotate(**{f"n{number}": "first" for number in range(16)})
            raise RuntimeError("another attempt")
        await ctx.annotate(n0="second")
        await ctx.annotate(one_more="x")

    task_id = await create_task(creator_pool, start_delay=SOON, max_attempts=2)
    async with working(database.processor_url, handlers) as processor:
        task = await processor.finished(task_id)

    notes = dict(task.status.annotations)
    assert len(notes) == 16
    assert (notes["n0"], notes["n1"]) == ("second", "first")
    assert "a task has at most 16 annotations" in task.status.error.message


async def test_stages_may_run_at_the_same_time_and_share_one_limit(
    database: Database, creator_pool: asyncpg.Pool
) -> None:
    """Both end at once, and each would fit alone."""
    handlers, register = only()
    size = limits.MAX_OUTPUT_BYTES * 2 // 3

    @register
    async def echo(ctx: Context) -> dict[str, Any]:
        both = asyncio.Barrier(2)

        async def write(length: int) -> str:
            await both.wait()
            return "x" * length

        small = await asyncio.gather(
            *(ctx.stage(name, write, 3) for name in ("draft", "index"))
        )
        large = await asyncio.gather(
            *(ctx.stage(name, write, size) for name in ("text", "image")),
            return_exceptions=True,
        )
        return {"small": small, "large": sorted(type(each).__name__ for each in large)}

    task_id = await create_task(creator_pool, start_delay=SOON)
    async with working(database.processor_url, handlers) as processor:
        task = await processor.finished(task_id)

    assert MessageToDict(task.status.result) == {
        "small": ["xxx", "xxx"],
        "large": ["Unstorable", "str"],
    }
    states = {stage.name: stage.state for stage in task.status.stages}
    assert sorted(states) == ["draft", "image", "index", "text"]
    assert sorted(states.values()) == [2, 2, 2, 3]


async def test_handlers_that_ignore_their_end_are_told_and_harm_no_other(
    database: Database, creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    """One its timeout, one a cancel request; both go on, and what they say is refused."""
    handlers = Handlers()
    released, refused = threading.Event(), threading.Semaphore(0)

    def goes_on(ctx: BlockingContext) -> dict[str, Any]:
        released.wait(LIMIT)
        try:
            ctx.progress(0.9)
        except AttemptStopped:
            refused.release()
            raise
        return {"too": "late"}

    handlers.register("late", timeout=SOON)(goes_on)
    handlers.register("cancelled")(goes_on)
    handlers.register("good")(lambda _: {"n": 1})
    late, cancelled = [
        await create_task(creator_pool, start_delay=SOON, type=type_, max_attempts=1)
        for type_ in ("late", "cancelled")
    ]
    async with working(database.processor_url, handlers) as processor:
        await until(lambda: _running(processor_pool, cancelled))
        await processor_pool.execute(
            "UPDATE tandem.task_status SET cancel_request_time = now() WHERE task_id = $1",
            cancelled,
        )
        ended = [await processor.finished(task_id) for task_id in (late, cancelled)]
        good = await create_task(creator_pool, start_delay=SOON, type="good")
        neighbour = await processor.finished(good)
        released.set()
        for _ in ended:
            assert await asyncio.to_thread(refused.acquire, timeout=LIMIT)
        again = [await status(processor_pool, task_id) for task_id in (late, cancelled)]

    assert [(t.status.state, t.status.error.reason) for t in ended] == [
        (State.STATE_FAILED, "TIMEOUT"),
        (State.STATE_CANCELLED, "CANCEL_IGNORED"),
    ]
    assert neighbour.status.state == State.STATE_SUCCEEDED
    assert [(row["result"], row["progress"]) for row in again] == [(None, None)] * 2


async def _running(pool: asyncpg.Pool, task_id: UUID) -> bool:
    return bool((await status(pool, task_id))["state"] == "RUNNING")


async def test_a_handler_that_blocks_the_loop_of_all_is_named(
    database: Database, creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    """Also where one of the tasks that it made does; the lease and the others live."""
    handlers, register = only()
    released = threading.Event()

    @register
    async def echo(ctx: Context) -> None:
        async def block() -> None:
            released.wait(LIMIT)

        if ctx.payload["blocks"]:
            await asyncio.gather(block())

    with capture_logs() as lines:

        async def told(event: str) -> Any:
            await asyncio.sleep(0)
            return [line for line in lines if line["event"] == event]

        blocker = await create_task(
            creator_pool, start_delay=SOON, payload={"blocks": True}
        )
        async with working(
            database.processor_url, handlers, dead_after=1.0
        ) as processor:
            (named,) = await until(lambda: told("handler blocks its loop"))
            await _beats_on(processor_pool, seconds=1.0)
            other = await create_task(
                creator_pool, start_delay=SOON, payload={"blocks": False}
            )
            released.set()
            (freed,) = await until(lambda: told("handler let go of its loop"))
            task = await processor.finished(blocker)
            await processor.finished(other)

    assert (named["type"], named["task_id"]) == ("echo", str(blocker))
    assert freed["task_id"] == str(blocker)
    assert freed["ms"] >= 1000
    assert (task.status.claim, task.status.state) == (1, State.STATE_SUCCEEDED)


async def _beats_on(pool: asyncpg.Pool, *, seconds: float) -> None:
    """Return once the heart has beaten for so long from now."""
    start = await pool.fetchval("SELECT now()")

    async def beaten() -> bool:
        last = await pool.fetchval("SELECT max(heartbeat_time) FROM tandem.processors")
        return bool(last > start + timedelta(seconds=seconds))

    await until(beaten)
