"""StreamCreatedTasks over a real socket: everything, in order, from any token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
import grpc
import pytest

from tandem.v1 import creator_pb2 as pb
from tandem_creator.tokens import Token
from tests.support.cluster import Database
from tests.support.creator import a_new_id, a_request, reason_of, served

if TYPE_CHECKING:
    from tandem.v1.creator_pb2_grpc import CreatorServiceAsyncStub

LIMIT = 20.0


@pytest.fixture
async def creator(database: Database) -> AsyncIterator[CreatorServiceAsyncStub]:
    async with served(database.creator_url) as stub:
        yield stub


async def create(stub: CreatorServiceAsyncStub, count: int, **spec: Any) -> list[str]:
    """Task ids, in the order of their creation."""
    made = [
        await stub.CreateTask(a_request(request_id=a_new_id(), **spec))
        for _ in range(count)
    ]
    return [response.task.task_id for response in made]


def everything(**fields: Any) -> pb.StreamCreatedTasksRequest:
    return pb.StreamCreatedTasksRequest(until_caught_up=True, **fields)


async def read(
    stub: CreatorServiceAsyncStub, request: pb.StreamCreatedTasksRequest
) -> list[str]:
    async with asyncio.timeout(LIMIT):
        messages = [message async for message in stub.StreamCreatedTasks(request)]
    return [task_id for message in messages for task_id in message.task_ids]


async def test_p5_everything_is_sent_in_the_order_of_creation(
    creator: CreatorServiceAsyncStub,
) -> None:
    made = await create(creator, 5)

    assert await read(creator, everything()) == made


async def test_p5_a_live_stream_sends_what_is_created_after_it_began(
    creator: CreatorServiceAsyncStub,
) -> None:
    request = pb.StreamCreatedTasksRequest(start=pb.StreamCreatedTasksRequest.START_NOW)
    await create(creator, 2)
    stream = creator.StreamCreatedTasks(request)
    async with asyncio.timeout(LIMIT):
        first = await anext(aiter(stream))
        made = await create(creator, 1)
        second = await anext(aiter(stream))

    assert (list(first.task_ids), list(second.task_ids)) == ([], made)


async def test_p5_a_token_covers_what_was_sent_and_nothing_else(
    creator: CreatorServiceAsyncStub,
) -> None:
    await create(creator, 3)
    async with asyncio.timeout(LIMIT):
        messages = [m async for m in creator.StreamCreatedTasks(everything())]
    later = await create(creator, 2)

    resumed = everything(resume_token=messages[-1].resume_token)

    assert await read(creator, resumed) == later


async def test_a_stream_of_one_queue_leaves_the_others_out(
    creator: CreatorServiceAsyncStub,
) -> None:
    await create(creator, 1, queue="slow")
    fast = await create(creator, 2, queue="fast")

    assert await read(creator, everything(queues=["fast"])) == fast


async def test_a_stream_of_one_project_leaves_the_others_out(
    creator: CreatorServiceAsyncStub,
) -> None:
    await create(creator, 1, project="left")
    right = await create(creator, 2, project="right")

    assert await read(creator, everything(projects=["right"])) == right


async def test_a_quiet_stream_sends_its_token(database: Database) -> None:
    async with (
        served(database.creator_url, frame=0.1) as creator,
        asyncio.timeout(LIMIT),
    ):
        stream = creator.StreamCreatedTasks(pb.StreamCreatedTasksRequest())
        frames = [await anext(aiter(stream)) for _ in range(2)]

    assert all(frame.resume_token and not frame.task_ids for frame in frames)


@pytest.mark.parametrize("token", ["x", "é", "A" * 5000, "AAAA" * 10, "!!!!"])
async def test_p10_a_token_that_never_was_is_refused_by_name(
    creator: CreatorServiceAsyncStub, token: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await read(creator, everything(resume_token=token))

    assert reason_of(caught.value).reason == "INVALID_REQUEST"
    assert reason_of(caught.value).fields == ["resume_token"]


async def test_p10_every_bad_field_of_a_stream_is_named(
    creator: CreatorServiceAsyncStub,
) -> None:
    bad = everything(queues=["ok", "-"], projects=[""], start=9, resume_token="x")

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await read(creator, bad)

    assert reason_of(caught.value).fields == [
        "start",
        "queues[1]",
        "projects[0]",
        "resume_token",
    ]


async def test_a_token_of_other_queues_is_refused(
    creator: CreatorServiceAsyncStub,
) -> None:
    async with asyncio.timeout(LIMIT):
        messages = [m async for m in creator.StreamCreatedTasks(everything())]

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await read(
            creator,
            everything(queues=["fast"], resume_token=messages[-1].resume_token),
        )

    assert reason_of(caught.value).fields == ["resume_token"]


@asynccontextmanager
async def expired(
    creator: CreatorServiceAsyncStub, token: Token
) -> AsyncIterator[list[str]]:
    """What the earliest token that works gives, once `token` was found expired."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await read(creator, everything(resume_token=str(token)))
    found = reason_of(caught.value)
    assert caught.value.code() is grpc.StatusCode.OUT_OF_RANGE
    assert found.reason == "RESUME_TOKEN_EXPIRED"
    earliest = found.metadata["earliest_resume_token"]
    yield await read(creator, everything(resume_token=earliest))


async def a_token(creator: CreatorServiceAsyncStub) -> Token:
    async with asyncio.timeout(LIMIT):
        messages = [m async for m in creator.StreamCreatedTasks(everything())]
    return Token.parse(messages[-1].resume_token)


async def test_a_token_of_another_epoch_has_expired(
    creator: CreatorServiceAsyncStub,
) -> None:
    made = await create(creator, 2)
    token = await a_token(creator)
    other = Token(type(token.epoch_id)(int=1), token.position, token.filter)

    async with expired(creator, other) as rest:
        assert rest == made


async def test_a_token_beyond_every_position_has_expired(
    creator: CreatorServiceAsyncStub,
) -> None:
    token = await a_token(creator)
    beyond = Token(token.epoch_id, token.position + 1, token.filter)

    async with expired(creator, beyond) as rest:
        assert rest == []


async def test_a_token_below_the_floor_has_expired(
    creator: CreatorServiceAsyncStub, janitor_pool: asyncpg.Pool
) -> None:
    before = await a_token(creator)
    await create(creator, 1)
    floor = await a_token(creator)
    kept = await create(creator, 1)
    await janitor_pool.execute(
        "UPDATE tandem.stream_floor SET position = $1 WHERE position < $1",
        floor.position,
    )

    async with expired(creator, before) as rest:
        assert rest == kept


async def test_a_stream_ends_with_stopping_when_the_creator_stops(
    database: Database,
) -> None:
    async with served(database.creator_url) as creator:
        stream = creator.StreamCreatedTasks(
            pb.StreamCreatedTasksRequest(start=pb.StreamCreatedTasksRequest.START_NOW)
        )
        async with asyncio.timeout(LIMIT):
            await stream.read()
        waiting = asyncio.ensure_future(stream.read())
        await asyncio.sleep(0)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async with asyncio.timeout(LIMIT):
            await waiting
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
