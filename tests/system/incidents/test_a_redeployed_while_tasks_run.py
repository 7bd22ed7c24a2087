"""A redeploy while content is made: both services anew, old and new handlers side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tandem.client import AsyncClient, Spec
from tandem.pair import ANY_PORT, Logins, Pair
from tandem.processes import ServiceProcess
from tests.support.cluster import Database
from tests.support.gates import standing_gate
from tests.support.running_pair import HASTE, RunningPair, running_pair
from tests.support.until import until

HANDLERS = "tests.support.release_handlers"
CALLERS = 4
BETWEEN_STEPS = 20
"""Creates that are answered between two steps of the redeploy."""

ROWS = """
SELECT
    t.request_id::text AS request_id, t.task_id::text AS task_id, t.type,
    s.state::text AS state, s.attempt, s.claim, o.result::jsonb AS result
FROM tandem.tasks AS t
JOIN tandem.task_status AS s ON s.task_id = t.task_id
LEFT JOIN tandem.task_outputs AS o ON o.task_id = t.task_id
"""

COUNT_UNFINISHED = """
SELECT count(*)
FROM tandem.task_status AS s
WHERE s.state <> 'SUCCEEDED'
"""


async def test_a6_a_rolling_restart_of_both_services_loses_and_doubles_nothing(
    database: Database, tmp_path: Path
) -> None:
    ends = tmp_path / "ends"
    async with (
        standing_gate() as gate,
        running_pair(database, handlers=f"{HANDLERS}:old", environ=HASTE) as pair,
        new_release(pair) as new,
        AsyncClient(pair.pair.creator_address) as client,
    ):
        halfway = await create(client, "blog_post", ends=str(ends), gate=gate.address)
        await gate.reached()
        awaited = await create(client, "newsletter", ends=str(ends))
        async with callers(client, ends) as calls:
            for old in list(pair.pair.processors):
                await calls.some_more()
                await new.start_processors([ANY_PORT], environ=pair.environ)
                assert await old.stop() == 0
            # It may have stood there under each of the old ones.
            gate.fall()
            for creator in list(pair.pair.creators):
                await calls.some_more()
                await restart(pair, creator)
            await calls.some_more()
        async with database.admin() as admin:
            await until(lambda: none_unfinished(admin), seconds=60)
            rows = {row["request_id"]: row for row in await admin.fetch(ROWS)}

    told = {**calls.told, halfway[0]: halfway[1], awaited[0]: awaited[1]}
    assert {key: row["task_id"] for key, row in rows.items()} == told
    assert {row["attempt"] for row in rows.values()} == {1}
    assert sorted(ends.read_text().split()) == sorted(told.values())
    assert '"drafted_by": "old"' in rows[halfway[0]]["result"]
    assert '"published_by": "new"' in rows[halfway[0]]["result"]
    assert rows[awaited[0]]["claim"] == 1


class Calls:
    """What callers were told: a request id, and the task that it made."""

    def __init__(self) -> None:
        self.told: dict[str, str] = {}
        self.answered = asyncio.Semaphore(0)

    async def some_more(self) -> None:
        async with asyncio.timeout(60):
            for _ in range(BETWEEN_STEPS):
                await self.answered.acquire()


@asynccontextmanager
async def callers(client: AsyncClient, ends: Path) -> AsyncIterator[Calls]:
    """They create without a pause for the length of the block."""
    calls, closing = Calls(), asyncio.Event()

    async def call() -> None:
        while not closing.is_set():
            request_id, task_id = await create(client, "blog_post", ends=str(ends))
            calls.told[request_id] = task_id
            calls.answered.release()

    async with asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(call())
        yield calls
        closing.set()


@asynccontextmanager
async def new_release(pair: RunningPair) -> AsyncIterator[Pair]:
    """Processors that run the new handlers, and follow the same creators."""
    logins = Logins(
        creator_url=pair.database.creator_url,
        processor_url=pair.database.processor_url,
    )
    release = Pair(logins, handlers=f"{HANDLERS}:new", on_line=pair.logs.add)
    release.creators = pair.pair.creators[:]
    try:
        yield release
    finally:
        release.creators = []
        await release.stop()


async def restart(pair: RunningPair, creator: ServiceProcess) -> None:
    address = creator.address
    assert await creator.stop() == 0
    await pair.pair.start_creators([address], environ={"TANDEM_LOG": "json"})


async def create(client: AsyncClient, type_: str, **payload: Any) -> tuple[str, str]:
    """Its request id, and the task's id."""
    created = await client.create(Spec(project="website", type=type_, payload=payload))
    return str(created.request_id), created.task.task_id


async def none_unfinished(admin: Any) -> bool:
    return bool(await admin.fetchval(COUNT_UNFINISHED) == 0)
