"""A task that a remote provider does: it is asked once, whatever dies in between.

Start `python -m examples.fake_provider` and, in another terminal,
`tandem up --handlers examples.remote_provider:handlers`; then
`tandem task create --project examples --type remote_video --payload '{"image": "a.jpg"}'`.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus
from http.client import HTTPConnection, HTTPResponse
from typing import Any

from tandem.handlers import Context, DoNotRetry, Handlers, RetryLater, RetryPolicy

CALL_SECONDS = 10.0
POLL_SECONDS = 0.2

BUSY = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}

handlers = Handlers()


@handlers.register(
    "remote_video",
    retry=RetryPolicy(max_attempts=10, initial_backoff=timedelta(seconds=1)),
    timeout=timedelta(minutes=15),
)
async def make_video(ctx: Context) -> dict[str, Any]:
    # The key is the same in every attempt: killed between the provider's answer and
    # the line below, the next attempt is answered with the same remote task.
    remote_id = await ctx.stage("submit", submit, ctx.payload, ctx.idempotency_key)
    await ctx.annotate(provider_id=remote_id)
    return await follow(ctx, remote_id)


async def follow(ctx: Context, remote_id: str) -> dict[str, Any]:
    """Ask until the provider is done. No stage: an attempt after a crash asks anew."""
    while True:
        video = await asyncio.to_thread(call, "GET", f"/videos/{remote_id}")
        await ctx.progress(video["progress"])
        if video["state"] == "failed":
            raise DoNotRetry(f"the provider failed: {video['error']}")
        if video["state"] == "done":
            return {"url": video["url"]}
        await asyncio.sleep(POLL_SECONDS)


def submit(payload: Mapping[str, Any], key: str) -> str:
    video = call("POST", "/videos", body=payload, headers={"Idempotency-Key": key})
    return str(video["id"])


def call(
    method: str,
    path: str,
    *,
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    address = os.environ.get("PROVIDER_ADDRESS", "127.0.0.1:7150")
    connection = HTTPConnection(address, timeout=CALL_SECONDS)
    try:
        connection.request(method, path, body=json.dumps(body), headers=headers or {})
        return understood(connection.getresponse())
    finally:
        connection.close()


def understood(answer: HTTPResponse) -> dict[str, Any]:
    """What the provider says; its refusals in the words of a handler."""
    text = answer.read()
    if answer.status in BUSY:
        seconds = int(answer.headers.get("Retry-After", "60"))
        raise RetryLater(timedelta(seconds=seconds), "the provider is busy")
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise OSError(f"the provider answered {answer.status}")
    if answer.status >= HTTPStatus.BAD_REQUEST:
        raise DoNotRetry(f"the provider refused: {answer.status} {text.decode()}")
    found: dict[str, Any] = json.loads(text)
    return found
