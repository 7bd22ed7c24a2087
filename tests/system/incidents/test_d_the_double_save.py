"""Two endpoints saved one conversation, each by an insert of its own."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from uuid import UUID

import grpc
import pytest

from tandem.client import reason_of
from tandem.v1 import creator_pb2, creator_pb2_grpc, processor_pb2
from tests.support.content import result_of
from tests.support.creator import a_new_id, a_request
from tests.support.postgres_log import PostgresLog
from tests.support.proxy import running_proxy
from tests.support.rivals import rivals
from tests.support.running_pair import RunningPair

Outcome = creator_pb2.CreateTaskResponse

SESSION = "752b7035-446f-4d92-b4f4-23b3b2ae1066"

WINDOWS = 8

UNSERVED = "by-hand"
"""A queue of which no processor takes tasks: the test reports."""

STORED = """
SELECT t.task_id
FROM tandem.tasks AS t
WHERE t.project = $1
  AND t.external_id = $2
"""


def upload_audio(project: str) -> creator_pb2.CreateTaskRequest:
    """`/api/upload-audio`: transcribes, and saves."""
    return a_save(project, transcript="hello there", saved_by="upload-audio")


def save_analysis(project: str) -> creator_pb2.CreateTaskRequest:
    """`/api/save-analysis`: the page's second step, with a body of its own."""
    return a_save(
        project,
        transcript="hello there",
        analysis={"confidence": 0.9},
        saved_by="save-analysis",
    )


def a_save(project: str, **payload: object) -> creator_pb2.CreateTaskRequest:
    return a_request(
        project=project,
        type="conversation",
        external_id=SESSION,
        request_id=a_new_id(),
        payload=dict(payload),
    )


async def stored_ids(services: RunningPair, project: str) -> list[str]:
    async with services.database.admin() as admin:
        rows = await admin.fetch(STORED, project, SESSION)
    return [str(row["task_id"]) for row in rows]


@pytest.mark.parametrize("order", ["upload-first", "analysis-first"])
async def test_d1_two_endpoints_save_one_session_in_any_order(
    services: RunningPair, project: str, postgres_log: PostgresLog, order: str
) -> None:
    saves = [upload_audio(project), save_analysis(project)]
    if order == "analysis-first":
        saves.reverse()

    first = await services.creators[0].CreateTask(saves[0])
    second = await services.creators[1].CreateTask(saves[1])

    assert first.outcome == Outcome.OUTCOME_CREATED
    assert second.outcome == Outcome.OUTCOME_EXISTING
    assert "spec.payload.saved_by" in second.differing_fields
    assert second.task.spec == first.task.spec
    assert await stored_ids(services, project) == [first.task.task_id]
    assert postgres_log.errors() == []


async def test_d1_two_endpoints_save_one_session_at_the_same_time(
    services: RunningPair, project: str, postgres_log: PostgresLog
) -> None:
    answers = await asyncio.gather(
        services.creators[0].CreateTask(upload_audio(project)),
        services.creators[1].CreateTask(save_analysis(project)),
    )

    assert {answer.outcome for answer in answers} == {
        Outcome.OUTCOME_CREATED,
        Outcome.OUTCOME_EXISTING,
    }
    assert await stored_ids(services, project) == [answers[0].task.task_id]
    assert postgres_log.errors() == []


async def test_d1_a_save_called_again_by_accident_is_the_same_save(
    services: RunningPair, project: str
) -> None:
    save = save_analysis(project)

    first = await services.creators[0].CreateTask(save)
    await services.finished(first.task.task_id)
    again = await services.creators[1].CreateTask(save)

    assert again.outcome == Outcome.OUTCOME_REPLAYED
    assert again.task.status.HasField("finish_time")
    assert await stored_ids(services, project) == [first.task.task_id]


async def test_p3_a_save_repeated_with_another_body_is_refused_by_name(
    services: RunningPair, project: str
) -> None:
    save = upload_audio(project)
    first = await services.creators[0].CreateTask(save)
    save.spec.payload["transcript"] = "hello where"

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await services.creators[1].CreateTask(save)

    reason = reason_of(refused.value)
    stored = await services.processors[0].GetTask(
        processor_pb2.GetTaskRequest(task_id=first.task.task_id)
    )
    assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert reason is not None
    assert reason.reason == "REQUEST_ID_REUSED"
    assert [v.field for v in reason.violations] == ["spec.payload.transcript"]
    assert "hello where" not in reason.message
    assert stored.task.spec == first.task.spec


async def test_d2_a_save_that_never_arrived_is_made_by_the_second(
    services: RunningPair, project: str
) -> None:
    async with running_proxy(services.pair.creators[0].address) as path:
        path.cut()
        with pytest.raises(grpc.aio.AioRpcError) as lost:
            await call_through(path.address, upload_audio(project))

    second = await services.creators[1].CreateTask(save_analysis(project))

    assert lost.value.code() is grpc.StatusCode.UNAVAILABLE
    assert second.outcome == Outcome.OUTCOME_CREATED
    assert await stored_ids(services, project) == [second.task.task_id]


async def test_d2_a_save_whose_answer_was_lost_is_found_by_the_second(
    services: RunningPair, project: str
) -> None:
    upload = upload_audio(project)
    async with (
        running_proxy(services.pair.creators[0].address) as path,
        grpc.aio.insecure_channel(path.address) as channel,
    ):
        stub = creator_pb2_grpc.CreatorServiceStub(channel)
        # The connection stands before its answers are lost.
        await stub.CreateTask(a_request(project=f"{project}-other", type="email"))
        path.swallow_answers()
        first = stub.CreateTask(upload)
        await services.logs.first(
            event="call", method="CreateTask", request_id=upload.request_id
        )
        path.cut()
        with pytest.raises(grpc.aio.AioRpcError) as lost:
            await first

    second = await services.creators[1].CreateTask(save_analysis(project))
    repeated = await services.creators[1].CreateTask(upload)

    assert lost.value.code() is grpc.StatusCode.UNAVAILABLE
    assert second.outcome == Outcome.OUTCOME_EXISTING
    assert repeated.outcome == Outcome.OUTCOME_REPLAYED
    assert await stored_ids(services, project) == [second.task.task_id]


async def call_through(
    address: str, request: creator_pb2.CreateTaskRequest
) -> creator_pb2.CreateTaskResponse:
    options = [("grpc.enable_retries", 0)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        stub = creator_pb2_grpc.CreatorServiceStub(channel)
        return await stub.CreateTask(request, timeout=10)


async def test_d3_several_windows_save_one_session_at_once(
    services: RunningPair, project: str, postgres_log: PostgresLog
) -> None:
    saves = itertools.islice(
        itertools.cycle([upload_audio, save_analysis]), 2 * WINDOWS
    )

    answers = await asyncio.gather(
        *(
            services.creators[number % 2].CreateTask(save(project))
            for number, save in enumerate(saves)
        )
    )

    found = await services.processors[0].ListTasks(
        processor_pb2.ListTasksRequest(project=project)
    )
    assert Counter(answer.outcome for answer in answers) == {
        Outcome.OUTCOME_CREATED: 1,
        Outcome.OUTCOME_EXISTING: 2 * WINDOWS - 1,
    }
    assert [task.task_id for task in found.tasks] == [answers[0].task.task_id]
    assert postgres_log.errors() == []


async def test_d4_a_result_is_written_once_however_often_it_is_reported(
    services: RunningPair, project: str
) -> None:
    """The same again is accepted and changes nothing; another one is refused."""
    analysis = {"transcript": "hello there", "confidence": 0.9}
    another = {**analysis, "transcript": "hello where"}
    save = upload_audio(project)
    save.spec.queue = UNSERVED
    task_id = UUID((await services.creators[0].CreateTask(save)).task.task_id)
    async with rivals(services.database, 1, type_="conversation") as (processor,):
        claimed = await processor.claim(task_id)
        assert claimed is not None
        first = await processor.succeed(task_id, claim=1, result=analysis)
        kept = await services.finished(str(task_id))
        again = await processor.succeed(task_id, claim=1, result=analysis)
        other = await processor.succeed(task_id, claim=1, result=another)
        later = await processor.succeed(task_id, claim=2, result=another)

    stored = await services.processors[0].GetTask(
        processor_pb2.GetTaskRequest(task_id=str(task_id))
    )
    assert (first, again) == (None, None)
    assert [fault.reason for fault in (other, later) if fault] == [
        "RESULT_CONFLICT",
        "LEASE_LOST",
    ]
    assert stored.task == kept
    assert result_of(kept) == analysis
