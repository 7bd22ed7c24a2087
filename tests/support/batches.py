"""Batches of creates, and what is told and stored of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
import grpc
import pytest

from tandem.v1 import creator_pb2 as pb
from tests.support.creator import Refusal, a_request, reason_of

if TYPE_CHECKING:
    from tandem.v1.creator_pb2_grpc import CreatorServiceAsyncStub

Outcome = pb.CreateTaskResponse
CREATED, REPLAYED, EXISTING = (
    Outcome.OUTCOME_CREATED,
    Outcome.OUTCOME_REPLAYED,
    Outcome.OUTCOME_EXISTING,
)

COUNTS = """
SELECT (SELECT count(*) FROM tandem.tasks), (SELECT count(*) FROM tandem.task_status)
"""


def a_batch(
    *requests: pb.CreateTaskRequest, **fields: Any
) -> pb.BatchCreateTasksRequest:
    return pb.BatchCreateTasksRequest(requests=requests, **fields)


def numbered(count: int, **spec: Any) -> list[pb.CreateTaskRequest]:
    return [a_request(payload={"n": n}, **spec) for n in range(count)]


def outcomes(answer: pb.BatchCreateTasksResponse) -> list[int]:
    return [result.outcome for result in answer.results]


def task_ids(answer: pb.BatchCreateTasksResponse) -> list[str]:
    return [result.task.task_id for result in answer.results]


def counts(answer: pb.BatchCreateTasksResponse) -> tuple[int, int, int, int]:
    summary = answer.summary
    return (summary.requested, summary.created, summary.replayed, summary.existing)


async def refused(
    creator: CreatorServiceAsyncStub,
    batch: pb.BatchCreateTasksRequest,
    code: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT,
) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await creator.BatchCreateTasks(batch)
    assert caught.value.code() is code
    return reason_of(caught.value)


async def stored(pool: asyncpg.Pool) -> tuple[int, int]:
    tasks, statuses = (await pool.fetch(COUNTS))[0]
    return (tasks, statuses)
