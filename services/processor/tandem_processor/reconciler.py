"""Returns the tasks of processors whose heartbeat has stopped."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

import asyncpg
import structlog

from tandem import limits
from tandem.calls import STORE_AWAY
from tandem.handlers import Handlers
from tandem_processor import crashes
from tandem_processor.heart import Heart
from tandem_processor.worked import Worked

log = structlog.get_logger()


class Reconciler:
    """Judges only after its own heart was steady for the whole limit.

    After an outage of the database every heartbeat is old, and nobody is dead.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        processor_id: UUID,
        *,
        heart: Heart,
        handlers: Handlers,
        dead_after: float,
        interval: float,
        worked: Worked | None = None,
    ) -> None:
        self._pool = pool
        self._processor_id = processor_id
        self._heart = heart
        self._worked = worked or Worked()
        self._dead_after = timedelta(seconds=dead_after)
        self._interval = interval
        self._types = handlers.types
        self._max_attempts = [
            handlers[type_].retry.max_attempts or limits.DEFAULT_MAX_ATTEMPTS
            for type_ in handlers.types
        ]

    async def run(self) -> None:
        while True:
            try:
                while await self.run_once():
                    pass
            except STORE_AWAY as error:
                log.warning("reconciliation failed", error=type(error).__name__)
            await asyncio.sleep(self._interval)

    async def run_once(self) -> bool:
        """Bury at most one processor. Answers whether there was one."""
        if self._heart.steady_for < self._dead_after:
            return False
        outlook = await crashes.look(
            self._pool, self._processor_id, dead_after=self._dead_after
        )
        if outlook.any_forgotten:
            await crashes.forget_dead(self._pool)
        return outlook.any_late and await self._bury_one()

    async def _bury_one(self) -> bool:
        burial = await crashes.bury_one(
            self._pool,
            self._processor_id,
            dead_after=self._dead_after,
            types=self._types,
            max_attempts=self._max_attempts,
        )
        if burial is None:
            return False
        self._worked.bury(burial.tasks.values())
        log.warning(
            "processor declared dead",
            dead_processor_id=str(burial.processor_id),
            tasks={str(task_id): state for task_id, state in burial.tasks.items()},
        )
        return True
