"""What the processors of the provider's incidents run: the example, with gates in it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from examples.remote_provider import call, follow, make_video, submit
from tandem.handlers import BlockingContext, Context, Handlers, RetryPolicy
from tests.support.gates import wait_at

QUICK: Final = RetryPolicy(
    max_attempts=10,
    initial_backoff=timedelta(milliseconds=50),
    max_backoff=timedelta(milliseconds=200),
)

handlers = Handlers()

handlers.register("remote_video", retry=QUICK)(make_video)


@handlers.register("gated_video", retry=QUICK)
async def make_gated_video(ctx: Context) -> dict[str, Any]:
    """As the example; the provider has answered, and nothing of it is noted."""
    remote_id = await ctx.stage(
        "submit", submit_and_wait, ctx.payload, ctx.idempotency_key
    )
    await ctx.annotate(provider_id=remote_id)
    return await follow(ctx, remote_id)


async def submit_and_wait(payload: Mapping[str, Any], key: str) -> str:
    remote_id = await asyncio.to_thread(submit, payload, key)
    await wait_at(payload["gate"])
    return remote_id


@handlers.register("analysis", retry=QUICK)
def analyse(ctx: BlockingContext) -> dict[str, Any]:
    """The credits are deducted once the work is done."""
    words = ctx.stage("analyse", len, ctx.payload["text"].split())
    deduction = ctx.stage("deduct", deduct, ctx.payload["credits"], ctx.idempotency_key)
    return {"words": words, "deduction": deduction}


def deduct(credits_: int, key: str) -> str:
    body = {"credits": credits_}
    made = call("POST", "/deductions", body=body, headers={"Idempotency-Key": key})
    return str(made["id"])
