"""A blog post's task was inserted by the endpoint, and once more by its processor."""

from __future__ import annotations

from uuid import uuid4

import grpc
import pytest

from tandem.states import TaskState
from tandem.v1 import creator_pb2, processor_pb2
from tests.support.cluster import Database
from tests.support.command import tandem
from tests.support.content import (
    HEALTHCARE,
    a_blog_post,
    content_of_type,
    result_of,
    stage_states,
    state_of,
)
from tests.support.content_handlers import CONTENT_TYPES, STAGES
from tests.support.creator import a_new_id
from tests.support.fake_creator import fake_creator
from tests.support.postgres_log import PostgresLog
from tests.support.running_pair import HANDLERS, RunningPair, only_processor

UNKNOWN = "no task has the announced id"

ROWS = """
SELECT t.task_id, t.xmin::text AS inserted_by, s.xmin::text AS changed_by
FROM tandem.tasks AS t
JOIN tandem.task_status AS s ON s.task_id = t.task_id
WHERE t.project = $1
"""


async def test_a1_a_blog_post_is_inserted_by_its_create_and_never_again(
    services: RunningPair, project: str
) -> None:
    created = await services.creators[0].CreateTask(a_blog_post(project))
    async with services.database.admin() as admin:
        [before] = await admin.fetch(ROWS, project)

    finished = await services.finished(created.task.task_id)

    async with services.database.admin() as admin:
        [after] = await admin.fetch(ROWS, project)
    assert created.outcome == creator_pb2.CreateTaskResponse.OUTCOME_CREATED
    assert state_of(finished) == TaskState.SUCCEEDED
    assert dict(finished.spec.payload) == HEALTHCARE
    assert after["inserted_by"] == before["inserted_by"]
    assert after["changed_by"] != after["inserted_by"]


async def test_a2_the_first_stage_verifies_that_the_task_exists_and_goes_on(
    services: RunningPair, project: str
) -> None:
    created = await services.creators[0].CreateTask(a_blog_post(project))

    finished = await services.finished(created.task.task_id)

    verified = finished.status.stages[0]
    assert verified.name == "verify"
    assert verified.result.struct_value["task_id"] == created.task.task_id
    assert verified.result.struct_value["state"] == TaskState.RUNNING
    assert state_of(finished) == TaskState.SUCCEEDED


async def test_a2_a_pipeline_of_a_task_that_does_not_exist_ends_at_its_first_stage(
    services: RunningPair, project: str
) -> None:
    nobodys = str(uuid4())
    request = a_blog_post(project, payload={"verify_task_id": nobodys})

    created = await services.creators[0].CreateTask(request)
    finished = await services.finished(created.task.task_id)

    assert state_of(finished) == TaskState.FAILED
    assert stage_states(finished) == {"verify": "FAILED"}
    assert finished.status.attempt == 1
    assert finished.status.error.reason == "DO_NOT_RETRY"
    assert nobodys in finished.status.error.message


async def test_a2_an_id_that_is_no_task_is_reported_counted_and_runs_nothing(
    database: Database,
) -> None:
    unknown = [str(uuid4()), str(uuid4())]
    async with (
        fake_creator(unknown) as (creator, address),
        only_processor(database, handlers=HANDLERS, creator_address=address) as logs,
    ):
        confirmed = await creator.confirmed()
        for task_id in unknown:
            await logs.first(event=UNKNOWN, task_id=task_id)

    async with database.admin() as admin:
        rows = await admin.fetchval("SELECT count(*) FROM tandem.tasks")
        claims = await admin.fetchval("SELECT count(*) FROM tandem.claim_batches")
    assert confirmed == set(unknown)
    assert len(logs.having(event=UNKNOWN)) == len(unknown)
    assert (rows, claims) == (0, 0)
    assert not logs.having(event="attempt")


async def test_a2_a_look_up_that_fails_is_no_answer_and_is_tried_again(
    services: RunningPair, project: str
) -> None:
    services.look_ups.cut()
    try:
        created = await services.creators[0].CreateTask(a_blog_post(project))
        failed = await services.seen(
            created.task.task_id, lambda task: task.status.HasField("error")
        )
    finally:
        services.look_ups.heal()
    finished = await services.finished(created.task.task_id)

    assert failed.status.error.reason == "HANDLER_ERROR"
    assert state_of(failed) in {TaskState.PENDING, TaskState.RUNNING}
    assert state_of(finished) == TaskState.SUCCEEDED
    assert finished.status.attempt > 1


async def test_a3_six_stages_run_to_their_end_and_show_their_results(
    services: RunningPair, project: str
) -> None:
    created = await services.creators[1].CreateTask(a_blog_post(project))

    finished = await services.finished(created.task.task_id)

    results = {stage.name: stage.result for stage in finished.status.stages}
    assert stage_states(finished) == dict.fromkeys(STAGES, "SUCCEEDED")
    assert list(results) == list(STAGES)
    assert "AI in Healthcare" in results["generate"].string_value
    assert "words short" in results["critique"].list_value.values[0].string_value
    assert results["publish"].string_value == f"/posts/{created.task.task_id}"
    assert result_of(finished)["address"] == results["publish"].string_value


@pytest.mark.parametrize("type_", CONTENT_TYPES[1:])
async def test_a4_other_types_go_the_same_way(
    services: RunningPair, project: str, type_: str
) -> None:
    created = await services.creators[0].CreateTask(content_of_type(type_, project))

    finished = await services.finished(created.task.task_id)

    assert state_of(finished) == TaskState.SUCCEEDED
    assert result_of(finished)["type"] == type_
    assert stage_states(finished) == dict.fromkeys(STAGES, "SUCCEEDED")


async def test_a5_one_request_id_leads_through_the_logs_and_nothing_is_inserted_twice(
    services: RunningPair, project: str, postgres_log: PostgresLog
) -> None:
    request = a_blog_post(project, request_id=a_new_id())
    created = await services.creators[0].CreateTask(request)
    again = await services.creators[1].CreateTask(request)
    await services.finished(created.task.task_id)

    ids = {"request_id": request.request_id, "task_id": created.task.task_id}
    attempt = await services.logs.first(event="attempt", **ids)
    calls = services.logs.having(event="call", method="CreateTask", **ids)
    stages = services.logs.having(event="stage", **ids)
    [own_words] = services.logs.having(event="published", **ids)
    assert again.outcome == creator_pb2.CreateTaskResponse.OUTCOME_REPLAYED
    assert sorted(line["made"] for line in calls) == ["CREATED", "REPLAYED"]
    assert [line["stage"] for line in stages] == list(STAGES)
    assert {line["service"] for line in calls} == {"creator"}
    assert {line["service"] for line in [*stages, attempt]} == {"processor"}
    assert attempt["outcome"] == TaskState.SUCCEEDED
    assert own_words["address"].endswith(created.task.task_id)
    assert "duplicate key" not in services.logs.text()
    assert postgres_log.errors() == []


async def test_a7_a_task_that_is_stuck_for_good_is_cancelled_and_pruned_without_sql(
    services: RunningPair, project: str
) -> None:
    """No processor works its queue: nothing but a cancel would ever end it."""
    request = a_blog_post(project, request_id=a_new_id())
    request.spec.queue = "abandoned"
    stuck = (await services.creators[0].CreateTask(request)).task
    get = processor_pb2.GetTaskRequest(task_id=stuck.task_id)
    before = await services.processors[0].GetTask(get)

    cancel = processor_pb2.CancelTaskRequest(task_id=stuck.task_id)
    await services.processors[0].CancelTask(cancel)
    cancelled = await services.finished(stuck.task_id)
    prune = ("prune", "--database-url", services.database.janitor_url)
    kept = await tandem(*prune)
    after = await services.processors[0].GetTask(get)
    pruned = await tandem(*prune, "--strip-after", "0", "--delete-after", "0")
    with pytest.raises(grpc.aio.AioRpcError) as gone:
        await services.processors[0].GetTask(get)
    made_again = await services.creators[0].CreateTask(request)

    assert state_of(before.task) == TaskState.PENDING
    assert state_of(cancelled) == state_of(after.task) == TaskState.CANCELLED
    assert (kept.code, pruned.code) == (0, 0), kept.err + pruned.err
    assert gone.value.code() is grpc.StatusCode.NOT_FOUND
    assert made_again.outcome == creator_pb2.CreateTaskResponse.OUTCOME_CREATED
    assert made_again.task.task_id != stuck.task_id


async def test_a_task_id_that_nobody_created_is_not_found(
    services: RunningPair,
) -> None:
    request = processor_pb2.GetTaskRequest(task_id=str(uuid4()))

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await services.processors[0].GetTask(request)

    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
