"""The kit for handlers' tests says what a processor on a database does."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import asyncpg
import pytest
from google.protobuf import json_format

from tandem import limits
from tandem.handlers import (
    BlockingContext,
    Context,
    DoNotRetry,
    Handlers,
    RetryLater,
    RetryPolicy,
)
from tandem.testing import Ended, HandlerTest, Stop, begun
from tandem.v1 import task_pb2
from tandem.wire import STATES_FROM_WIRE
from tests.factories import create_task
from tests.support.cluster import Database
from tests.support.content import result_of
from tests.support.processor import working
from tests.support.rivals import rivals

SOON: Final = timedelta(milliseconds=1)
TWICE: Final = RetryPolicy(max_attempts=2, initial_backoff=SOON, max_backoff=SOON)

HUGE: Final = "x" * (limits.MAX_OUTPUT_BYTES - 100)

handlers = Handlers()


@handlers.register("whole", retry=TWICE)
async def whole(ctx: Context) -> dict[str, Any]:
    await ctx.stage("one", lambda: (1, 2.0))
    await ctx.progress(0.25)
    await ctx.annotate(place="here")
    return {"one": await ctx.stage("two", dict, ctx.payload)}


@handlers.register("plain", retry=TWICE)
def plain(ctx: BlockingContext) -> dict[str, Any]:
    kept = ctx.stage("one", str, ctx.attempt)
    ctx.progress(0.25)
    if ctx.attempt == 1:
        raise RuntimeError("boom")
    return {"kept": kept}


@handlers.register("raises", retry=TWICE)
async def raises(ctx: Context) -> None:
    ctx.payload["nothing"]


@handlers.register("gives_up", retry=TWICE)
async def gives_up(ctx: Context) -> None:
    raise DoNotRetry("no\0thing")


@handlers.register("later", retry=TWICE)
async def later(ctx: Context) -> None:
    raise RetryLater(SOON)


@handlers.register("cancels_itself", retry=TWICE)
async def cancels_itself(ctx: Context) -> None:
    raise asyncio.CancelledError


@handlers.register("too_slow", retry=TWICE, timeout=timedelta(seconds=1))
async def too_slow(ctx: Context) -> None:
    await ctx.stage("wait", asyncio.Event().wait)


@handlers.register("unstorable", retry=TWICE)
async def unstorable(ctx: Context) -> dict[str, Any]:
    return {"n": 2**53}


@handlers.register("too_much", retry=TWICE)
async def too_much(ctx: Context) -> dict[str, Any]:
    await ctx.stage("much", lambda: HUGE)
    return {"more": "x" * 100}


@handlers.register("much_in_stages", retry=TWICE)
async def much_in_stages(ctx: Context) -> None:
    await ctx.stage("much", lambda: HUGE)
    await ctx.stage("more", lambda: "x" * 100)


@handlers.register("no_name", retry=TWICE)
def no_name(ctx: BlockingContext) -> None:
    ctx.stage("no name", str)


@handlers.register("too_far", retry=TWICE)
def too_far(ctx: BlockingContext) -> None:
    ctx.progress(2)


@handlers.register("too_many_notes", retry=TWICE)
def too_many_notes(ctx: BlockingContext) -> None:
    ctx.annotate(first="x")
    ctx.annotate(**{f"a{number}": "x" for number in range(16)})


async def test_each_handler_comes_to_the_same_in_both(
    database: Database, creator_pool: asyncpg.Pool
) -> None:
    payload = {"n": 1}
    async with working(database.processor_url, handlers) as processor:
        ids = {
            type_: await create_task(
                creator_pool, type=type_, payload=payload, start_delay=SOON
            )
            for type_ in handlers.types
        }
        done = {type_: await processor.finished(ids[type_]) for type_ in ids}

    tried = {type_: tried_to_the_end(type_, payload) for type_ in handlers.types}

    assert tried == {type_: as_shown(task) for type_, task in done.items()}


@pytest.mark.parametrize(
    ("max_attempts", "deaths"), [(None, 1), (None, 3), (2, 2)], ids=str
)
async def test_a_crash_comes_to_the_same_in_both(
    database: Database, creator_pool: asyncpg.Pool, max_attempts: int, deaths: int
) -> None:
    options: Any = {"max_attempts": max_attempts} if max_attempts else {}
    task_id = await create_task(creator_pool, type="whole", queue="rivals", **options)
    async with rivals(database, deaths, type_="whole") as joined:
        for rival in joined:
            assert await rival.claim(task_id)
            await rival.die(database)
    row = await creator_pool.fetchrow(
        """
        SELECT s.state::text AS state, s.attempt, o.errors -> 0 ->> 'message' AS message
        FROM tandem.task_status AS s
        JOIN tandem.task_outputs AS o ON o.task_id = s.task_id
        WHERE s.task_id = $1
        """,
        task_id,
    )
    assert row

    defaults = Handlers()
    defaults.register("whole")(whole)
    test = HandlerTest(defaults, "whole", **options)
    ended = [test.run(Stop.CRASH, at=begun("one")) for _ in range(deaths)]

    assert (test.state, test.attempts) == (row["state"], row["attempt"])
    assert ended[-1].message == row["message"]


def tried_to_the_end(type_: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    test = HandlerTest(handlers, type_, payload)
    ended: list[Ended] = []
    while not test.state.is_final:
        ended.append(test.run())
    last_error = next((e for e in reversed(ended) if e.reason), None)
    return {
        "state": test.state,
        "attempt": test.attempts,
        "result": ended[-1].result,
        "error": (last_error.reason, last_error.message) if last_error else ("", ""),
        "progress": test.progress or 0,
        "annotations": dict(test.annotations),
        "stages": {
            name: (stage.state, stage.attempt, stage.result)
            for name, stage in test.stages.items()
        },
    }


def as_shown(task: task_pb2.Task) -> dict[str, Any]:
    status = task.status
    return {
        "state": STATES_FROM_WIRE[status.state],
        "attempt": status.attempt,
        "result": result_of(task) if status.HasField("result") else None,
        "error": (status.error.reason, status.error.message),
        "progress": status.progress,
        "annotations": dict(status.annotations),
        "stages": {stage.name: _shown(stage) for stage in status.stages},
    }


def _shown(stage: task_pb2.Stage) -> tuple[str, int, Any]:
    state = task_pb2.Stage.State.Name(stage.state).removeprefix("STATE_")
    kept = json_format.MessageToDict(stage.result) if stage.HasField("result") else None
    return state, stage.attempt, kept
