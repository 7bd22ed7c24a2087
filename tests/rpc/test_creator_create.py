"""What one CreateTask answers, and what it refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import asyncpg
import grpc
import pytest

from tandem.v1 import creator_pb2 as pb
from tests.support.cluster import Database
from tests.support.creator import Refusal, a_new_id, a_request, reason_of, served

if TYPE_CHECKING:
    from tandem.v1.creator_pb2_grpc import CreatorServiceAsyncStub

Outcome = pb.CreateTaskResponse

COUNT = "SELECT count(*) FROM tandem.tasks"
COUNT_CLAIMS = "SELECT count(*) FROM tandem.content_windows"


@pytest.fixture
async def creator(database: Database) -> AsyncIterator[CreatorServiceAsyncStub]:
    async with served(database.creator_url) as stub:
        yield stub


def windowed(payload: dict[str, Any], **spec: Any) -> pb.CreateTaskRequest:
    request = a_request(payload=payload, **spec)
    request.content_window.window.FromSeconds(60)
    request.content_window.payload_keys.append("topic")
    return request


async def refused(
    creator: CreatorServiceAsyncStub,
    request: pb.CreateTaskRequest | pb.BatchCreateTasksRequest,
    code: grpc.StatusCode,
) -> Refusal:
    single = isinstance(request, pb.CreateTaskRequest)
    create: Any = creator.CreateTask if single else creator.BatchCreateTasks
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await create(request)
    assert caught.value.code() is code
    return reason_of(caught.value)


async def test_p3_other_content_is_told_where_it_differs_and_what_was_first(
    creator: CreatorServiceAsyncStub,
) -> None:
    request_id = a_new_id()
    first = await creator.CreateTask(
        a_request(request_id=request_id, payload={"topic": "Tea", "style": "dry"})
    )
    other = a_request(
        request_id=request_id, payload={"topic": "Coffee", "tone": "x"}, title="New"
    )

    told = await refused(creator, other, grpc.StatusCode.ALREADY_EXISTS)

    assert told.reason == "REQUEST_ID_REUSED"
    assert set(told.fields) == {
        "spec.payload.topic",
        "spec.payload.style",
        "spec.payload.tone",
        "spec.title",
    }
    assert told.metadata == {
        "task_id": first.task.task_id,
        "request_id": request_id,
        "create_time": first.task.create_time.ToJsonString(),
        "created_by": "",
        "differing_fields": ",".join(told.fields),
    }


async def test_a_taken_external_id_is_refused_on_request(
    creator: CreatorServiceAsyncStub, owner_pool: asyncpg.Pool
) -> None:
    first = await creator.CreateTask(a_request(external_id="x"))
    request = a_request(external_id="x", request_id=a_new_id())
    request.external_id_policy = pb.CreateTaskRequest.EXTERNAL_ID_POLICY_REJECT

    told = await refused(creator, request, grpc.StatusCode.ALREADY_EXISTS)
    request.spec.external_id = "y"
    free = await creator.CreateTask(request)
    replayed = await creator.CreateTask(request)

    assert told.reason == "EXTERNAL_ID_TAKEN"
    assert told.fields == ["spec.external_id"]
    assert told.metadata["task_id"] == first.task.task_id
    assert free.outcome == Outcome.OUTCOME_CREATED
    # Its own request id made it, so nobody has taken anything from it.
    assert replayed.outcome == Outcome.OUTCOME_REPLAYED
    assert await owner_pool.fetchval(COUNT) == 2


async def test_validate_only_tells_what_would_happen_and_writes_nothing(
    creator: CreatorServiceAsyncStub, owner_pool: asyncpg.Pool
) -> None:
    known = a_request(request_id=a_new_id(), external_id="x")
    made = await creator.CreateTask(known)
    content = await creator.CreateTask(windowed({"topic": "Tea"}))
    asked = [
        (a_request(request_id=a_new_id()), Outcome.OUTCOME_CREATED, ""),
        (known, Outcome.OUTCOME_REPLAYED, made.task.task_id),
        (a_request(external_id="x"), Outcome.OUTCOME_EXISTING, made.task.task_id),
        (
            windowed({"topic": "Tea", "n": 1}),
            Outcome.OUTCOME_EXISTING,
            content.task.task_id,
        ),
        (windowed({"topic": "Coffee"}), Outcome.OUTCOME_CREATED, ""),
    ]

    for request, outcome, task_id in asked:
        request.validate_only = True
        answer = await creator.CreateTask(request)
        assert (answer.outcome, answer.task.task_id) == (outcome, task_id)
        assert answer.task.HasField("create_time") == bool(task_id)

    assert await owner_pool.fetchval(COUNT) == 2
    assert await owner_pool.fetchval(COUNT_CLAIMS) == 1


async def test_validate_only_refuses_what_would_be_refused(
    creator: CreatorServiceAsyncStub,
) -> None:
    request = a_request(request_id=a_new_id(), payload={"a": 1})
    await creator.CreateTask(request)
    request.spec.payload["a"] = 2
    request.validate_only = True

    told = await refused(creator, request, grpc.StatusCode.ALREADY_EXISTS)
    request.spec.type = ""
    bad = await refused(creator, request, grpc.StatusCode.INVALID_ARGUMENT)

    assert told.fields == ["spec.payload.a"]
    assert bad.fields == ["spec.type"]


async def test_a_validated_request_id_stays_free(
    creator: CreatorServiceAsyncStub,
) -> None:
    request = a_request(request_id=a_new_id(), payload={"a": 1})
    request.validate_only = True
    await creator.CreateTask(request)
    request.validate_only = False
    request.spec.payload["a"] = 2

    answer = await creator.CreateTask(request)

    assert answer.outcome == Outcome.OUTCOME_CREATED


async def test_equal_content_is_answered_by_its_first_task(
    creator: CreatorServiceAsyncStub,
) -> None:
    first = await creator.CreateTask(windowed({"topic": "Tea", "n": 1}))

    again = await creator.CreateTask(windowed({"topic": "Tea", "n": 2}, title="New"))

    assert again.outcome == Outcome.OUTCOME_EXISTING
    assert again.existing_reason == pb.EXISTING_REASON_CONTENT_WINDOW
    assert again.task == first.task
    assert list(again.differing_fields) == ["spec.payload.n", "spec.title"]
    assert again.request_id != first.request_id


async def test_where_request_ids_are_mandatory_others_are_refused(
    database: Database, owner_pool: asyncpg.Pool
) -> None:
    """A batch may carry one for all."""
    batch = pb.BatchCreateTasksRequest(requests=[a_request(), a_request()])
    async with served(database.creator_url, require_request_id=True) as creator:
        one = await refused(
            creator, a_request(external_id="x"), grpc.StatusCode.INVALID_ARGUMENT
        )
        window = await refused(
            creator, windowed({"topic": "Tea"}), grpc.StatusCode.INVALID_ARGUMENT
        )
        several = await refused(creator, batch, grpc.StatusCode.INVALID_ARGUMENT)
        batch.request_id = a_new_id()
        await creator.BatchCreateTasks(batch)
        await creator.CreateTask(a_request(request_id=a_new_id()))

    assert one.fields == window.fields == ["request_id"]
    assert several.fields == ["requests[0].request_id", "requests[1].request_id"]
    assert await owner_pool.fetchval(COUNT) == 3
