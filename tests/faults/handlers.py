"""What the processors under fault run: each handler says what it does, as it does it.

The payload says how the task is to go: `failures` first attempts that fail, or
`kill`, where the first claim kills its own process in the middle of a stage.
"""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from tandem.handlers import (
    BlockingContext,
    Context,
    DoNotRetry,
    Handlers,
    RetryLater,
    RetryPolicy,
)
from tests.faults.attempt_rules import RETURNED
from tests.faults.records import Begun, Ended, Journal, Record, StageRun, StageSeen

FOLDER: Final = "TANDEM_FAULTS_FOLDER"
"""The variable that names the folder of journals."""

HASTY: Final = RetryPolicy(
    max_attempts=6,
    initial_backoff=timedelta(seconds=0.1),
    max_backoff=timedelta(seconds=0.5),
)

LIMIT: Final = timedelta(seconds=0.6)
"""Of the handler that is too slow for it at first."""

handlers = Handlers()

AnyContext = Context | BlockingContext


@functools.cache
def _journal() -> Journal:
    name = f"handlers-{os.getpid()}-{time.monotonic_ns()}.jsonl"
    return Journal(Path(os.environ[FOLDER]) / name)


def _say(record: Record) -> None:
    _journal().add(record)


def _begin(ctx: AnyContext) -> None:
    _say(
        Begun(
            task_id=ctx.task_id,
            claim=ctx.claim,
            attempt=ctx.attempt,
            process=str(os.getpid()),
            time=time.monotonic(),
        )
    )


def _end(ctx: AnyContext, how: str, result: dict[str, Any] | None = None) -> None:
    _say(
        Ended(
            task_id=ctx.task_id,
            claim=ctx.claim,
            how=how,
            result=result,
            time=time.monotonic(),
        )
    )


def told(function: Callable[..., Any]) -> Callable[..., Any]:
    """An async handler whose beginning and end are in the journal."""

    @functools.wraps(function)
    async def run(ctx: Context) -> dict[str, Any]:
        _begin(ctx)
        try:
            result: dict[str, Any] = await function(ctx)
        except BaseException as error:
            _end(ctx, type(error).__name__)
            raise
        _end(ctx, RETURNED, result)
        return result

    return run


def _failed(ctx: AnyContext) -> str:
    """What the checker finds the claim in."""
    return f"failed in claim {ctx.claim}"


def _made(ctx: AnyContext, name: str) -> dict[str, Any]:
    """A result that names who made it, noted before it is kept."""
    result = {"claim": ctx.claim, "stage": name, "process": os.getpid()}
    _say(
        StageRun(
            task_id=ctx.task_id,
            claim=ctx.claim,
            name=name,
            result=result,
            time=time.monotonic(),
        )
    )
    return result


def _seen(ctx: AnyContext, name: str, result: Any) -> None:
    _say(StageSeen(task_id=ctx.task_id, claim=ctx.claim, name=name, result=result))


def _die_if_told(ctx: AnyContext) -> None:
    if ctx.payload.get("kill") and ctx.claim == 1:
        os.kill(os.getpid(), signal.SIGKILL)


async def _stages(ctx: Context, *names: str, pause: float) -> None:
    async def step(name: str) -> dict[str, Any]:
        await asyncio.sleep(pause)
        if name == names[-1]:
            _die_if_told(ctx)
        return _made(ctx, name)

    for name in names:
        _seen(ctx, name, await ctx.stage(name, step, name))


@handlers.register("quick", retry=HASTY)
@told
async def quick(ctx: Context) -> dict[str, Any]:
    return {"claim": ctx.claim}


@handlers.register("staged", retry=HASTY)
@told
async def staged(ctx: Context) -> dict[str, Any]:
    """Three stages; a failing attempt fails between two of them."""
    await _stages(ctx, "first", "second", pause=0.02)
    if ctx.attempt <= ctx.payload["failures"]:
        raise RuntimeError(_failed(ctx))
    await _stages(ctx, "third", pause=0.02)
    return {"claim": ctx.claim}


@handlers.register("flaky", retry=HASTY)
@told
async def flaky(ctx: Context) -> dict[str, Any]:
    """Fails at first, and asks for another time at every other failure."""
    if ctx.attempt > ctx.payload["failures"]:
        return {"claim": ctx.claim}
    if ctx.attempt % 2:
        raise RuntimeError(_failed(ctx))
    raise RetryLater(timedelta(seconds=0.2), _failed(ctx))


@handlers.register("doomed", retry=HASTY)
@told
async def doomed(ctx: Context) -> dict[str, Any]:
    raise DoNotRetry(_failed(ctx))


@handlers.register("slow", retry=HASTY)
@told
async def slow(ctx: Context) -> dict[str, Any]:
    """Seconds of work, in steps, each of them said and kept."""
    parts = ("early", "middle", "late")
    for number, part in enumerate(parts):
        await ctx.progress(number / len(parts))
        await _stages(ctx, part, pause=ctx.payload["seconds"] / len(parts))
    return {"claim": ctx.claim}


@handlers.register("silent", retry=HASTY)
@told
async def silent(ctx: Context) -> dict[str, Any]:
    """Seconds of work without a word: only the report finds that the claim is lost."""
    await asyncio.sleep(ctx.payload["seconds"])
    return {"claim": ctx.claim}


@handlers.register("overlong", retry=HASTY, timeout=LIMIT)
@told
async def overlong(ctx: Context) -> dict[str, Any]:
    """Too slow for its limit at first."""
    if ctx.attempt <= ctx.payload["failures"]:
        await asyncio.sleep(60 * LIMIT.total_seconds())
    return {"claim": ctx.claim}


@handlers.register("blocking", retry=HASTY)
def blocking(ctx: BlockingContext) -> dict[str, Any]:
    """A plain function: it runs in a thread, and nobody can interrupt it."""
    _begin(ctx)
    try:
        for name in ("left", "right"):
            time.sleep(0.05)
            _seen(ctx, name, ctx.stage(name, _made, ctx, name))
        if ctx.attempt <= ctx.payload["failures"]:
            raise RuntimeError(_failed(ctx))  # noqa: TRY301 - the journal has its end
    except BaseException as error:
        _end(ctx, type(error).__name__)
        raise
    result = {"claim": ctx.claim}
    _end(ctx, RETURNED, result)
    return result
