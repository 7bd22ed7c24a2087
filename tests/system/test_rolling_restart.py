"""SIGTERM to every process in turn under load: callers notice nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import uuid4

from tandem.client import AsyncClient, Spec, channel
from tandem.processes import ServiceProcess
from tandem.v1 import creator_pb2_grpc, processor_pb2, processor_pb2_grpc
from tests.support.creator import a_new_id, a_request
from tests.support.running_pair import RunningPair
from tests.support.until import until

CALLERS: Final = 6
"""Of each kind."""

BETWEEN_STEPS: Final = 150
"""Calls that are answered between two steps."""

LIMIT: Final = 60.0

ROWS: Final = """
SELECT t.request_id::text AS request_id, t.task_id::text AS task_id, s.attempt,
    s.state::text AS state
FROM tandem.tasks AS t
JOIN tandem.task_status AS s ON s.task_id = t.task_id
"""

UNFINISHED: Final = """
SELECT count(*)
FROM tandem.task_status AS s
WHERE s.finish_time IS NULL
"""


class Load:
    """What callers were told; any failure of theirs ends the test."""

    def __init__(self) -> None:
        self.told: dict[str, str] = {}
        self.plain: set[str] = set()
        """Request and task ids of those that use plain gRPC."""

        self.answered: Counter[str] = Counter()
        self._over = asyncio.Event()
        self._ticks = asyncio.Semaphore(0)

    async def some_more(self) -> None:
        async with asyncio.timeout(LIMIT):
            for _ in range(BETWEEN_STEPS):
                await self._ticks.acquire()

    async def go_on(self, kind: str, call: Callable[[], Awaitable[None]]) -> None:
        while not self._over.is_set():
            await call()
            self.answered[kind] += 1
            self._ticks.release()

    def end(self) -> None:
        self._over.set()


@asynccontextmanager
async def under_load(pair: RunningPair) -> AsyncIterator[Load]:
    """Our client, and plain gRPC with the service config that is shipped, without a pause."""
    creators, processors = (
        [process.address for process in processes]
        for processes in (pair.pair.creators, pair.pair.processors)
    )
    load = Load()
    async with (
        AsyncClient(creators, processors) as client,
        channel(creators) as to_creators,
        channel(processors) as to_processors,
    ):
        creating: Any = creator_pb2_grpc.CreatorServiceStub(to_creators)
        reading: Any = processor_pb2_grpc.ProcessorServiceStub(to_processors)

        async def create() -> None:
            request_id = uuid4()
            spec = Spec(project="shop", type="echo", payload={})
            made = await client.create(spec, request_id=request_id, within=LIMIT)
            load.told[str(request_id)] = made.task.task_id
            found = await client.get(made.task.task_id, within=LIMIT)
            assert found.task_id == made.task.task_id

        async def create_plainly() -> None:
            request = a_request(request_id=a_new_id(), payload={}, type="echo")
            load.plain.add(request.request_id)
            made = await creating.CreateTask(request, timeout=LIMIT)
            load.told[request.request_id] = made.task.task_id
            load.plain.add(made.task.task_id)
            get = processor_pb2.GetTaskRequest(task_id=made.task.task_id)
            found = await reading.GetTask(get, timeout=LIMIT)
            assert found.task.task_id == made.task.task_id

        async with asyncio.TaskGroup() as callers:
            for _ in range(CALLERS):
                callers.create_task(load.go_on("client", create))
                callers.create_task(load.go_on("plain", create_plainly))
            try:
                yield load
            finally:
                load.end()


async def test_p11_sigterm_to_every_process_in_turn_fails_no_call_and_spends_no_attempt(
    pair: RunningPair,
) -> None:
    async with under_load(pair) as load:
        for process in [*pair.pair.creators, *pair.pair.processors]:
            await load.some_more()
            label = await replace(pair, process)
            await serves_plain_grpc(pair, label, load)
    async with pair.database.admin() as admin:

        async def none_left() -> bool:
            return bool(await admin.fetchval(UNFINISHED) == 0)

        await until(none_left, seconds=LIMIT)
        rows = await admin.fetch(ROWS)

    assert {row["request_id"]: row["task_id"] for row in rows} == load.told
    assert {(row["state"], row["attempt"]) for row in rows} == {("SUCCEEDED", 1)}
    assert min(load.answered["client"], load.answered["plain"]) > BETWEEN_STEPS
    assert pair.logs.having(level="error") == []


async def replace(pair: RunningPair, process: ServiceProcess) -> str:
    """Stop it as an operator does, and start another one at its address. Its label."""
    is_creator = process in pair.pair.creators
    start = pair.pair.start_creators if is_creator else pair.pair.start_processors
    environ = dict(pair.environ)
    assert await process.stop() == 0
    await start([process.address], environ=environ)
    return (pair.pair.creators if is_creator else pair.pair.processors)[-1].label


async def serves_plain_grpc(pair: RunningPair, label: str, load: Load) -> None:
    """Return once plain gRPC has found this process: until then it has the others alone."""

    async def look() -> bool:
        lines = [line.fields() for line in pair.logs.written if line.label == label]
        calls = [line for line in lines if line.get("event") == "call"]
        return any(
            {line.get("request_id"), line.get("task_id")} & load.plain for line in calls
        )

    await until(look, seconds=LIMIT)
