"""What callers of a creator see of pruning: ids that are known, and later are not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
import grpc
import pytest

from tandem.v1 import creator_pb2 as pb
from tandem.v1 import task_pb2
from tests.support.cluster import Database
from tests.support.creator import a_new_id, a_request, reason_of, served
from tests.support.past import MONTH, age, age_tombstones, prune

if TYPE_CHECKING:
    from tandem.v1.creator_pb2_grpc import CreatorServiceAsyncStub

Outcome = pb.CreateTaskResponse


@pytest.fixture
async def creator(database: Database) -> AsyncIterator[CreatorServiceAsyncStub]:
    async with served(database.creator_url) as stub:
        yield stub


def by_request_id(request: pb.CreateTaskRequest) -> pb.LookupTaskRequest:
    return pb.LookupTaskRequest(
        project=request.spec.project, request_id=request.request_id
    )


async def streamed(
    creator: CreatorServiceAsyncStub, token: str = ""
) -> Sequence[pb.StreamCreatedTasksResponse]:
    request = pb.StreamCreatedTasksRequest(resume_token=token, until_caught_up=True)
    return [
        message async for message in creator.StreamCreatedTasks(request, timeout=20)
    ]


async def test_p1_a_repeat_finds_the_stripped_task_and_after_its_deletion_makes_a_new_one(
    creator: CreatorServiceAsyncStub,
    owner_pool: asyncpg.Pool,
    janitor_pool: asyncpg.Pool,
) -> None:
    request = a_request(
        request_id=a_new_id(), external_id="order-1", payload={"a": 1}, title="Tea"
    )
    same_name = a_request(request_id=a_new_id(), external_id="order-1")
    made = (await creator.CreateTask(request)).task.task_id
    await age(owner_pool, [UUID(made)], days=8)

    await prune(janitor_pool)
    replayed = await creator.CreateTask(request)
    existing = await creator.CreateTask(same_name)
    await age_tombstones(owner_pool, [UUID(made)], days=31)
    await prune(janitor_pool)
    late = await creator.CreateTask(request)

    assert replayed.outcome == Outcome.OUTCOME_REPLAYED
    assert existing.outcome == Outcome.OUTCOME_EXISTING
    for answer in (replayed, existing):
        assert answer.task.task_id == made
        assert answer.task.status.state == task_pb2.TaskStatus.STATE_SUCCEEDED
        assert answer.task.HasField("prune_time")
        assert not answer.task.spec.HasField("payload")
    assert late.outcome == Outcome.OUTCOME_CREATED
    assert late.task.task_id != made


async def test_p3_other_content_is_refused_by_what_a_strip_left(
    creator: CreatorServiceAsyncStub,
    owner_pool: asyncpg.Pool,
    janitor_pool: asyncpg.Pool,
) -> None:
    request = a_request(request_id=a_new_id(), payload={"a": 1})
    made = (await creator.CreateTask(request)).task.task_id
    await age(owner_pool, [UUID(made)], days=8)
    await prune(janitor_pool)
    request.spec.queue = "another"

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await creator.CreateTask(request)

    assert reason_of(caught.value).fields == ["spec.queue"]


async def test_a_look_up_tells_until_when_the_ids_of_a_final_task_are_kept(
    creator: CreatorServiceAsyncStub,
    owner_pool: asyncpg.Pool,
    janitor_pool: asyncpg.Pool,
) -> None:
    request = a_request(request_id=a_new_id())
    made = (await creator.CreateTask(request)).task.task_id
    pending = await creator.LookupTask(by_request_id(request))
    await age(owner_pool, [UUID(made)], days=8)
    final = await creator.LookupTask(by_request_id(request))
    await prune(janitor_pool)
    stripped = await creator.LookupTask(by_request_id(request))

    assert not pending.HasField("request_id_expire_time")
    for found in (final, stripped):
        finished = found.task.status.finish_time.ToDatetime(UTC)
        expires = found.request_id_expire_time.ToDatetime(UTC)
        assert expires - finished == MONTH
    assert stripped.task.HasField("prune_time")

    day = timedelta(days=1)
    await owner_pool.execute(
        "UPDATE tandem.retention SET strip_after = $1, delete_after = $1", day
    )
    shorter = await creator.LookupTask(by_request_id(request))
    assert stripped.request_id_expire_time.ToDatetime() - MONTH == (
        shorter.request_id_expire_time.ToDatetime() - day
    )


async def test_p5_a_token_from_before_what_was_stripped_has_expired(
    creator: CreatorServiceAsyncStub,
    owner_pool: asyncpg.Pool,
    janitor_pool: asyncpg.Pool,
) -> None:
    """The id is gone from the stream: to go on without a word would be to lose it."""
    token = (await streamed(creator))[-1].resume_token
    gone = (await creator.CreateTask(a_request())).task.task_id
    covers = (await streamed(creator, token))[-1].resume_token
    await age(owner_pool, [UUID(gone)], days=8)
    await prune(janitor_pool)
    kept = (await creator.CreateTask(a_request())).task.task_id

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await streamed(creator, token)

    refused = reason_of(caught.value)
    assert caught.value.code() is grpc.StatusCode.OUT_OF_RANGE
    assert refused.reason == "RESUME_TOKEN_EXPIRED"
    for works in (covers, refused.metadata["earliest_resume_token"]):
        messages = await streamed(creator, works)
        assert [i for message in messages for i in message.task_ids] == [kept]


async def test_p5_the_beginning_is_the_oldest_task_kept_also_below_the_floor(
    creator: CreatorServiceAsyncStub,
    owner_pool: asyncpg.Pool,
    janitor_pool: asyncpg.Pool,
) -> None:
    made = [(await creator.CreateTask(a_request())).task.task_id for _ in range(3)]
    unfinished, gone, young = made
    await age(owner_pool, [UUID(gone)], days=8)
    await prune(janitor_pool)

    messages = await streamed(creator)

    sent = [task_id for message in messages for task_id in message.task_ids]
    assert sent == [unfinished, young]
