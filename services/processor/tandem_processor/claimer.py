"""From ids, wherever they come from, to running handlers: one claim at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from tandem.handlers import Handlers
from tandem.outcomes import Claimed
from tandem_processor import claims
from tandem_processor.runner import Runner


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What became of ids; the others were started."""

    left: Sequence[UUID]
    """There was no room for them."""

    refused: frozenset[UUID]
    """The claim statement did not take them."""


class Claimer:
    """Claims for this processor, never more than the runner has room for."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        processor_id: UUID,
        *,
        handlers: Handlers,
        runner: Runner,
    ) -> None:
        self._pool = pool
        self._processor_id = processor_id
        self._types = handlers.types
        self._runner = runner
        self.lock = asyncio.Lock()
        """Held while a claim is under way: whoever has it knows of every claim."""

        self.closed = False
        """Set when the process drains: nothing more is claimed."""

    async def claim(self, task_ids: Sequence[UUID]) -> Claims:
        """Claim and start what can be.

        Raises:
            DeclaredDead: the processor is not LIVE.
        """
        async with self.lock:
            room = 0 if self.closed else max(self._runner.free, 0)
            tried, left = task_ids[:room], task_ids[room:]
            claimed = await self._claim(tried) if tried else []
            for each in claimed:
                self._runner.start(each)
        started = {each.task_id for each in claimed}
        return Claims(left=left, refused=frozenset(tried) - started)

    async def _claim(self, task_ids: Sequence[UUID]) -> list[Claimed]:
        return await claims.claim(
            self._pool,
            self._processor_id,
            task_ids=task_ids,
            types=self._types,
            limit=len(task_ids),
        )
