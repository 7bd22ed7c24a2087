"""Stops handlers whose tasks are to be cancelled, whichever process was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from tandem.calls import STORE_AWAY
from tandem.outcomes import StopCause
from tandem_processor import cancels
from tandem_processor.runner import Runner

log = structlog.get_logger()

POLL_SECONDS: Final = 1.0
"""The longest that a request made in another process stays unseen."""


class CancelBell:
    """Tells this process of the requests that were made in it, at once."""

    def __init__(self) -> None:
        self._runners: set[Runner] = set()

    @contextmanager
    def heard_by(self, runner: Runner) -> Iterator[None]:
        """For the length of the block, the runner stops what it is rung for."""
        self._runners.add(runner)
        try:
            yield
        finally:
            self._runners.discard(runner)

    def ring(self, task_id: UUID, claim: int) -> None:
        """Somebody asked this claim of the task to stop."""
        for runner in self._runners:
            runner.stop(task_id, StopCause.CANCEL_REQUESTED, claim=claim)


class Cancelling:
    """Looks for requests made elsewhere; with nothing running it asks nothing."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        processor_id: UUID,
        *,
        runner: Runner,
        bell: CancelBell,
    ) -> None:
        self._pool = pool
        self._processor_id = processor_id
        self._runner = runner
        self._bell = bell

    async def run(self) -> None:
        with self._bell.heard_by(self._runner):
            while True:
                try:
                    await self.run_once()
                except STORE_AWAY as error:
                    log.warning("look for cancels failed", error=type(error).__name__)
                await asyncio.sleep(POLL_SECONDS)

    async def run_once(self) -> None:
        """One statement for all that runs here, if anything does."""
        running = [task_id for task_id, _ in self._runner.running]
        if not running:
            return
        requests = await cancels.read_requests(self._pool, self._processor_id, running)
        for task_id, claim in requests.items():
            self._runner.stop(task_id, StopCause.CANCEL_REQUESTED, claim=claim)
