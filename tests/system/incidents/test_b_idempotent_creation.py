"""A workflow that ran again created its tasks again; a race for one id was an error 500."""

from __future__ import annotations

import asyncio
from collections import Counter

import grpc
import pytest

from tandem.v1 import creator_pb2, processor_pb2, task_pb2
from tests.support.creator import a_new_id, a_request, reason_of
from tests.support.postgres_log import PostgresLog
from tests.support.running_pair import RunningPair

Outcome = creator_pb2.CreateTaskResponse

STEP = "wf-123:create_tasks:0"

COUNT = "SELECT count(*) FROM tandem.tasks AS t WHERE t.project = $1"

RACERS = 64


def a_step(
    project: str,
    *,
    external_id: str = "",
    title: str = "Fix bug",
    priority: task_pb2.Priority.ValueType = task_pb2.PRIORITY_NORMAL,
    request_id: str = "",
) -> creator_pb2.CreateTaskRequest:
    """`POST /projects/1/tasks` of the report."""
    return a_request(
        project=project,
        type="workflow_step",
        external_id=external_id,
        priority=priority,
        request_id=request_id,
        payload={"title": title, "status": "open", "priority_score": 1500},
    )


async def rows_of(services: RunningPair, project: str) -> int:
    async with services.database.admin() as admin:
        count: int = await admin.fetchval(COUNT, project)
    return count


async def test_b1_the_first_create_makes_it_and_the_others_find_it(
    services: RunningPair, project: str
) -> None:
    request = a_step(project, external_id=STEP)

    answers = [await services.creators[n % 2].CreateTask(request) for n in range(3)]

    assert [answer.outcome for answer in answers] == [
        Outcome.OUTCOME_CREATED,
        Outcome.OUTCOME_EXISTING,
        Outcome.OUTCOME_EXISTING,
    ]
    assert len({answer.task.task_id for answer in answers}) == 1
    assert answers[1].existing_reason == creator_pb2.EXISTING_REASON_EXTERNAL_ID
    assert not answers[1].differing_fields
    assert await rows_of(services, project) == 1


async def test_b2_without_ids_two_creates_make_two_tasks(
    services: RunningPair, project: str
) -> None:
    answers = [await services.creators[0].CreateTask(a_step(project)) for _ in range(2)]

    assert {answer.outcome for answer in answers} == {Outcome.OUTCOME_CREATED}
    assert len({answer.task.task_id for answer in answers}) == 2
    assert len({answer.request_id for answer in answers}) == 2


async def test_b3_different_external_ids_make_different_tasks(
    services: RunningPair, project: str
) -> None:
    steps = [f"wf-123:create_tasks:{number}" for number in range(2)]

    answers = [
        await services.creators[0].CreateTask(a_step(project, external_id=step))
        for step in steps
    ]

    assert {answer.outcome for answer in answers} == {Outcome.OUTCOME_CREATED}
    assert [answer.task.spec.external_id for answer in answers] == steps
    assert await rows_of(services, project) == 2


async def test_b4_the_original_comes_back_unchanged_and_what_differs_is_named(
    services: RunningPair, project: str
) -> None:
    original = await services.creators[0].CreateTask(a_step(project, external_id=STEP))
    changed = a_step(
        project,
        external_id=STEP,
        title="Fix bug (retry)",
        priority=task_pb2.PRIORITY_HIGH,
    )

    duplicate = await services.creators[1].CreateTask(changed)

    stored = await services.processors[0].GetTask(
        processor_pb2.GetTaskRequest(task_id=original.task.task_id)
    )
    assert duplicate.outcome == Outcome.OUTCOME_EXISTING
    assert sorted(duplicate.differing_fields) == ["spec.payload.title", "spec.priority"]
    assert duplicate.task.spec == original.task.spec
    assert stored.task.spec == original.task.spec
    assert stored.task.spec.payload["title"] == "Fix bug"


def a_workflow(
    project: str, numbers: range, *, title: str = "Fix bug"
) -> creator_pb2.BatchCreateTasksRequest:
    """`POST /tasks/bulk` of the report."""
    return creator_pb2.BatchCreateTasksRequest(
        requests=[
            a_step(project, external_id=f"wf-123:create_tasks:{n}", title=title)
            for n in numbers
        ]
    )


def summary_of(answer: creator_pb2.BatchCreateTasksResponse) -> tuple[int, ...]:
    summary = answer.summary
    return (summary.requested, summary.created, summary.existing)


async def test_b5_a_workflow_that_runs_again_creates_nothing(
    services: RunningPair, project: str
) -> None:
    first = await services.creators[0].BatchCreateTasks(a_workflow(project, range(5)))
    again = a_workflow(project, range(5), title="Fix bug (again)")

    second = await services.creators[1].BatchCreateTasks(again)

    assert summary_of(first) == (5, 5, 0)
    assert summary_of(second) == (5, 0, 5)
    for before, after in zip(first.results, second.results, strict=True):
        assert after.outcome == Outcome.OUTCOME_EXISTING
        assert after.existing_reason == creator_pb2.EXISTING_REASON_EXTERNAL_ID
        assert after.task.task_id == before.task.task_id
        assert list(after.differing_fields) == ["spec.payload.title"]
    assert await rows_of(services, project) == 5


async def test_b5_a_mix_of_new_and_old_and_unnamed_is_answered_in_order(
    services: RunningPair, project: str
) -> None:
    first = await services.creators[0].BatchCreateTasks(a_workflow(project, range(2)))
    mix = a_workflow(project, range(1, 3))
    mix.requests.extend([a_step(project), a_step(project)])

    answer = await services.creators[1].BatchCreateTasks(mix)

    assert [result.outcome for result in answer.results] == [
        Outcome.OUTCOME_EXISTING,
        Outcome.OUTCOME_CREATED,
        Outcome.OUTCOME_CREATED,
        Outcome.OUTCOME_CREATED,
    ]
    assert answer.results[0].task.task_id == first.results[1].task.task_id
    assert summary_of(answer) == (4, 3, 1)
    assert await rows_of(services, project) == 5


async def test_b5_the_same_external_id_twice_in_one_batch_is_one_task(
    services: RunningPair, project: str
) -> None:
    batch = a_workflow(project, range(1))
    batch.requests.extend(a_workflow(project, range(1), title="twice").requests)

    answer = await services.creators[0].BatchCreateTasks(batch)

    original, duplicate = answer.results
    assert summary_of(answer) == (2, 1, 1)
    assert duplicate.outcome == Outcome.OUTCOME_EXISTING
    assert duplicate.task.task_id == original.task.task_id
    assert list(duplicate.differing_fields) == ["spec.payload.title"]
    assert await rows_of(services, project) == 1


async def test_b6_one_invalid_request_writes_nothing_and_every_bad_one_is_named(
    services: RunningPair, project: str
) -> None:
    batch = a_workflow(project, range(5))
    batch.requests[1].spec.type = ""
    batch.requests[4].spec.external_id = "x" * 256
    batch.requests[4].spec.queue = "no such form"

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await services.creators[0].BatchCreateTasks(batch)

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert set(reason_of(caught.value).fields) == {
        "requests[1].spec.type",
        "requests[4].spec.external_id",
        "requests[4].spec.queue",
    }
    assert await rows_of(services, project) == 0


async def test_b7_one_external_id_in_two_projects_makes_two_tasks(
    services: RunningPair, project: str
) -> None:
    projects = [f"{project}-1", f"{project}-2"]

    answers = [
        await services.creators[0].CreateTask(a_step(each, external_id=STEP))
        for each in projects
    ]

    assert {answer.outcome for answer in answers} == {Outcome.OUTCOME_CREATED}
    assert len({answer.task.task_id for answer in answers}) == 2


@pytest.mark.parametrize("request_ids", ["own", "none"])
async def test_b8_sixty_four_racing_creates_of_one_external_id_leave_one_row_and_no_error(
    services: RunningPair, project: str, postgres_log: PostgresLog, request_ids: str
) -> None:
    requests = [
        a_step(
            project,
            external_id=STEP,
            title=f"Fix bug, says caller {number}",
            request_id=a_new_id() if request_ids == "own" else "",
        )
        for number in range(RACERS)
    ]

    answers = await asyncio.gather(
        *(
            services.creators[number % 2].CreateTask(request)
            for number, request in enumerate(requests)
        )
    )

    assert Counter(answer.outcome for answer in answers) == {
        Outcome.OUTCOME_CREATED: 1,
        Outcome.OUTCOME_EXISTING: RACERS - 1,
    }
    assert len({answer.task.task_id for answer in answers}) == 1
    assert await rows_of(services, project) == 1
    assert postgres_log.errors() == []


async def test_b10_a_list_by_prefix_shows_what_a_workflow_made(
    services: RunningPair, project: str
) -> None:
    made = await services.creators[0].BatchCreateTasks(a_workflow(project, range(3)))
    await services.creators[1].CreateTask(
        a_step(project, external_id="wf-1234:create_tasks:0")
    )
    await services.creators[1].CreateTask(a_step(f"{project}-2", external_id=STEP))
    await services.creators[1].CreateTask(a_step(project))

    listed = await services.processors[0].ListTasks(
        processor_pb2.ListTasksRequest(
            project=project, external_id_prefix="wf-123:", include_total=True
        )
    )

    newest_first = [result.task.task_id for result in reversed(made.results)]
    assert [task.task_id for task in listed.tasks] == newest_first
    assert listed.total_size == 3


async def test_b11_numbers_that_would_compare_equal_are_refused_by_path(
    services: RunningPair, project: str
) -> None:
    """On the wire both are the same double, and one of them is a lie."""
    request = a_step(project, external_id=STEP)
    for number in (9007199254740992, 9007199254740993, -9007199254740992):
        request.spec.payload["sizes"] = [number]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await services.creators[0].CreateTask(request)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert reason_of(caught.value).fields == ["spec.payload.sizes[0]"]

    request.spec.payload["sizes"] = [9007199254740991]
    answer = await services.creators[0].CreateTask(request)

    assert answer.outcome == Outcome.OUTCOME_CREATED
    assert answer.task.spec.payload == request.spec.payload
    assert await rows_of(services, project) == 1
