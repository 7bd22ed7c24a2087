"""A video's task was answered with an id, and then was not in its user's list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest

from tandem.postgres.connect import connected
from tandem.states import TaskState
from tandem.v1 import creator_pb2, processor_pb2, task_pb2
from tests.support.cluster import Database
from tests.support.content import result_of, state_of
from tests.support.creator import a_request
from tests.support.gates import Gate, let_pass, standing_gate
from tests.support.keys import a_key, bearer, refused_keys
from tests.support.rivals import rivals
from tests.support.running_pair import (
    HANDLERS,
    HASTE,
    RunningPair,
    running_pair,
)
from tests.support.scrapes import scrape_of
from tests.support.until import until

USER = "d9a911ab-10b4-4b11-af2f-4c2e4077100d"

ANIMATION = {
    "image_url": "https://example.com/image.jpg",
    "video_url": "https://example.com/video.mp4",
    "mode": "wan-std",
}

NAMES = ("stale", "first", "second")

UNSERVED = "videos"
"""A queue of which no processor takes tasks, so that they stay PENDING."""


def an_animation(
    project: str,
    *,
    queue: str = UNSERVED,
    user: str = USER,
    gate: str = "",
    mode: str = "wan-std",
) -> creator_pb2.CreateTaskRequest:
    """`POST /api/videos/animate-move` of the report."""
    return a_request(
        project=project,
        type="animate-move",
        queue=queue,
        labels={"user": user},
        payload={**ANIMATION, "gate": gate, "mode": mode},
    )


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    async with standing_gate() as standing:
        yield standing


async def list_page(
    services: RunningPair, request: processor_pb2.ListTasksRequest, *, of: int = 0
) -> processor_pb2.ListTasksResponse:
    return await services.processors[of].ListTasks(request)


async def test_c1_a_task_is_in_every_list_the_moment_its_create_answers(
    services: RunningPair, project: str
) -> None:
    for number in range(10):
        created = await services.creators[number % 2].CreateTask(an_animation(project))
        task_id = created.task.task_id
        for processor in services.processors:
            got = await processor.GetTask(processor_pb2.GetTaskRequest(task_id=task_id))
            listed = await processor.ListTasks(
                processor_pb2.ListTasksRequest(
                    project=project, labels={"user": USER}, include_total=True
                )
            )
            assert state_of(got.task) == TaskState.PENDING
            assert listed.tasks[0].task_id == task_id
            assert state_of(listed.tasks[0]) == TaskState.PENDING
            assert listed.total_size == number + 1


async def test_c1_a_task_of_a_busy_pair_is_in_the_list_whatever_it_has_come_to(
    services: RunningPair, project: str
) -> None:
    async def create_and_look(number: int) -> None:
        request = a_request(project=project, type="conversation")
        created = await services.creators[number % 2].CreateTask(request)
        found = await services.processors[(number + 1) % 2].BatchGetTasks(
            processor_pb2.BatchGetTasksRequest(task_ids=[created.task.task_id])
        )
        assert not found.missing_task_ids

    await asyncio.gather(*(create_and_look(number) for number in range(50)))


async def test_c2_a_users_tasks_are_listed_in_pages_newest_first(
    services: RunningPair, project: str
) -> None:
    mine = [
        (await services.creators[n % 2].CreateTask(an_animation(project))).task.task_id
        for n in range(25)
    ]
    for _ in range(3):
        await services.creators[0].CreateTask(an_animation(project, user="another"))

    request = processor_pb2.ListTasksRequest(
        project=project, labels={"user": USER}, page_size=10, include_total=True
    )
    pages = [await list_page(services, request)]
    while token := pages[-1].next_page_token:
        request.page_token = token
        # The next page comes from whichever process answers.
        pages.append(await list_page(services, request, of=len(pages) % 2))

    assert [len(page.tasks) for page in pages] == [10, 10, 5]
    assert [task.task_id for page in pages for task in page.tasks] == mine[::-1]
    assert {page.total_size for page in pages} == {25}


async def test_c3_a_task_is_pending_then_running_then_succeeded_with_its_times(
    services: RunningPair, project: str, gate: Gate
) -> None:
    request = an_animation(project, queue="default", gate=gate.address)

    created = (await services.creators[0].CreateTask(request)).task
    handler = await gate.reached()
    running = await services.seen(
        created.task_id, lambda task: task.status.progress > 0
    )
    let_pass(handler)
    finished = await services.finished(created.task_id)

    assert state_of(created) == TaskState.PENDING
    assert not created.status.HasField("start_time")
    assert state_of(running) == TaskState.RUNNING
    assert running.status.progress == 0.5
    assert not running.status.HasField("finish_time")
    assert state_of(finished) == TaskState.SUCCEEDED
    assert finished.status.progress == 1
    assert result_of(finished)["result_url"].endswith(f"{created.task_id}.mp4")
    assert_in_order(finished)


async def test_c3_a_task_that_fails_says_why(
    services: RunningPair, project: str, gate: Gate
) -> None:
    request = an_animation(project, queue="default", gate=gate.address, mode="wan-pro")

    created = (await services.creators[0].CreateTask(request)).task
    let_pass(await gate.reached())
    finished = await services.finished(created.task_id)

    assert state_of(finished) == TaskState.FAILED
    assert finished.status.error.reason == "HANDLER_ERROR"
    assert finished.status.error.message.endswith("has no mode wan-pro")
    assert not finished.status.HasField("result")
    assert_in_order(finished)


async def test_c3_a_task_that_nobody_has_begun_has_no_start_time(
    services: RunningPair, project: str
) -> None:
    created = (await services.creators[0].CreateTask(an_animation(project))).task

    got = await services.processors[0].GetTask(
        processor_pb2.GetTaskRequest(task_id=created.task_id)
    )

    assert got.task.HasField("create_time")
    assert not got.task.status.HasField("start_time")
    assert not got.task.status.HasField("finish_time")
    assert got.task.status.attempt == 0


async def test_c5_two_processors_and_a_stale_one_race_and_one_wins(
    services: RunningPair, project: str
) -> None:
    created = (await services.creators[0].CreateTask(an_animation(project))).task
    task_id = UUID(created.task_id)
    async with rivals(services.database, 3, type_="animate-move") as joined:
        stale, *living = joined
        first = await stale.claim(task_id)
        await stale.die(services.database)
        second = await asyncio.gather(*(rival.claim(task_id) for rival in living))
        verdicts = await asyncio.gather(
            *(
                rival.succeed(task_id, claim=claim, result={"from": name})
                for rival, claim, name in zip(joined, (1, 2, 2), NAMES, strict=True)
            )
        )
    finished = await services.finished(created.task_id)

    assert first is not None
    assert [claimed.claim for claimed in second if claimed] == [2]
    winner = "first" if second[0] else "second"
    told = {name: v.reason for name, v in zip(NAMES, verdicts, strict=True) if v}
    assert told == {name: "LEASE_LOST" for name in NAMES if name != winner}
    assert state_of(finished) == TaskState.SUCCEEDED
    assert result_of(finished) == {"from": winner}
    assert finished.status.claim == 2


async def test_c8_the_monitoring_questions_are_answered_without_sql(
    services: RunningPair, project: str, gate: Gate
) -> None:
    await services.creators[0].CreateTask(an_animation(project))
    old = (await services.creators[0].CreateTask(an_animation(project))).task.task_id
    for mode in ("wan-std", "wan-pro"):
        request = an_animation(project, queue="default", gate=gate.address, mode=mode)
        created = (await services.creators[0].CreateTask(request)).task
        let_pass(await gate.reached())
        await services.finished(created.task_id)
    await age(services, old, "6 minutes")

    stats = await services.processors[0].GetStats(
        processor_pb2.GetStatsRequest(project=project, days=2)
    )

    # Two days, since midnight may come in between.
    for count in ("created", "succeeded", "failed"):
        total = sum(getattr(day, count) for day in stats.days)
        assert total == {"created": 4}.get(count, 1)
    [pending] = [
        q for q in stats.queues if q.state == task_pb2.TaskStatus.STATE_PENDING
    ]
    assert (pending.queue, pending.count) == (UNSERVED, 2)
    assert pending.waiting_over_five_minutes == 1
    assert timedelta(minutes=6) <= pending.oldest_age.ToTimedelta()
    assert {each.group: each.lag for each in stats.groups}["processors"] == 2
    assert len([each for each in stats.processors if not each.dead]) >= 2


async def test_c8_prometheus_is_told_of_slow_creates_and_of_tasks_that_wait(
    services: RunningPair, project: str
) -> None:
    request = an_animation(project)
    old = (await services.creators[0].CreateTask(request)).task.task_id
    await age(services, old, "6 minutes")

    creator = await scrape_of(services.logs, "creator-1")
    waiting = await until(lambda: _overdue(services))

    buckets = creator.by(
        "tandem_rpc_duration_seconds_bucket", "le", method="CreateTask"
    )
    limits = sorted(buckets, key=float)
    counts = [buckets[limit] for limit in limits]
    assert {"0.001", "0.2", "10.0", "+Inf"} <= set(limits)
    assert counts == sorted(counts)
    rpcs = {"method": "CreateTask"}
    assert counts[-1] == creator.total("tandem_rpcs_total", **rpcs) >= 1
    assert creator.total("tandem_rpc_duration_seconds_sum", **rpcs) > 0
    assert waiting >= 1


async def _overdue(services: RunningPair) -> float:
    """Those of the queue that have waited over five minutes, by a count that is not old."""
    scraped = await scrape_of(services.logs, "processor-1")
    return scraped.total("tandem_tasks_overdue", queue=UNSERVED)


async def age(services: RunningPair, task_id: str, by: str) -> None:
    """As if it had been created so much earlier."""
    async with connected(
        services.database.owner_url, application_name="tandem-tests"
    ) as owner:
        await owner.execute(
            "UPDATE tandem.tasks SET create_time = create_time - $2::text::interval"
            " WHERE task_id = $1",
            UUID(task_id),
            by,
        )


async def test_c6_a_task_whose_processor_is_killed_is_run_again_and_finishes(
    database: Database, gate: Gate
) -> None:
    """It does not stay RUNNING, whoever asks and whatever the killed one held."""
    async with running_pair(database, handlers=HANDLERS, environ=HASTE) as pair:
        request = an_animation("p-killed", queue="default", gate=gate.address)
        # The crash spends the attempt that it ends.
        request.spec.retry_policy.max_attempts = 2
        created = (await pair.creators[0].CreateTask(request)).task
        await gate.reached()
        killed, at = await pair.holder(created.task_id)

        await pair.pair.processors[killed].kill()
        let_pass(await gate.reached())
        finished = await pair.finished(created.task_id, at=at)

    assert state_of(finished) == TaskState.SUCCEEDED
    assert (finished.status.claim, finished.status.attempt) == (2, 2)
    assert finished.status.error.reason == "CRASHED"
    assert result_of(finished)["result_url"].endswith(f"{created.task_id}.mp4")


async def test_c10_without_a_valid_key_every_answer_is_the_same_refusal(
    database: Database,
) -> None:
    """It says nothing of what exists, and neither does the log say the secret."""
    environ = {**HASTE, "TANDEM_AUTH": "key"}
    wrong = await refused_keys(database)
    key = bearer(await a_key(database, "create:p-locked", "read:p-locked"))
    stranger = bearer(await a_key(database, "create:p-other", "read:p-other"))
    async with running_pair(
        database, handlers=HANDLERS, environ=environ, creators=1, processors=1
    ) as pair:
        request = an_animation("p-locked")
        created = await pair.creators[0].CreateTask(request, metadata=key)
        ids = (created.task.task_id, str(uuid4()))
        get = partial(processor_pb2.GetTaskRequest, view=task_pb2.TASK_VIEW_FULL)
        for shown in wrong.values():
            told = {
                *[
                    await words_of(
                        pair.creators[0].CreateTask(request, metadata=shown)
                    ),
                    *[
                        await words_of(
                            pair.processors[0].GetTask(get(task_id=i), metadata=shown)
                        )
                        for i in ids
                    ],
                ]
            }
            assert len(told) == 1
            assert told.pop().startswith("UNAUTHENTICATED: ")
        for task_id in ids:
            asked = pair.processors[0].GetTask(get(task_id=task_id), metadata=stranger)
            assert await words_of(asked) == "TASK_NOT_FOUND: no task has this id"
        ours = await pair.processors[0].GetTask(get(task_id=ids[0]), metadata=key)
        lines = "".join(each.text for each in pair.logs.written)

    assert ours.task.task_id == ids[0]
    secrets = {text.split()[-1] for shown in wrong.values() for _, text in shown}
    assert not [secret for secret in secrets if secret in lines]


async def words_of(call: Any) -> str:
    """What a call is refused with."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.details() or ""


def assert_in_order(task: task_pb2.Task) -> None:
    times = [
        task.create_time,
        task.status.start_time,
        task.status.finish_time,
        task.status.update_time,
    ]
    nanoseconds = [time.ToNanoseconds() for time in times]
    assert nanoseconds == sorted(nanoseconds)
    assert nanoseconds[0] > 0
