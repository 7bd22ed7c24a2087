"""One task, from the client's call to its result, through every process."""

from __future__ import annotations

import asyncio

from tandem.v1 import creator_pb2, processor_pb2, task_pb2
from tests.support.creator import a_new_id, a_request
from tests.support.postgres_log import PostgresLog
from tests.support.running_pair import RunningPair

State = task_pb2.TaskStatus


async def test_a_task_is_created_streamed_run_and_listed(pair: RunningPair) -> None:
    request = a_request(request_id=a_new_id(), payload={"topic": "Tea"}, type="echo")
    created = await pair.creators[0].CreateTask(request)

    done = await pair.finished(created.task.task_id)

    assert done.status.state == State.STATE_SUCCEEDED
    assert dict(done.status.result) == {"topic": "Tea"}
    listed = await pair.processors[1].ListTasks(
        processor_pb2.ListTasksRequest(project="shop")
    )
    assert [task.task_id for task in listed.tasks] == [done.task_id]
    assert await _streamed(pair) == [done.task_id]


async def test_one_request_id_stands_on_every_line_from_call_to_attempt(
    pair: RunningPair,
) -> None:
    request = a_request(request_id=a_new_id(), payload={}, type="echo")
    created = await pair.creators[0].CreateTask(request)
    await pair.finished(created.task.task_id)

    task_id = created.task.task_id
    call = await pair.logs.first(method="CreateTask", task_id=task_id)
    attempt = await pair.logs.first(event="attempt", task_id=task_id)

    assert call["request_id"] == attempt["request_id"] == request.request_id


async def test_hundreds_of_tasks_all_succeed_and_nothing_is_refused(
    pair: RunningPair, postgres_log: PostgresLog
) -> None:
    requests = [
        a_request(request_id=a_new_id(), payload={"n": n}, type="echo")
        for n in range(300)
    ]
    async with asyncio.timeout(60):
        await asyncio.gather(
            *(pair.creators[n % 2].CreateTask(r) for n, r in enumerate(requests))
        )

    ids = await _streamed(pair)
    tasks = [await pair.finished(task_id) for task_id in ids]

    assert len(set(ids)) == 300
    assert {task.status.state for task in tasks} == {State.STATE_SUCCEEDED}
    assert {task.status.attempt for task in tasks} == {1}
    assert postgres_log.errors() == []


async def _streamed(pair: RunningPair) -> list[str]:
    request = creator_pb2.StreamCreatedTasksRequest(
        start=creator_pb2.StreamCreatedTasksRequest.START_BEGINNING,
        until_caught_up=True,
    )
    answers = pair.creators[1].StreamCreatedTasks(request, timeout=30)
    return [task_id async for answer in answers for task_id in answer.task_ids]
