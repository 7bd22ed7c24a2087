"""What the processors of the system tests run."""

from __future__ import annotations

import os
from typing import Any

from tandem.handlers import Context, Handlers, RetryPolicy
from tests.support.gates import wait_at

handlers = Handlers()


@handlers.register("echo")
async def echo(ctx: Context) -> dict[str, Any]:
    return ctx.payload


@handlers.register("staged")
async def staged(ctx: Context) -> dict[str, Any]:
    """Two stages, with the test's gate between them."""
    first = await ctx.stage("first", lambda: ctx.attempt)
    await wait_at(ctx.payload["gate"])
    second = await ctx.stage("second", lambda: ctx.attempt)
    return {"first": first, "second": second}


@handlers.register("poison")
async def poison(ctx: Context) -> None:
    """Takes its process down, the first time once the test lets it."""
    if ctx.claim == 1:
        await wait_at(ctx.payload["gate"])
    os._exit(1)


@handlers.register("innocent")
async def innocent(ctx: Context) -> None:
    """Takes as long as the test wants it to."""
    await wait_at(ctx.payload["gate"])


@handlers.register("flawed", retry=RetryPolicy(max_attempts=1))
async def flawed(ctx: Context) -> None:
    """Fails for good at its first attempt."""
    raise RuntimeError("as the test wants it")
