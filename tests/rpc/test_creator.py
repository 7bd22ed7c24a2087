"""CreateTask and LookupTask over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import asyncpg
import grpc
import pytest

from tandem.v1 import creator_pb2 as pb
from tandem.v1 import task_pb2
from tests.support.cluster import Database
from tests.support.creator import Refusal, a_new_id, a_request, reason_of, served

if TYPE_CHECKING:
    from tandem.v1.creator_pb2_grpc import CreatorServiceAsyncStub

Response = pb.CreateTaskResponse

COUNT_TASKS = "SELECT count(*) FROM tandem.tasks"


@pytest.fixture
async def creator(database: Database) -> AsyncIterator[CreatorServiceAsyncStub]:
    async with served(database.creator_url) as stub:
        yield stub


async def refusal(call: Any) -> tuple[grpc.StatusCode, Refusal]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), reason_of(caught.value)


FULL_SPEC: dict[str, Any] = {
    "payload": {"n": 1, "list": [1.5, "two", None, True, {"three": 3}]},
    "title": "A title",
    "external_id": "order-1",
    "labels": {"user": "ann"},
    "queue": "fast",
    "priority": task_pb2.PRIORITY_HIGH,
}


async def test_p2_the_answer_is_what_a_look_up_finds(
    creator: CreatorServiceAsyncStub,
) -> None:
    request = a_request(request_id=a_new_id(), **FULL_SPEC)
    request.spec.retry_policy.max_attempts = 3
    request.spec.start_delay.FromSeconds(60)

    created = await creator.CreateTask(request)
    found = await creator.LookupTask(
        pb.LookupTaskRequest(project="shop", request_id=request.request_id)
    )

    assert created.outcome == Response.OUTCOME_CREATED
    assert found.task == created.task
    assert found.task.spec == request.spec


async def test_p3_a_replay_answers_the_task_and_changes_nothing(
    creator: CreatorServiceAsyncStub, owner_pool: asyncpg.Pool
) -> None:
    request = a_request(request_id=a_new_id(), **FULL_SPEC)
    first = await creator.CreateTask(request)
    before = await owner_pool.fetch("SELECT t::text FROM tandem.tasks AS t")

    second = await creator.CreateTask(request)

    assert second.outcome == Response.OUTCOME_REPLAYED
    assert second.task == first.task
    assert before == await owner_pool.fetch("SELECT t::text FROM tandem.tasks AS t")


async def test_p3_a_replay_answers_the_task_as_it_is_now(
    creator: CreatorServiceAsyncStub, owner_pool: asyncpg.Pool
) -> None:
    request = a_request(request_id=a_new_id())
    first = await creator.CreateTask(request)
    await owner_pool.execute(
        "UPDATE tandem.task_status SET state = 'CANCELLED', finish_time = now()"
        " WHERE task_id = $1::uuid",
        first.task.task_id,
    )

    second = await creator.CreateTask(request)

    assert second.task.status.state == task_pb2.TaskStatus.STATE_CANCELLED


async def test_p3_other_content_is_refused_by_name_and_never_by_value(
    creator: CreatorServiceAsyncStub, owner_pool: asyncpg.Pool
) -> None:
    request_id = a_new_id()
    first = await creator.CreateTask(
        a_request(request_id=request_id, payload={"secret": "old-value"})
    )
    before = await owner_pool.fetch("SELECT t::text FROM tandem.tasks AS t")

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await creator.CreateTask(
            a_request(request_id=request_id, payload={"secret": "new-value"}, title="x")
        )

    found = reason_of(caught.value)
    assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert found.reason == "REQUEST_ID_REUSED"
    assert found.fields == ["spec.payload.secret", "spec.title"]
    assert found.metadata["task_id"] == first.task.task_id
    assert found.metadata["request_id"] == request_id
    assert found.metadata["create_time"] == first.task.create_time.ToJsonString()
    assert found.metadata["created_by"] == ""
    assert "value" not in f"{caught.value.details()} {found.metadata}"
    assert before == await owner_pool.fetch("SELECT t::text FROM tandem.tasks AS t")


async def test_a_taken_external_id_answers_the_original_and_names_what_differs(
    creator: CreatorServiceAsyncStub,
) -> None:
    first = await creator.CreateTask(
        a_request(external_id="wf-1", payload={"title": "a"}, priority=1)
    )

    second = await creator.CreateTask(
        a_request(external_id="wf-1", payload={"title": "b"}, priority=4)
    )

    assert second.outcome == Response.OUTCOME_EXISTING
    assert second.existing_reason == pb.EXISTING_REASON_EXTERNAL_ID
    assert second.task == first.task
    assert second.differing_fields == ["spec.payload.title", "spec.priority"]


async def test_a_taken_external_id_is_refused_where_the_caller_asks_for_it(
    creator: CreatorServiceAsyncStub,
) -> None:
    first = await creator.CreateTask(a_request(external_id="wf-1"))
    request = a_request(external_id="wf-1")
    request.external_id_policy = pb.CreateTaskRequest.EXTERNAL_ID_POLICY_REJECT

    code, found = await refusal(creator.CreateTask(request))

    assert (code, found.reason) == (
        grpc.StatusCode.ALREADY_EXISTS,
        "EXTERNAL_ID_TAKEN",
    )
    assert found.metadata["task_id"] == first.task.task_id


async def test_without_ids_the_server_makes_a_request_id_that_can_be_looked_up(
    creator: CreatorServiceAsyncStub,
) -> None:
    created = [await creator.CreateTask(a_request()) for _ in range(2)]
    found = [
        await creator.LookupTask(
            pb.LookupTaskRequest(project="shop", request_id=response.request_id)
        )
        for response in created
    ]

    assert [f.task for f in found] == [c.task for c in created]
    assert created[0].task.task_id != created[1].task.task_id


async def test_a_basic_view_leaves_the_payload_out(
    creator: CreatorServiceAsyncStub,
) -> None:
    request = a_request(request_id=a_new_id(), payload={"a": 1})
    request.view = task_pb2.TASK_VIEW_BASIC

    created = await creator.CreateTask(request)
    replayed = await creator.CreateTask(request)

    assert not created.task.spec.HasField("payload")
    assert replayed.task == created.task


async def test_p10_a_refused_request_leaves_its_id_free(
    creator: CreatorServiceAsyncStub, owner_pool: asyncpg.Pool
) -> None:
    request = a_request(request_id=a_new_id(), title="x" * 256)

    code, found = await refusal(creator.CreateTask(request))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert (found.reason, found.fields) == ("INVALID_REQUEST", ["spec.title"])
    assert await owner_pool.fetchval(COUNT_TASKS) == 0

    request.spec.title = "x"
    created = await creator.CreateTask(request)
    assert created.outcome == Response.OUTCOME_CREATED


async def test_validating_writes_nothing_and_tells_what_would_happen(
    creator: CreatorServiceAsyncStub, owner_pool: asyncpg.Pool
) -> None:
    request = a_request(request_id=a_new_id(), payload={"a": 1})
    request.validate_only = True

    foreseen = await creator.CreateTask(request)
    assert foreseen.outcome == Response.OUTCOME_CREATED
    assert not foreseen.task.task_id
    assert not foreseen.task.HasField("create_time")
    assert await owner_pool.fetchval(COUNT_TASKS) == 0

    request.validate_only = False
    created = await creator.CreateTask(request)
    request.validate_only = True
    again = await creator.CreateTask(request)
    assert (again.outcome, again.task) == (Response.OUTCOME_REPLAYED, created.task)


async def test_looking_up_by_external_id_finds_the_task(
    creator: CreatorServiceAsyncStub,
) -> None:
    created = await creator.CreateTask(a_request(external_id="é-1"))

    found = await creator.LookupTask(
        pb.LookupTaskRequest(project="shop", external_id="é-1")
    )

    assert found.task == created.task


@pytest.mark.parametrize("field", ["request_id", "external_id"])
async def test_an_id_that_is_not_there_is_not_found(
    creator: CreatorServiceAsyncStub, field: str
) -> None:
    request = pb.LookupTaskRequest(project="shop")
    setattr(request, field, a_new_id())

    code, found = await refusal(creator.LookupTask(request))

    assert (code, found.reason) == (grpc.StatusCode.NOT_FOUND, "TASK_NOT_FOUND")


@pytest.mark.parametrize(
    ("fields", "at_fault"),
    [
        ({"project": "shop"}, ["request_id"]),
        ({"external_id": "x"}, ["project"]),
        ({"project": "-", "request_id": "x"}, ["project", "request_id"]),
        (
            {"project": "shop", "request_id": a_new_id(), "external_id": "x"},
            ["external_id"],
        ),
        ({"project": "shop", "external_id": "x" * 256}, ["external_id"]),
        ({"project": "shop", "external_id": "x", "view": 9}, ["view"]),
    ],
)
async def test_p10_a_bad_look_up_names_its_fields(
    creator: CreatorServiceAsyncStub, fields: dict[str, Any], at_fault: list[str]
) -> None:
    code, found = await refusal(creator.LookupTask(pb.LookupTaskRequest(**fields)))

    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert found.fields == at_fault


async def test_p10_a_bad_request_never_harms_its_neighbours(
    creator: CreatorServiceAsyncStub,
) -> None:
    requests = [
        a_request(request_id=a_new_id(), title="x" * (256 if n % 3 == 0 else 5))
        for n in range(60)
    ]

    answers = await asyncio.gather(
        *(creator.CreateTask(request) for request in requests), return_exceptions=True
    )

    refused = [isinstance(answer, grpc.aio.AioRpcError) for answer in answers]
    assert refused == [n % 3 == 0 for n in range(60)]
