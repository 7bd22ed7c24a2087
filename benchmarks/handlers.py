"""What the processors of a run work: handlers that do as good as nothing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time

from tandem.handlers import Context, Handlers

SOCKET = "BENCH_SOCKET"
"""The variable that names where pickups are told."""

FOR_EVER = 3600.0

handlers = Handlers()

teller = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


@handlers.register("blog_post")
async def blog_post(ctx: Context) -> None:
    """What a drain runs: nothing."""


@handlers.register("pickup")
async def pickup(ctx: Context) -> None:
    """Tell when the first line ran, by the clock of the whole machine."""
    first_line = time.monotonic()
    told = json.dumps([ctx.task_id, first_line]).encode()
    teller.sendto(told, os.environ[SOCKET])


@handlers.register("held")
async def held(ctx: Context) -> None:
    """Run until the processor dies; done at once when claimed again."""
    if ctx.claim == 1:
        await asyncio.sleep(FOR_EVER)


@handlers.register("poison")
async def poison(ctx: Context) -> None:
    """Kill the processor that runs it."""
    os.kill(os.getpid(), signal.SIGKILL)
