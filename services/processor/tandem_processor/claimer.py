"""From ids, wherever they come from, to running handlers: one claim at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from tandem.outcomes import Claimed
from tandem_processor import claims
from tandem_processor.runner import Runner
from tandem_processor.slots import Share, Slots
from tandem_processor.worked import Worked


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What became of ids; the others were started."""

    left: Sequence[UUID]
    """There was no room for them."""

    refused: frozenset[UUID]
    """The claim statement did not take them."""


class Claimer:
    """Claims for this processor, never more than it has slots for."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        processor_id: UUID,
        *,
        slots: Slots,
        runner: Runner,
        worked: Worked | None = None,
    ) -> None:
        self._pool = pool
        self._processor_id = processor_id
        self._slots = slots
        self._runner = runner
        self._worked = worked or Worked()
        self.lock = asyncio.Lock()
        """Held while a claim is under way: whoever has it knows of every claim."""

        self.begun = 0
        """How many claims were ever sent, whatever became of them."""

        self.is_closed = False
        """Whether the process drains: nothing more is claimed."""

        self._is_late = False
        """Whether what a claim under way answers is not to be started any more."""

    async def close(self, within: float) -> None:
        """Claim nothing more. What is being claimed has started, or the time is over.

        What is claimed later all the same is for a round to give back.
        """
        self.is_closed = True
        try:
            async with asyncio.timeout(within), self.lock:
                pass
        except TimeoutError:
            self._is_late = True

    async def claim(
        self, task_ids: Sequence[UUID], share: Share, *, is_due: bool = False
    ) -> Claims:
        """Claim and start what can be of these types; suspects are refused.

        Raises:
            DeclaredDead: the processor is not LIVE.
        """
        async with self.lock:
            room = 0 if self.is_closed else self._slots.room(share, is_due=is_due)
            tried, left = task_ids[:room], task_ids[room:]
            claimed = await self._start(tried, share, limit=room) if tried else []
        started = {each.task_id for each in claimed}
        return Claims(left=left, refused=frozenset(tried) - started)

    async def claim_suspect(self, task_ids: Sequence[UUID], share: Share) -> bool:
        """Claim and start one of these suspects, if none runs here. Whether it did.

        Raises:
            DeclaredDead: the processor is not LIVE.
        """
        async with self.lock:
            if self.is_closed or not self._slots.may_run_suspect:
                return False
            limit = min(self._slots.room(share, is_due=True), 1)
            return bool(await self._start(task_ids, share, limit=limit, suspects=True))

    async def _start(
        self,
        task_ids: Sequence[UUID],
        share: Share,
        *,
        limit: int,
        suspects: bool = False,
    ) -> Sequence[Claimed]:
        self.begun += 1
        claimed = await claims.claim(
            self._pool,
            self._processor_id,
            task_ids=task_ids,
            types=share.types,
            limit=limit,
            suspects=suspects,
        )
        self._worked.claim(tried=len(task_ids), claimed=len(claimed))
        if self._is_late:
            return []
        self._runner.start(claimed)
        return claimed
