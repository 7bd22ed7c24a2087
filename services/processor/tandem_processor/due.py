"""Due work: what is delayed, to be tried again, or was given back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

import asyncpg
import structlog

from tandem.calls import STORE_AWAY
from tandem.happening import happens
from tandem_processor import claims
from tandem_processor.claimer import Claimer
from tandem_processor.claims import Due
from tandem_processor.slots import Share, Slots

log = structlog.get_logger()

POLL_SECONDS: Final = 0.25
"""Between two scans while there is no room, or what is due could not be had."""

AHEAD_SECONDS: Final = 1.25
"""So far ahead a scan looks, and so long the next one may wait: what others put back
meanwhile waits no longer for a processor with room."""

OLDEST_EVERY: Final = 4
"""One scan in so many looks for what is longest due, however urgent the rest is."""

PACE_SECONDS: Final = 0.02
"""Between two scans of which the first found nothing more."""


class _Tried(NamedTuple):
    """Of tasks that are due, how many were started, and how many had no room."""

    started: int
    left: int


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
        self._is_next = False
        self._scans = 0
        self._next = AHEAD_SECONDS

    async def run(self) -> None:
        while True:
            more = False
            reopened = self._slots.reopened
            try:
                more = await self.run_once()
            except STORE_AWAY as error:
                log.warning("due scan failed", error=type(error).__name__)
            self._slots.release()
            if not more:
                await asyncio.sleep(PACE_SECONDS)
                await happens(reopened, max(self._next - PACE_SECONDS, 0))
            elif not self._slots.free:
                await self._wait_for_slot()

    async def _wait_for_slot(self) -> None:
        """The stream has a slot as soon as it is freed, so every other one is kept."""
        self._is_next = not self._is_next
        if self._is_next:
            self._slots.keep_one()
        await self._slots.freed.wait()

    async def run_once(self) -> bool:
        """Claim what is due and has room. Answers whether more is likely to be due."""
        room, shares = self._slots.free, self._slots.open_shares()
        if not shares or self._claimer.is_closed:
            self._next = POLL_SECONDS
            return False
        # A look without room takes nothing, so it is no turn.
        self._scans += room > 0
        found = await claims.read_due(
            self._pool,
            queues=self._queues,
            types=[type_ for share in shares for type_ in share.types],
            suspects=self._slots.may_run_suspect,
            limit=max(room, 1),
            ahead=AHEAD_SECONDS,
            urgent_first=self._scans % OLDEST_EVERY > 0,
        )
        due = [each for each in found if not each.wait]
        waits = [each.wait or POLL_SECONDS for each in found]
        self._next = min(waits, default=AHEAD_SECONDS)
        if not room:
            # Enough to know that a slot is to be kept.
            return bool(due)
        tried = [await self._claim(due, share) for share in shares]
        # Rows that others hold would be found again and again.
        started = sum(each.started for each in tried)
        return any(each.left for each in tried) or (started > 0 and len(due) == room)

    async def _claim(self, due: Sequence[Due], share: Share) -> _Tried:
        """Claim those of this share."""
        ours = [each for each in due if each.type in share.types]
        suspects = [each.task_id for each in ours if each.is_suspect]
        others = [each.task_id for each in ours if not each.is_suspect]
        started, left = 0, 0
        if suspects:
            started += await self._claimer.claim_suspect(suspects, share)
        if others:
            claimed = await self._claimer.claim(others, share, is_due=True)
            left = len(claimed.left)
            started += len(others) - left - len(claimed.refused)
        return _Tried(started, left)
