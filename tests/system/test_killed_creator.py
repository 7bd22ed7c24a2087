"""A creator dies by SIGKILL under its callers, and each call still makes one task."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest

from tandem.v1 import creator_pb2, creator_pb2_grpc
from tests.support.cluster import Database
from tests.support.creator import a_new_id, a_request
from tests.support.running_pair import RunningPair

if TYPE_CHECKING:
    from tandem.v1.creator_pb2_grpc import CreatorServiceAsyncStub

CALLS = 400
BEFORE_THE_KILL = 100

ROWS = """
SELECT t.request_id::text AS request_id, t.task_id::text AS task_id
FROM tandem.tasks AS t
JOIN tandem.task_status AS s ON s.task_id = t.task_id
"""


async def test_p1_callers_of_a_killed_creator_repeat_at_another(
    pair: RunningPair,
) -> None:
    """Every OK names the one row of its request id, also where the answer was lost."""
    requests = [
        a_request(request_id=a_new_id(), payload={"n": n}, type="idle")
        for n in range(CALLS)
    ]
    answered = asyncio.Semaphore(0)
    room = asyncio.Semaphore(20)

    async def create(request: creator_pb2.CreateTaskRequest) -> str:
        async with room:
            answer = await _create_somewhere(pair, request)
            answered.release()
            return answer.task.task_id

    async def kill() -> None:
        for _ in range(BEFORE_THE_KILL):
            await answered.acquire()
        await pair.pair.creators[0].kill()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(kill())
        creates = [group.create_task(create(request)) for request in requests]

    told = {
        request.request_id: create.result()
        for request, create in zip(requests, creates, strict=True)
    }
    assert await _rows(pair.database) == told


async def test_a_channel_to_both_creators_outlives_one_of_them(
    pair: RunningPair,
) -> None:
    await pair.pair.creators[0].kill()
    async with grpc.aio.insecure_channel(
        f"ipv4:{pair.pair.creator_address}"
    ) as channel:
        stub: CreatorServiceAsyncStub = creator_pb2_grpc.CreatorServiceStub(channel)
        request = a_request(request_id=a_new_id(), payload={}, type="idle")
        answer = await stub.CreateTask(request, timeout=20, wait_for_ready=True)
    assert answer.outcome == creator_pb2.CreateTaskResponse.OUTCOME_CREATED


async def test_processors_go_on_with_another_creator(pair: RunningPair) -> None:
    await pair.pair.creators[0].kill()
    request = a_request(request_id=a_new_id(), payload={}, type="echo")
    created = await pair.creators[1].CreateTask(request)
    done = await pair.finished(created.task.task_id)
    assert done.status.attempt == 1


async def _create_somewhere(
    pair: RunningPair, request: creator_pb2.CreateTaskRequest
) -> creator_pb2.CreateTaskResponse:
    try:
        return await pair.creators[0].CreateTask(request)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            pytest.fail(f"a killed creator was answered {error.code()}")
    return await pair.creators[1].CreateTask(request)


async def _rows(database: Database) -> dict[str, str]:
    async with database.admin() as admin:
        rows = await admin.fetch(ROWS)
        total = await admin.fetchval("SELECT count(*) FROM tandem.tasks")
    assert len(rows) == total
    return {row["request_id"]: row["task_id"] for row in rows}
