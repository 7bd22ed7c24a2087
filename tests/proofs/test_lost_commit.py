"""A commit whose acknowledgement is lost is an unknown outcome, and its repeat one task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg
import grpc
import pytest

from tandem.v1 import creator_pb2 as pb
from tests.support.cluster import Database
from tests.support.creator import a_new_id, a_request, reason_of, served
from tests.support.cutter import Cutter, running_cutter

if TYPE_CHECKING:
    from tandem.v1.creator_pb2_grpc import CreatorServiceAsyncStub

COUNT_TASKS = "SELECT count(*) FROM tandem.tasks"

TASK_IDS = "SELECT t.task_id::text FROM tandem.tasks AS t ORDER BY t.task_id"

LIMIT = 20.0

Outcome = pb.CreateTaskResponse


@dataclass(frozen=True, slots=True)
class Faulty:
    """A creator, and the path from it to its database."""

    cutter: Cutter
    creator: CreatorServiceAsyncStub


@pytest.fixture
async def faulty(database: Database) -> AsyncIterator[Faulty]:
    async with (
        running_cutter(database) as cutter,
        served(cutter.url) as creator,
    ):
        yield Faulty(cutter, creator)


async def test_p1_the_repeat_of_a_create_with_a_lost_commit_gets_its_one_task(
    faulty: Faulty, owner_pool: asyncpg.Pool
) -> None:
    request = a_request(request_id=a_new_id(), payload={"a": 1})
    faulty.cutter.cut_next_create()

    with pytest.raises(grpc.aio.AioRpcError) as lost:
        await faulty.creator.CreateTask(request)
    assert await owner_pool.fetchval(COUNT_TASKS) == 1
    again = await faulty.creator.CreateTask(request)

    assert lost.value.code() is grpc.StatusCode.UNAVAILABLE
    assert reason_of(lost.value).reason == "STORE_UNAVAILABLE"
    trailers = dict(lost.value.trailing_metadata() or ())
    assert trailers["grpc-retry-pushback-ms"] == "250"
    assert again.outcome == Outcome.OUTCOME_REPLAYED
    assert [r[0] for r in await owner_pool.fetch(TASK_IDS)] == [again.task.task_id]
    assert faulty.cutter.cuts == 1


async def test_p1_an_external_id_makes_the_repeat_safe_too(
    faulty: Faulty, owner_pool: asyncpg.Pool
) -> None:
    request = a_request(external_id="order-7")
    faulty.cutter.cut_next_create()

    with pytest.raises(grpc.aio.AioRpcError) as lost:
        await faulty.creator.CreateTask(request)
    again = await faulty.creator.CreateTask(request)

    assert lost.value.code() is grpc.StatusCode.UNAVAILABLE
    assert again.outcome == Outcome.OUTCOME_EXISTING
    assert await owner_pool.fetchval(COUNT_TASKS) == 1


@pytest.mark.parametrize("windowed", [False, True])
async def test_without_ids_the_caller_is_told_the_id_to_ask_for(
    faulty: Faulty, *, windowed: bool
) -> None:
    request = a_request(payload={"a": 1})
    if windowed:
        request.content_window.window.FromSeconds(60)
    faulty.cutter.cut_next_create()

    with pytest.raises(grpc.aio.AioRpcError) as lost:
        await faulty.creator.CreateTask(request)
    refusal = reason_of(lost.value)
    found = await faulty.creator.LookupTask(
        pb.LookupTaskRequest(project="shop", request_id=refusal.metadata["request_id"])
    )

    assert lost.value.code() is grpc.StatusCode.ABORTED
    assert refusal.reason == "OUTCOME_UNKNOWN"
    assert found.task.spec.payload["a"] == 1


async def test_p12_the_repeat_of_a_batch_with_a_lost_commit_replays_whole(
    faulty: Faulty, owner_pool: asyncpg.Pool
) -> None:
    batch = pb.BatchCreateTasksRequest(
        request_id=a_new_id(), requests=[a_request(title=str(n)) for n in range(5)]
    )
    faulty.cutter.cut_next_commit()

    with pytest.raises(grpc.aio.AioRpcError) as lost:
        await faulty.creator.BatchCreateTasks(batch)
    assert await owner_pool.fetchval(COUNT_TASKS) == 5
    again = await faulty.creator.BatchCreateTasks(batch)

    assert lost.value.code() is grpc.StatusCode.UNAVAILABLE
    assert again.summary.replayed == 5
    assert await owner_pool.fetchval(COUNT_TASKS) == 5


async def test_a_batch_without_ids_tells_the_id_that_its_tasks_are_found_by(
    faulty: Faulty, owner_pool: asyncpg.Pool
) -> None:
    batch = pb.BatchCreateTasksRequest(requests=[a_request()])
    faulty.cutter.cut_next_commit()

    with pytest.raises(grpc.aio.AioRpcError) as lost:
        await faulty.creator.BatchCreateTasks(batch)
    batch.request_id = reason_of(lost.value).metadata["request_id"]
    again = await faulty.creator.BatchCreateTasks(batch)

    assert lost.value.code() is grpc.StatusCode.ABORTED
    assert again.summary.replayed == 1
    assert await owner_pool.fetchval(COUNT_TASKS) == 1


async def test_a_session_that_postgres_ended_while_it_was_idle_is_no_defect(
    faulty: Faulty, owner_pool: asyncpg.Pool
) -> None:
    """Its end is announced before it is closed; a create may come in between."""
    request = a_request(request_id=a_new_id())
    await faulty.creator.CreateTask(a_request())
    faulty.cutter.announce_shutdown()

    told = []
    async with asyncio.timeout(LIMIT):
        while "OK" not in told:
            told.append(await _outcome(faulty.creator, request))

    assert set(told) <= {"OK", "STORE_UNAVAILABLE"}
    assert await owner_pool.fetchval(COUNT_TASKS) == 2


async def _outcome(
    creator: CreatorServiceAsyncStub, request: pb.CreateTaskRequest
) -> str:
    try:
        await creator.CreateTask(request)
    except grpc.aio.AioRpcError as error:
        return reason_of(error).reason
    return "OK"
