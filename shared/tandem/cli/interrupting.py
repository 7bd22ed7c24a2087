"""Work that Ctrl-C or SIGTERM ends in good order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any


async def until_interrupted(
    work: Coroutine[Any, Any, None], *, on_interrupt: Callable[[], None]
) -> None:
    """Do the work; the first SIGINT or SIGTERM cancels it, so that it cleans up.

    Further signals change nothing: what is cleaned up bounds itself.
    """
    task = asyncio.ensure_future(work)

    def interrupt() -> None:
        if not task.cancelling() and task.cancel():
            on_interrupt()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    with suppress(asyncio.CancelledError):
        await task
