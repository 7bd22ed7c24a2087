"""The desk of handlers on another loop."""

from __future__ import annotations

import asyncio
import gc
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
