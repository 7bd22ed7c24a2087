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
from tandem_processor.claims import Due
from tandem_processor.happening import happens
from tandem_processor.slots import Share, Slots

log = structlog.get_logger()

POLL_SECONDS: Final = 0.25
"""Between two scans while there is no room, or what is due could not be had."""

AHEAD_SECONDS: Final = 1.25
"""So far ahead a scan looks, and so long the next one may wait: what others put back
meanwhile waits no longer for a processor with room."""

PACE_SECONDS: Final = 0.02
"""Between two scans of which the first found nothing more."""


class DueWork:
    """Scans the due index, and claims through the same statement as everything else.

    Suspects come from here alone: whatever returns a task gives it a due time.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        *,
        claimer: Claimer,
        slots: Slots,
        queues: Sequence[str],
    ) -> None:
        self._pool = pool
        self._claimer = claimer
        self._slots = slots
        self._queues = queues
        self._next = AHEAD_SECONDS

    async def run(self) -> None:
        while True:
            more = False
            freed, reopened = self._slots.freed, self._slots.reopened
            try:
                more = await self.run_once()
            except STORE_AWAY as error:
                log.warning("due scan failed", error=type(error).__name__)
            if not more:
                await asyncio.sleep(PACE_SECONDS)
                await happens(reopened, max(self._next - PACE_SECONDS, 0))
            elif not self._slots.free:
                await happens(freed, POLL_SECONDS)

    async def run_once(self) -> bool:
        """Claim what is due and has room. Answers whether more is likely to be due."""
        room, shares = self._slots.free, self._slots.open_shares()
        if not shares or self._claimer.closed:
            self._next = POLL_SECONDS
            return False
        found = await claims.read_due(
            self._pool,
            queues=self._queues,
            types=[type_ for share in shares for type_ in share.types],
            suspects=self._slots.may_run_suspect,
            limit=room,
            ahead=AHEAD_SECONDS,
        )
        due = [each for each in found if not each.wait]
        waits = [each.wait or POLL_SECONDS for each in found]
        self._next = min(waits, default=AHEAD_SECONDS)
        started = sum([await self._claim(due, share) for share in shares])
        # Rows that others hold would be found again and again.
        return started > 0 and len(due) == room

    async def _claim(self, due: Sequence[Due], share: Share) -> int:
        """Claim those of this share. Answers how many were started."""
        ours = [each for each in due if each.type in share.types]
        suspects = [each.task_id for each in ours if each.is_suspect]
        others = [each.task_id for each in ours if not each.is_suspect]
        started = 0
        if suspects:
            started += await self._claimer.claim_suspect(suspects, share)
        if others:
            claimed = await self._claimer.claim(others, share)
            started += len(others) - len(claimed.left) - len(claimed.refused)
        return started
