"""The desk of handlers on another loop."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from tandem.desk import BridgedDesk
from tandem.handlers import AttemptStopped


class LostDesk:
    """Finds that the claim is lost, once it is let go on."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()

    async def progress(self, fraction: float) -> None:
        self.reached.set()
        await self.go_on.wait()
        raise AttemptStopped


async def test_what_a_cancelled_handler_does_not_hear_is_no_defect() -> None:
    loop = asyncio.get_running_loop()
    unheard: list[dict[str, Any]] = []
    desk = LostDesk()
    bridged = BridgedDesk(desk, loop)  # type: ignore[arg-type]
    loop.set_exception_handler(lambda _, context: unheard.append(context))
    try:
        word = asyncio.create_task(bridged.progress(0.5))
        await desk.reached.wait()
        word.cancel()
        with pytest.raises(asyncio.CancelledError):
            await word
        desk.go_on.set()
        # Its end passes through two callbacks on its way here.
        for _ in range(10):
            await asyncio.sleep(0)
        gc.collect()
    finally:
        loop.set_exception_handler(None)

    assert unheard == []


def test_a_handlers_loop_that_ends_over_a_word_has_no_defect() -> None:
    unheard: list[dict[str, Any]] = []
    there = asyncio.new_event_loop()
    there.set_exception_handler(lambda _, context: unheard.append(context))
    with running_loop() as here:
        desk = asyncio.run_coroutine_threadsafe(made_here(), here).result(LIMIT)
        bridged = BridgedDesk(desk, here)  # type: ignore[arg-type]
        word = there.create_task(bridged.progress(0.5))
        turn(there)
        asyncio.run_coroutine_threadsafe(desk.reached.wait(), here).result(LIMIT)
        word.cancel()
        with suppress(asyncio.CancelledError):
            there.run_until_complete(word)
        here.call_soon_threadsafe(desk.go_on.set)
        asyncio.run_coroutine_threadsafe(some_turns(), here).result(LIMIT)
        # The answer arrives, and what it would call has no turn any more.
        turn(there)
        there.close()
        del word
        gc.collect()

    assert unheard == []


LIMIT = 15.0


async def made_here() -> LostDesk:
    return LostDesk()


async def some_turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def turn(loop: asyncio.AbstractEventLoop) -> None:
    loop.call_soon(loop.stop)
    loop.run_forever()


@contextmanager
def running_loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(LIMIT)
        loop.close()
