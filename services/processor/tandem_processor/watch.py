"""Watches of tasks: one statement a tick for all of them, and a bell for what moved here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

import asyncpg
import structlog

from tandem import limits
from tandem.calls import STORE_AWAY
from tandem.errors import Stopping

log = structlog.get_logger()

TICK_SECONDS: Final = 0.25
"""The longest that a change made by another process stays unseen."""

QUIET_SECONDS: Final = limits.FRAME_SECONDS - 1
"""A second before the limit: a bell that told nothing new begins the wait again."""

# Whatever changes in a status, its stages or outputs, moves update_time too.
READ_MARKS: Final = """
SELECT s.task_id, s.state::text AS state, s.claim, s.update_time
FROM tandem.task_status AS s
WHERE s.task_id = ANY ($1::uuid[])
"""

Mark: TypeAlias = tuple[str, int, datetime | None] | None


class Changes:
    """Tells one watcher that its task may have changed."""

    def __init__(self, frame_seconds: float) -> None:
        self.rung = asyncio.Event()
        self.closed = False
        self._frame_seconds = frame_seconds

    async def wait(self) -> bool:
        """True after a change, False after a while without one.

        Raises:
            Stopping: this process shuts down.
        """
        try:
            async with asyncio.timeout(self._frame_seconds):
                await self.rung.wait()
        except TimeoutError:
            return False
        if self.closed:
            raise Stopping("this processor is shutting down; watch through another")
        self.rung.clear()
        return True


class Watch:
    """The watched tasks of one process."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        *,
        tick_seconds: float = TICK_SECONDS,
        frame_seconds: float = QUIET_SECONDS,
    ) -> None:
        self._pool = pool
        self._tick_seconds = tick_seconds
        self._frame_seconds = frame_seconds
        self._watchers: dict[UUID, set[Changes]] = {}
        self._marks: dict[UUID, Mark] = {}
        self._watched = asyncio.Event()
        self._closed = False

    @asynccontextmanager
    async def following(self, task_id: UUID) -> AsyncIterator[Changes]:
        """Hear of changes from here on; what was before is for the caller to read.

        Raises:
            Stopping: this process shuts down.
        """
        if self._closed:
            raise Stopping("this processor is shutting down; watch through another")
        changes = Changes(self._frame_seconds)
        self._watchers.setdefault(task_id, set()).add(changes)
        self._watched.set()
        try:
            yield changes
        finally:
            self._leave(task_id, changes)

    def _leave(self, task_id: UUID, changes: Changes) -> None:
        self._watchers[task_id].discard(changes)
        if not self._watchers[task_id]:
            del self._watchers[task_id]
            self._marks.pop(task_id, None)
        if not self._watchers:
            self._watched.clear()

    def ring(self, task_ids: Sequence[UUID]) -> None:
        """These tasks were moved by this process."""
        for task_id in task_ids:
            for changes in self._watchers.get(task_id, ()):
                changes.rung.set()

    def close(self) -> None:
        """End every watch with STOPPING."""
        self._closed = True
        for watchers in self._watchers.values():
            for changes in watchers:
                changes.closed = True
                changes.rung.set()

    async def run(self) -> None:
        while True:
            await self._watched.wait()
            try:
                await self.run_once()
            except STORE_AWAY as error:
                log.warning("watch failed", error=type(error).__name__)
            await asyncio.sleep(self._tick_seconds)

    async def run_once(self) -> None:
        """Look at every watched task, and ring for those that changed."""
        watched = list(self._watchers)
        marks = await self._read_marks(watched)
        changed = [
            task_id
            for task_id in watched
            # First seen after the watcher's own read, or before: ring to be sure.
            if task_id not in self._marks or self._marks[task_id] != marks.get(task_id)
        ]
        self._marks.update((t, marks.get(t)) for t in watched if t in self._watchers)
        self.ring(changed)

    async def _read_marks(self, task_ids: Sequence[UUID]) -> Mapping[UUID, Mark]:
        rows = await self._pool.fetch(READ_MARKS, task_ids)
        return {r["task_id"]: (r["state"], r["claim"], r["update_time"]) for r in rows}
