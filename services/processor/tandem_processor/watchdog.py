"""Names the handler that blocks the loop of all handlers."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from tandem.attempts import HandlerLoop
from tandem.happening import happens
from tandem.outcomes import Claimed
from tandem_processor.attempt_lines import line

PATIENCE_SECONDS: Final = 1.0
"""The loop is blocked when it has not answered for so long."""

PACE_SECONDS: Final = 0.5
"""Between an answer and the next question."""


class LoopWatchdog:
    """Asks the loop of handlers for a sign of life, from a loop that is not blocked."""

    def __init__(self, handler_loop: HandlerLoop) -> None:
        self._handler_loop = handler_loop

    async def run(self) -> None:
        while True:
            await self.run_once()
            await asyncio.sleep(PACE_SECONDS)

    async def run_once(self) -> None:
        """Ask once, and name whoever keeps the answer from coming."""
        asked, answered = time.monotonic(), asyncio.Event()
        self._handler_loop.ask(answered.set)
        named: set[Claimed] = set()
        while not await happens(answered, PATIENCE_SECONDS):
            claimed = self._handler_loop.current()
            # One after the other may block it: each is named once.
            if claimed is not None and claimed not in named:
                named.add(claimed)
                line(claimed).warning("handler blocks its loop", type=claimed.type)
        for claimed in named:
            milliseconds = round((time.monotonic() - asked) * 1000, 3)
            line(claimed).warning(
                "handler let go of its loop", type=claimed.type, ms=milliseconds
            )
