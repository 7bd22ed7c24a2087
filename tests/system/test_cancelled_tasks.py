"""Tasks that are ended, begun again, or held back by hand, between real processes."""

from __future__ import annotations

import asyncio

from tandem.v1 import processor_pb2 as pb
from tandem.v1 import task_pb2
from tests.support.cluster import Database
from tests.support.creator import a_new_id, a_request
from tests.support.gates import let_pass, standing_gate
from tests.support.running_pair import HASTE, RunningPair, running_pair
from tests.system.conftest import HANDLERS

State = task_pb2.TaskStatus


async def test_p8_a_task_cancelled_while_its_processor_is_killed_ends_cancelled(
    pair: RunningPair,
) -> None:
    """Its handler ran once and is not run again, and nobody wrote SQL."""
    async with standing_gate() as gate:
        task_id = await _staged(pair, gate.address)
        await gate.reached()
        holder, other = await pair.holder(task_id)
        await pair.pair.processors[holder].kill()
        request = pb.CancelTaskRequest(task_id=task_id, comment="stuck for good")
        asked = (await pair.processors[other].CancelTask(request)).task
        done = await pair.finished(task_id, at=other)

    assert asked.status.HasField("cancel_request_time")
    assert done.status.state == State.STATE_CANCELLED
    assert done.status.cancel_comment == "stuck for good"
    assert (done.status.attempt, done.status.claim) == (1, 1)
    assert done.status.error.reason == "CRASHED"


async def test_p9_a_cancelled_task_runs_again_after_a_retry_and_not_before(
    pair: RunningPair,
) -> None:
    """Asked of the processor that does not run it. The kept stage is not run again."""
    async with standing_gate() as gate:
        task_id = await _staged(pair, gate.address)
        await gate.reached()
        _, other = await pair.holder(task_id)
        processor = pair.processors[other]
        await processor.CancelTask(pb.CancelTaskRequest(task_id=task_id))
        ended = await pair.finished(task_id, at=other)
        retry = pb.RetryTaskRequest(
            task_id=task_id, expected_attempt=ended.status.attempt
        )
        await processor.RetryTask(retry)
        let_pass(await gate.reached())
        done = await pair.finished(task_id, at=other)

    assert ended.status.state == State.STATE_CANCELLED
    assert done.status.state == State.STATE_SUCCEEDED
    assert dict(done.status.result) == {"first": 1, "second": 2}
    assert not done.status.HasField("cancel_request_time")


async def test_p8_what_is_created_while_its_queue_is_paused_runs_once_it_is_resumed(
    database: Database,
) -> None:
    """Through either creator; neither processor claims it, though both claim others."""
    environ = {**HASTE, "TANDEM_QUEUES": "mail,other"}
    async with running_pair(database, handlers=HANDLERS, environ=environ) as pair:
        one, two = pair.processors
        before = await _echoes(pair, "mail")
        await one.PauseQueue(pb.PauseQueueRequest(queue="mail"))
        during, others = await _echoes(pair, "mail"), await _echoes(pair, "other")
        for task_id in others:
            await pair.finished(task_id)
        request = pb.BatchGetTasksRequest(task_ids=during)
        resting = (await two.BatchGetTasks(request)).tasks

        await two.ResumeQueue(pb.ResumeQueueRequest(queue="mail"))
        ended = [await pair.finished(task_id) for task_id in (*before, *during)]

    assert {task.status.state for task in resting} == {State.STATE_PENDING}
    assert {task.status.state for task in ended} == {State.STATE_SUCCEEDED}
    assert {task.status.claim for task in ended} == {1}


async def _echoes(pair: RunningPair, queue: str) -> list[str]:
    """Twenty new tasks, created by both creators."""
    requests = [
        a_request(request_id=a_new_id(), type="echo", queue=queue) for _ in range(20)
    ]
    answers = await asyncio.gather(
        *(pair.creators[n % 2].CreateTask(each) for n, each in enumerate(requests))
    )
    return [answer.task.task_id for answer in answers]


async def _staged(pair: RunningPair, gate: str) -> str:
    request = a_request(request_id=a_new_id(), type="staged", payload={"gate": gate})
    return str((await pair.creators[0].CreateTask(request)).task.task_id)
