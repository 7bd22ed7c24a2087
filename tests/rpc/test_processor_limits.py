"""What may run at once: limits of types, and suspects."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from tandem.handlers import BlockingContext, Handlers
from tandem_creator.running import Timing, running_creator
from tandem_creator.settings import CreatorSettings
from tandem_processor.unserved import Unserved, read_unserved
from tests.factories import create_many
from tests.rpc.test_processor_intake import holds
from tests.support.cluster import Database
from tests.support.processor import LIMIT, Working, working
from tests.support.scripted_creator import ScriptedCreator, followed
from tests.support.until import until

SOON = timedelta(milliseconds=1)

STATES = """
SELECT t.type, s.state::text AS state, count(*) AS tasks
FROM tandem.task_status AS s
JOIN tandem.tasks AS t ON t.task_id = s.task_id
GROUP BY 1, 2
"""

SUCCEEDED = """
SELECT count(*)
FROM tandem.task_status AS s
WHERE s.task_id = ANY ($1)
  AND s.state = 'SUCCEEDED'
"""


class Works:
    """Handlers that wait for the test, and know how many ran at once."""

    def __init__(self, **concurrency: int | None) -> None:
        self.handlers = Handlers()
        self.most: Counter[str] = Counter()
        self.begun: list[str] = []
        self._running: Counter[str] = Counter()
        self._go_on: dict[str, threading.Event] = {}
        self._lock = threading.Lock()
        for type_, limit in concurrency.items():
            self._go_on[type_] = threading.Event()
            self.handlers.register(type_, concurrency=limit)(self._work)

    def go_on(self, *types: str) -> None:
        for type_ in types:
            self._go_on[type_].set()

    def _work(self, ctx: BlockingContext) -> None:
        with self._lock:
            self.begun.append(ctx.task_id)
            self._running[ctx.type] += 1
            self.most[ctx.type] = max(self.most[ctx.type], self._running[ctx.type])
        self._go_on[ctx.type].wait(LIMIT)
        with self._lock:
            self._running[ctx.type] -= 1


@pytest.fixture(params=["announced", "due"])
def start_delay(request: pytest.FixtureRequest) -> timedelta | None:
    """Tasks come through the stream, or from the due index."""
    return SOON if request.param == "due" else None


@asynccontextmanager
async def together(
    database: Database, *works: Works, concurrency: int
) -> AsyncIterator[Sequence[Working]]:
    """A creator, and a processor for each of these."""
    settings = CreatorSettings(database_url=database.creator_url, listen="127.0.0.1:0")
    async with running_creator(settings, timing=Timing()) as creator:
        address = (f"127.0.0.1:{creator.port}",)
        processors = [
            working(
                database.processor_url,
                each.handlers,
                creator_address=address,
                concurrency=concurrency,
            )
            for each in works
        ]
        started = [await each.__aenter__() for each in processors]
        try:
            yield started
        finally:
            for each in works:
                each.go_on(*each.handlers.types)
            for processor in processors:
                await processor.__aexit__(None, None, None)


async def succeed(pool: asyncpg.Pool, task_ids: Sequence[UUID]) -> None:
    """Return once all of these have."""

    async def done() -> bool:
        return bool(await pool.fetchval(SUCCEEDED, task_ids) == len(task_ids))

    await until(done, seconds=LIMIT)


async def count(pool: asyncpg.Pool, type_: str, state: str) -> int:
    rows = await pool.fetch(STATES)
    found = {(row["type"], row["state"]): row["tasks"] for row in rows}
    return int(found.get((type_, state), 0))


async def test_a_type_at_its_limit_leaves_the_slots_to_others(
    database: Database,
    creator_pool: asyncpg.Pool,
    processor_pool: asyncpg.Pool,
    start_delay: timedelta | None,
) -> None:
    """However many of it wait, and wait longer."""
    works = Works(slow=2, quick=None)
    works.go_on("quick")
    slow = await create_many(creator_pool, 60, type="slow", start_delay=start_delay)
    quick = await create_many(creator_pool, 20, type="quick", start_delay=start_delay)
    async with together(database, works, concurrency=4):
        await succeed(processor_pool, quick)
        await until(lambda: _reached(works, 2 + len(quick)))
        assert await count(processor_pool, "slow", "RUNNING") == 2
        works.go_on("slow")
        await succeed(processor_pool, slow)

    assert works.most["slow"] == 2


async def test_the_slots_of_the_process_bound_a_limit_that_is_larger(
    database: Database, creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    works = Works(slow=50)
    task_ids = await create_many(creator_pool, 20, type="slow")
    async with together(database, works, concurrency=3):
        await until(lambda: _reached(works, 3))
        works.go_on("slow")
        await succeed(processor_pool, task_ids)

    assert works.most["slow"] == 3


async def test_ids_of_a_type_at_its_limit_go_to_whoever_has_room(
    database: Database,
    creator_pool: asyncpg.Pool,
    processor_pool: asyncpg.Pool,
    start_delay: timedelta | None,
) -> None:
    full, other = Works(slow=1), Works(slow=None)
    other.go_on("slow")
    task_ids = await create_many(creator_pool, 40, type="slow", start_delay=start_delay)
    async with together(database, full, other, concurrency=8):
        await until(lambda: _reached(full, 1))
        await succeed(processor_pool, [t for t in task_ids if str(t) not in full.begun])

    assert len(full.begun) == 1


async def test_each_limited_type_has_a_stream_and_a_credit_of_its_own(
    database: Database,
) -> None:
    creator = ScriptedCreator()
    works = Works(slow=2, quick=None, other=None, huge=99)
    async with followed(creator, database, works.handlers, concurrency=5):
        await holds(lambda: len(creator.joins) == 3 and creator.granted == 2 + 5 + 5)

    joined = sorted(list(join.types) for join in creator.joins)
    assert joined == [["huge"], ["quick", "other"], ["slow"]]
    assert len({join.processor_id for join in creator.joins}) == 1


async def test_p8_suspects_run_one_at_a_time_beside_others(
    database: Database, creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    works = Works(suspect=None, quick=None)
    works.go_on("quick")
    suspects = await create_many(creator_pool, 6, type="suspect", start_delay=SOON)
    await processor_pool.execute("UPDATE tandem.task_status SET crashes = 2")
    quick = await create_many(creator_pool, 20, type="quick", start_delay=SOON)
    async with together(database, works, concurrency=8):
        await until(lambda: _reached(works, 1 + len(quick)))
        # Time for scans that could find another suspect.
        later = timedelta(seconds=0.7)
        quick += await create_many(creator_pool, 1, type="quick", start_delay=later)
        await succeed(processor_pool, quick)
        assert await count(processor_pool, "suspect", "RUNNING") == 1
        works.go_on("suspect")
        await succeed(processor_pool, suspects)

    assert works.most["suspect"] == 1


async def test_suspects_of_a_type_with_a_limit_keep_to_both(
    database: Database, creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    works = Works(slow=1)
    task_ids = await create_many(creator_pool, 4, type="slow", start_delay=SOON)
    await processor_pool.execute(
        "UPDATE tandem.task_status SET crashes = 2 WHERE task_id = ANY ($1)",
        task_ids[:2],
    )
    async with together(database, works, concurrency=8):
        await until(lambda: _reached(works, 1))
        works.go_on("slow")
        await succeed(processor_pool, task_ids)

    assert works.most["slow"] == 1


async def _reached(works: Works, number: int) -> bool:
    await asyncio.sleep(0)
    return len(works.begun) >= number


async def test_tasks_of_an_unknown_type_stay_pending_and_are_found(
    database: Database, creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    """Announced in the same ranges as others, which they do not hold up."""
    works = Works(quick=None)
    works.go_on("quick")
    unknown = await create_many(creator_pool, 10, type="unknown")
    quick = await create_many(creator_pool, 10, type="quick")
    async with together(database, works, concurrency=4):
        await succeed(processor_pool, quick)
        found = await until(lambda: read_unserved(processor_pool, ["default"]))
        pending = await count(processor_pool, "unknown", "PENDING")

    assert found == [Unserved("default", "unknown")]
    assert pending == len(unknown)
