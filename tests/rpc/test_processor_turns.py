"""Who has the next slot: what the stream announces, and what is due, in turn."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from tandem.handlers import BlockingContext, Handlers
from tandem_creator.running import Timing, running_creator
from tandem_creator.settings import CreatorSettings
from tandem_processor import claims
from tandem_processor.claims import Due
from tests.factories import create_many, create_task
from tests.support.cluster import Database
from tests.support.processor import LIMIT, working

STARTS = {"announced": None, "due": timedelta(milliseconds=1)}

BACKLOG = 3000

MOST_TURNS = {"due": 2, "announced": BACKLOG}
"""An id that was given back is announced again after a second, which is many turns."""


class Stepping:
    """Handlers that say when they begin, and end when the test says so."""

    def __init__(self) -> None:
        self.handlers = Handlers()
        self._loop = asyncio.get_running_loop()
        self._begun: asyncio.Queue[str] = asyncio.Queue()
        self._steps = threading.Semaphore(0)
        for type_ in STARTS:
            self.handlers.register(type_)(self._work)

    def _work(self, ctx: BlockingContext) -> None:
        self._loop.call_soon_threadsafe(self._begun.put_nowait, ctx.type)
        self._steps.acquire(timeout=LIMIT)

    def end(self, count: int = 1) -> None:
        self._steps.release(count)

    async def begun(self) -> str:
        """The type of the next one that begins."""
        async with asyncio.timeout(LIMIT):
            return await self._begun.get()


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> asyncio.Semaphore:
    """Released for each look that finds due work."""
    looks, read_due = asyncio.Semaphore(0), claims.read_due

    async def noted(*args: Any, **wanted: Any) -> Sequence[Due]:
        rows = await read_due(*args, **wanted)
        if rows:
            looks.release()
        return rows

    monkeypatch.setattr(claims, "read_due", noted)
    return looks


@pytest.mark.parametrize(("many", "one"), [("announced", "due"), ("due", "announced")])
async def test_p8_neither_the_stream_nor_due_work_keeps_the_other_from_the_slots(
    database: Database,
    creator_pool: asyncpg.Pool,
    found: asyncio.Semaphore,
    many: str,
    one: str,
) -> None:
    """However many of one kind wait, and although there is a single slot."""
    stepping = Stepping()
    await create_many(creator_pool, BACKLOG, type=many, start_delay=STARTS[many])
    settings = CreatorSettings(database_url=database.creator_url, listen="127.0.0.1:0")
    async with (
        running_creator(settings, timing=Timing()) as creator,
        working(
            database.processor_url,
            stepping.handlers,
            creator_address=(f"127.0.0.1:{creator.port}",),
            concurrency=1,
        ),
    ):
        assert await stepping.begun() == many
        await create_task(creator_pool, type=one, start_delay=STARTS[one])
        async with asyncio.timeout(LIMIT):
            await found.acquire()
        begun = [many]
        while begun[-1] == many:
            stepping.end()
            begun.append(await stepping.begun())
        stepping.end(BACKLOG)

    assert len(begun) <= MOST_TURNS[one]
