"""A storm of duplicates, while a creator is killed and the database restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random

import asyncpg
import pytest

from tandem.client import AsyncClient, Deadlines, Outcome, Spec, request_id_from
from tandem.pair import ANY_PORT, Pair
from tandem.postgres.bootstrap import DATABASE
from tandem.postgres.connect import connected
from tandem.postgres.roles import OWNER
from tests.support.cluster import APPLICATION
from tests.support.lonely_server import LonelyServer, lonely_server
from tests.support.postgres_log import PostgresLog

JSON_LOG = {"TANDEM_LOG": "json"}

CALLERS = 1_000
IDS = 50
CALLS = 20_000

KILL_AFTER = 6_000
RESTART_AFTER = 12_000

PATIENCE = 150.0
"""Seconds in which a caller repeats one call."""

ROWS = """
SELECT t.request_id::text, t.task_id::text
FROM tandem.tasks AS t
JOIN tandem.task_status AS s ON s.task_id = t.task_id
"""

COUNT_TASKS = "SELECT count(*) FROM tandem.tasks"


@pytest.fixture
async def server() -> AsyncIterator[LonelyServer]:
    """With two creators as processes."""
    async with lonely_server(handlers="none:none") as server:
        await server.pair.start_creators([ANY_PORT] * 2, environ=JSON_LOG)
        yield server


async def kill_and_restart_a_creator(pair: Pair) -> None:
    address = pair.creators[0].address
    await pair.creators[0].kill()
    await pair.start_creators([address], environ=JSON_LOG)


class Storm:
    """Callers that all want the same few tasks, and what each was told."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._random = Random(1)
        self.told: list[tuple[str, str]] = []
        """Request id and task id of each answer."""

        self.created = 0
        self._milestones: dict[int, asyncio.Event] = {}

    def after(self, answers: int) -> asyncio.Event:
        return self._milestones.setdefault(answers, asyncio.Event())

    async def call(self) -> None:
        """One caller: it makes its calls one after another, and repeats each until OK."""
        for _ in range(CALLS // CALLERS):
            number = self._random.randrange(IDS)
            spec = Spec(project="storm", type="email", payload={"number": number})
            made = await self._client.create(
                spec, request_id=f"storm {number}", within=PATIENCE
            )
            self.created += made.outcome is Outcome.CREATED
            self.told.append((made.request_id, made.task.task_id))
            if reached := self._milestones.get(len(self.told)):
                reached.set()


@pytest.mark.timeout(240)
async def test_p1_20_000_calls_for_50_tasks_make_50_whatever_dies(
    server: LonelyServer,
) -> None:
    log = PostgresLog(server.cluster.log)
    deadlines = Deadlines(single=10.0)
    async with AsyncClient(server.pair.creator_address, deadlines=deadlines) as client:
        storm = Storm(client)
        killed, restarted = storm.after(KILL_AFTER), storm.after(RESTART_AFTER)
        async with asyncio.TaskGroup() as callers:
            for _ in range(CALLERS):
                callers.create_task(storm.call())
            await killed.wait()
            await kill_and_restart_a_creator(server.pair)
            await restarted.wait()
            await server.stop()
            await server.start()

    async with connected(
        server.cluster.url(OWNER, DATABASE), application_name=APPLICATION
    ) as owner:
        assert await owner.fetchval(COUNT_TASKS) == IDS
        stored = _pairs(await owner.fetch(ROWS))
    assert server.logs.having(level="error") == []
    assert len(storm.told) == CALLS
    assert set(storm.told) == stored
    assert {request_id for request_id, _ in stored} == {
        request_id_from(f"storm {number}") for number in range(IDS)
    }
    assert storm.created <= IDS
    assert "duplicate key value" not in log.text()
    assert "deadlock detected" not in log.text()


def _pairs(rows: list[asyncpg.Record]) -> set[tuple[str, str]]:
    return {(row["request_id"], row["task_id"]) for row in rows}
