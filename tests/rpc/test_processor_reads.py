from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import grpc
import pytest

from tandem.v1 import processor_pb2 as pb
from tandem.v1 import task_pb2
from tandem_processor import reports
from tests.factories import Sketch, create_many, create_task, create_tasks
from tests.support.processor import fields_refused, only_serving, refused
from tests.support.processors import join, outcome, run_task

if TYPE_CHECKING:
    from tandem.v1.processor_pb2_grpc import ProcessorServiceAsyncStub

State = task_pb2.TaskStatus


@pytest.fixture
async def stub(
    processor_pool: asyncpg.Pool,
) -> AsyncIterator[ProcessorServiceAsyncStub]:
    async with only_serving(processor_pool) as serving:
        yield serving


async def test_p2_a_created_task_is_got_and_listed_at_once(
    stub: ProcessorServiceAsyncStub, creator_pool: asyncpg.Pool
) -> None:
    task_id = await create_task(creator_pool, payload={"n": 1}, labels={"user": "7"})

    got = (await stub.GetTask(pb.GetTaskRequest(task_id=str(task_id)))).task
    listed = (await stub.ListTasks(pb.ListTasksRequest(project="acme"))).tasks

    assert got.status.state == State.STATE_PENDING
    assert dict(got.spec.payload) == {"n": 1}
    assert not got.status.HasField("start_time")
    assert [task.task_id for task in listed] == [str(task_id)]
    assert not listed[0].spec.HasField("payload")
    assert dict(listed[0].spec.labels) == {"user": "7"}


async def test_an_id_that_is_not_there_is_not_found(
    stub: ProcessorServiceAsyncStub,
) -> None:
    code, reason = await refused(stub.GetTask(pb.GetTaskRequest(task_id=str(uuid4()))))

    assert (code, reason.reason) == (grpc.StatusCode.NOT_FOUND, "TASK_NOT_FOUND")


async def test_the_view_decides_what_is_shown(
    stub: ProcessorServiceAsyncStub,
    creator_pool: asyncpg.Pool,
    processor_pool: asyncpg.Pool,
) -> None:
    me = await join(processor_pool)
    claimed = await run_task(creator_pool, processor_pool, me, payload={"n": 1})
    await reports.report(processor_pool, me, [outcome(claimed, result='{"r":2}')])
    full = pb.GetTaskRequest(task_id=str(claimed.task_id))
    basic = pb.GetTaskRequest(
        task_id=str(claimed.task_id), view=task_pb2.TASK_VIEW_BASIC
    )

    whole, part = (await stub.GetTask(full)).task, (await stub.GetTask(basic)).task

    assert dict(whole.status.result) == {"r": 2}
    assert not part.status.HasField("result")
    assert not part.spec.HasField("payload")
    assert part.status.HasField("finish_time")


async def test_a_batch_is_answered_in_its_order_and_names_what_is_missing(
    stub: ProcessorServiceAsyncStub, creator_pool: asyncpg.Pool
) -> None:
    tasks = [str(task_id) for task_id in await create_many(creator_pool, 150)]
    missing = str(uuid4())
    asked = [*reversed(tasks), missing]

    response = await stub.BatchGetTasks(pb.BatchGetTasksRequest(task_ids=asked))

    assert [task.task_id for task in response.tasks] == tasks[::-1]
    assert list(response.missing_task_ids) == [missing]


async def test_a_batch_that_would_exceed_a_message_is_refused(
    stub: ProcessorServiceAsyncStub, creator_pool: asyncpg.Pool
) -> None:
    large = {"text": "x" * 60_000}
    tasks = await create_many(creator_pool, 80, payload=large)
    request = pb.BatchGetTasksRequest(
        task_ids=map(str, tasks), view=task_pb2.TASK_VIEW_FULL
    )

    assert await fields_refused(stub.BatchGetTasks(request)) == ["task_ids"]


@pytest.mark.parametrize(
    ("method", "request_", "fields"),
    [
        ("GetTask", pb.GetTaskRequest(), ["task_id"]),
        ("GetTask", pb.GetTaskRequest(task_id="7", view=9), ["task_id", "view"]),  # type: ignore[arg-type]
        ("BatchGetTasks", pb.BatchGetTasksRequest(), ["task_ids"]),
        (
            "BatchGetTasks",
            pb.BatchGetTasksRequest(task_ids=["x", str(uuid4()), ""]),
            ["task_ids[0]", "task_ids[2]"],
        ),
        (
            "BatchGetTasks",
            pb.BatchGetTasksRequest(task_ids=[str(uuid4())] * 1001),
            ["task_ids"],
        ),
        (
            "ListTasks",
            pb.ListTasksRequest(
                project="no good",
                states=[0, 99],  # type: ignore[list-item]
                types=["ok", "-"],
                queues=["\0"],
                labels={"bad key": "v", "ok": "\0"},
                external_id_prefix="x" * 256,
                page_size=-1,
                page_token="junk",
            ),
            [
                "external_id_prefix",
                'labels["bad key"]',
                'labels["ok"]',
                "page_size",
                "page_token",
                "project",
                "queues[0]",
                "states[0]",
                "states[1]",
                "types[1]",
            ],
        ),
    ],
)
async def test_p10_every_bad_field_is_named(
    stub: ProcessorServiceAsyncStub, method: str, request_: Any, fields: list[str]
) -> None:
    assert await fields_refused(getattr(stub, method)(request_)) == fields


async def test_p10_a_watch_of_no_uuid_is_refused(
    stub: ProcessorServiceAsyncStub,
) -> None:
    call = stub.WatchTask(pb.WatchTaskRequest(task_id="7"))

    assert await fields_refused(call.read()) == ["task_id"]


async def listed(stub: ProcessorServiceAsyncStub, **filters: Any) -> list[str]:
    """The titles of all pages, two tasks a page."""
    titles: list[str] = []
    request = pb.ListTasksRequest(project="acme", page_size=2, **filters)
    while True:
        response = await stub.ListTasks(request)
        assert len(response.tasks) <= 2
        titles += [task.spec.title for task in response.tasks]
        if not response.next_page_token:
            return titles
        request.page_token = response.next_page_token


async def test_pages_are_newest_first_and_neither_leave_out_nor_repeat(
    stub: ProcessorServiceAsyncStub, creator_pool: asyncpg.Pool
) -> None:
    """Also where many tasks were created in the same instant."""
    sketches = [Sketch(title=f"t{number}") for number in range(5)]
    await create_tasks(creator_pool, sketches)
    await create_task(creator_pool, title="newest")
    await create_task(creator_pool, title="another's", project="other")

    titles = await listed(stub)

    assert titles[0] == "newest"
    assert sorted(titles[1:]) == ["t0", "t1", "t2", "t3", "t4"]


async def test_a_task_created_meanwhile_is_not_seen_by_later_pages(
    stub: ProcessorServiceAsyncStub, creator_pool: asyncpg.Pool
) -> None:
    for number in range(3):
        await create_task(creator_pool, title=f"t{number}")
    request = pb.ListTasksRequest(project="acme", page_size=1)
    first = await stub.ListTasks(request)
    await create_task(creator_pool, title="late")

    request.page_token, request.page_size = first.next_page_token, 10
    second = await stub.ListTasks(request)

    assert [task.spec.title for task in second.tasks] == ["t1", "t0"]
    assert second.next_page_token == ""


@pytest.mark.parametrize(
    ("filters", "titles"),
    [
        ({"types": ["email"]}, ["b"]),
        ({"types": ["email", "echo"]}, ["c", "b", "a"]),
        ({"queues": ["fast"]}, ["c"]),
        ({"labels": {"user": "7"}}, ["b", "a"]),
        ({"labels": {"user": "7", "kind": "x"}}, ["b"]),
        ({"external_id_prefix": "wf-1:"}, ["b", "a"]),
        ({"external_id_prefix": "wf_"}, []),
        ({"states": [State.STATE_PENDING, State.STATE_FAILED]}, ["c", "b", "a"]),
        ({"states": [State.STATE_FAILED]}, []),
        ({"types": ["echo"], "labels": {"user": "7"}}, ["a"]),
    ],
)
async def test_filters_must_all_hold(
    stub: ProcessorServiceAsyncStub,
    creator_pool: asyncpg.Pool,
    filters: dict[str, Any],
    titles: list[str],
) -> None:
    await create_task(
        creator_pool, title="a", labels={"user": "7"}, external_id="wf-1:1"
    )
    await create_task(
        creator_pool,
        title="b",
        type="email",
        labels={"user": "7", "kind": "x"},
        external_id="wf-1:2",
    )
    await create_task(creator_pool, title="c", queue="fast", external_id="wf-12:1")

    assert await listed(stub, **filters) == titles


async def test_a_time_range_takes_its_first_moment_and_leaves_its_last(
    stub: ProcessorServiceAsyncStub, creator_pool: asyncpg.Pool
) -> None:
    for title in "abc":
        await create_task(creator_pool, title=title)
    page = await stub.ListTasks(pb.ListTasksRequest(project="acme"))
    times = {task.spec.title: task.create_time for task in page.tasks}

    titles = await listed(stub, create_time_from=times["a"], create_time_to=times["c"])

    assert titles == ["b", "a"]


async def test_a_token_with_other_filters_is_refused(
    stub: ProcessorServiceAsyncStub, creator_pool: asyncpg.Pool
) -> None:
    await create_many(creator_pool, 2)
    first = await stub.ListTasks(pb.ListTasksRequest(project="acme", page_size=1))
    token = first.next_page_token
    other = pb.ListTasksRequest(project="acme", types=["echo"], page_token=token)
    same = pb.ListTasksRequest(
        project="acme", page_token=token, view=task_pb2.TASK_VIEW_FULL
    )

    assert await fields_refused(stub.ListTasks(other)) == ["page_token"]
    assert len((await stub.ListTasks(same)).tasks) == 1


async def test_the_total_is_exact_and_given_only_if_asked(
    stub: ProcessorServiceAsyncStub, creator_pool: asyncpg.Pool
) -> None:
    await create_many(creator_pool, 7)
    asked = pb.ListTasksRequest(project="acme", page_size=2, include_total=True)
    unasked = pb.ListTasksRequest(project="acme", page_size=2)

    with_total, without = await stub.ListTasks(asked), await stub.ListTasks(unasked)

    assert (with_total.total_size, with_total.total_size_capped) == (7, False)
    assert not without.HasField("total_size")


async def test_the_total_stops_at_ten_thousand(
    stub: ProcessorServiceAsyncStub, creator_pool: asyncpg.Pool
) -> None:
    await create_many(creator_pool, 10_001)

    response = await stub.ListTasks(
        pb.ListTasksRequest(project="acme", page_size=1, include_total=True)
    )

    assert (response.total_size, response.total_size_capped) == (10_000, True)


async def test_a_page_of_large_tasks_ends_early_and_goes_on_with_its_token(
    stub: ProcessorServiceAsyncStub, creator_pool: asyncpg.Pool
) -> None:
    large = {"text": "x" * 60_000}
    task_ids = {str(t) for t in await create_many(creator_pool, 80, payload=large)}
    request = pb.ListTasksRequest(
        project="acme", page_size=1000, view=task_pb2.TASK_VIEW_FULL
    )

    first = await stub.ListTasks(request)
    request.page_token = first.next_page_token
    second = await stub.ListTasks(request)

    assert 3_000_000 < first.ByteSize() < 3 * 1024 * 1024 + 1024
    seen = [task.task_id for task in (*first.tasks, *second.tasks)]
    assert (len(seen), set(seen)) == (80, task_ids)
    assert second.next_page_token == ""
