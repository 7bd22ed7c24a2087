"""P12: one request that is refused undoes its batch, and the answer names it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import asyncpg
import grpc
import pytest

from tandem.v1 import creator_pb2 as pb
from tandem.v1 import task_pb2
from tests.support.batches import a_batch, numbered, refused, stored
from tests.support.cluster import Database
from tests.support.creator import a_new_id, a_request, served

if TYPE_CHECKING:
    from tandem.v1.creator_pb2_grpc import CreatorServiceAsyncStub

POISON = """
CREATE FUNCTION tandem.poison() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.type = 'poison' THEN
        RAISE EXCEPTION 'no' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
GRANT EXECUTE ON FUNCTION tandem.poison TO PUBLIC;
CREATE TRIGGER poison BEFORE INSERT ON tandem.tasks
FOR EACH ROW EXECUTE FUNCTION tandem.poison();
"""


@pytest.fixture
async def creator(database: Database) -> AsyncIterator[CreatorServiceAsyncStub]:
    async with served(database.creator_url) as stub:
        yield stub


async def test_p12_one_bad_request_refuses_the_batch_and_every_fault_is_named(
    creator: CreatorServiceAsyncStub, owner_pool: asyncpg.Pool
) -> None:
    requests = numbered(5)
    requests[1].spec.project = ""
    requests[3].spec.type = "a b"
    requests[3].spec.payload["x"] = float("nan")
    requests[4].validate_only = True
    requests[4].view = task_pb2.TASK_VIEW_FULL
    requests[4].request_id = "no"

    told = await refused(creator, a_batch(*requests, request_id=a_new_id()))

    assert told.reason == "INVALID_REQUEST"
    assert set(told.fields) == {
        "requests[1].spec.project",
        "requests[3].spec.type",
        "requests[3].spec.payload.x",
        "requests[4].validate_only",
        "requests[4].view",
        "requests[4].request_id",
    }
    assert await stored(owner_pool) == (0, 0)


async def test_p10_a_thousand_bad_requests_are_all_named(
    creator: CreatorServiceAsyncStub,
) -> None:
    """In an answer that any client accepts."""
    told = await refused(creator, a_batch(*(a_request(type="") for _ in range(1000))))

    assert told.fields[0] == "requests[0].spec.type"
    assert told.fields[-1] == "requests"
    assert told.descriptions[-1] == f"also at fault: {len(told.fields) - 1}-999"


async def test_p12_one_request_id_with_two_contents_names_both_indexes(
    creator: CreatorServiceAsyncStub, owner_pool: asyncpg.Pool
) -> None:
    request_id = a_new_id()
    requests = [
        a_request(request_id=request_id, payload={"a": 1}),
        *numbered(1),
        a_request(request_id=request_id, payload={"a": 2}),
    ]

    told = await refused(creator, a_batch(*requests))

    assert set(told.fields) == {"requests[0].request_id", "requests[2].request_id"}
    assert await stored(owner_pool) == (0, 0)


async def test_p12_a_request_id_spent_on_other_content_undoes_the_batch(
    creator: CreatorServiceAsyncStub, owner_pool: asyncpg.Pool
) -> None:
    request_id = a_new_id()
    first = await creator.CreateTask(a_request(request_id=request_id, payload={"a": 1}))
    requests = numbered(3)
    requests[1] = a_request(request_id=request_id, payload={"a": 2}, title="new")

    told = await refused(
        creator, a_batch(*requests), code=grpc.StatusCode.ALREADY_EXISTS
    )

    assert told.reason == "REQUEST_ID_REUSED"
    assert set(told.fields) == {
        "requests[1].spec.payload.a",
        "requests[1].spec.title",
    }
    assert told.metadata["index"] == "1"
    assert told.metadata["task_id"] == first.task.task_id
    assert told.metadata["request_id"] == request_id
    assert told.metadata["create_time"] == first.task.create_time.ToJsonString()
    assert await stored(owner_pool) == (1, 1)


async def test_p12_a_taken_external_id_undoes_a_batch_that_rejects_it(
    creator: CreatorServiceAsyncStub, owner_pool: asyncpg.Pool
) -> None:
    await creator.CreateTask(a_request(external_id="x"))
    requests = [*numbered(2), a_request(external_id="x")]
    requests[2].external_id_policy = pb.CreateTaskRequest.EXTERNAL_ID_POLICY_REJECT

    told = await refused(
        creator, a_batch(*requests), code=grpc.StatusCode.ALREADY_EXISTS
    )

    assert told.reason == "EXTERNAL_ID_TAKEN"
    assert told.fields == ["requests[2].spec.external_id"]
    assert await stored(owner_pool) == (1, 1)


@pytest.mark.parametrize("validate_only", [False, True])
async def test_p12_an_external_id_taken_within_a_batch_names_no_task_that_is_undone(
    creator: CreatorServiceAsyncStub, owner_pool: asyncpg.Pool, validate_only: bool
) -> None:
    requests = [a_request(), a_request(external_id="x"), a_request(external_id="x")]
    requests[2].external_id_policy = pb.CreateTaskRequest.EXTERNAL_ID_POLICY_REJECT

    told = await refused(
        creator,
        a_batch(*requests, validate_only=validate_only),
        code=grpc.StatusCode.ALREADY_EXISTS,
    )

    assert told.reason == "EXTERNAL_ID_TAKEN"
    assert told.fields == ["requests[2].spec.external_id"]
    assert told.metadata == {"index": "2"}
    assert await stored(owner_pool) == (0, 0)


async def test_p12_a_row_that_the_database_refuses_undoes_the_batch(
    creator: CreatorServiceAsyncStub, owner_pool: asyncpg.Pool
) -> None:
    await owner_pool.execute(POISON)
    requests = numbered(10)
    requests[6].spec.type = "poison"

    told = await refused(creator, a_batch(*requests))
    answer = await creator.BatchCreateTasks(a_batch(*numbered(10)))

    assert told.reason == "STORE_REFUSED"
    assert answer.summary.created == 10
    assert await stored(owner_pool) == (10, 10)


async def test_p12_lanes_of_an_undone_batch_are_not_remembered(
    creator: CreatorServiceAsyncStub, owner_pool: asyncpg.Pool
) -> None:
    await owner_pool.execute(POISON)
    requests = [a_request(queue="new"), a_request(queue="new", type="poison")]

    await refused(creator, a_batch(*requests))
    await creator.CreateTask(requests[0])

    assert await owner_pool.fetchval(
        """
        SELECT l.queue
        FROM tandem.task_status AS s
        JOIN tandem.lanes AS l ON l.lane_id = s.lane_id
        """
    )


async def test_validate_only_refuses_what_would_be_refused(
    creator: CreatorServiceAsyncStub,
) -> None:
    request_id = a_new_id()
    await creator.CreateTask(a_request(request_id=request_id, payload={"a": 1}))
    batch = a_batch(a_request(request_id=request_id, payload={"a": 2}))
    batch.validate_only = True

    told = await refused(creator, batch, code=grpc.StatusCode.ALREADY_EXISTS)

    assert told.fields == ["requests[0].spec.payload.a"]
