"""Where a handler's words are kept: in the rows of its task."""

from __future__ import annotations

import asyncpg

from tandem.desk import Begun
from tandem_processor import steps
from tandem_processor.patience import patiently
from tandem_processor.steps import Hold


class TaskBook:
    """The rows of one held task. Each write waits for a database that is away."""

    def __init__(self, pool: asyncpg.Pool, hold: Hold) -> None:
        self._pool = pool
        self._hold = hold

    async def begin_stage(self, name: str) -> Begun:
        return await patiently(lambda: steps.begin_stage(self._pool, self._hold, name))

    async def end_stage(self, name: str, *, result: str | None) -> None:
        await patiently(
            lambda: steps.end_stage(self._pool, self._hold, name, result=result)
        )

    async def set_progress(self, fraction: float) -> None:
        await patiently(lambda: steps.set_progress(self._pool, self._hold, fraction))

    async def annotate(self, texts: str) -> None:
        await patiently(lambda: steps.annotate(self._pool, self._hold, texts))
