"""Due work: what is delayed, to be tried again, or was given back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import asyncpg
import structlog

from tandem.calls import STORE_AWAY
from tandem_processor import claims
from tandem_processor.claimer import Claimer
from tandem_processor.runner import Runner

log = structlog.get_logger()

POLL_SECONDS: Final = 0.25
"""The longest that a due task waits for a processor with room."""


class DueWork:
    """Scans the due index, and claims through the same statement as everything else."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        *,
        claimer: Claimer,
        runner: Runner,
        queues: Sequence[str],
        types: Sequence[str],
    ) -> None:
        self._pool = pool
        self._claimer = claimer
        self._runner = runner
        self._queues = queues
        self._types = types

    async def run(self) -> None:
        while True:
            more = False
            try:
                more = await self.run_once()
            except STORE_AWAY as error:
                log.warning("due scan failed", error=type(error).__name__)
            if more:
                await self._runner.room(POLL_SECONDS)
            else:
                await asyncio.sleep(POLL_SECONDS)

    async def run_once(self) -> bool:
        """Claim what is due and has room. Answers whether more is likely to be due."""
        room = self._runner.free
        if room <= 0 or self._claimer.closed:
            return False
        due = await claims.read_due(
            self._pool, queues=self._queues, types=self._types, limit=room
        )
        if not due:
            return False
        claimed = await self._claimer.claim(due)
        started = len(due) - len(claimed.left) - len(claimed.refused)
        # Rows that others hold would be found again and again.
        return started > 0 and len(due) == room
