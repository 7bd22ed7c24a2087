"""A worker and a web application created one project, at the same moment."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import asyncpg
import grpc
import pytest

from tandem.pair import ANY_PORT
from tandem.postgres.roles import CREATOR
from tandem.processes import Service, ServiceProcess
from tandem.states import TaskState
from tandem.v1 import creator_pb2
from tests.support.cluster import Database
from tests.support.content import result_of, state_of
from tests.support.content_handlers import INSERT_TASK
from tests.support.crashing_creator import (
    Record,
    calling,
    create_until_killed,
    creators_of,
    one_more,
)
from tests.support.creator import a_new_id, a_request
from tests.support.postgres_log import PostgresLog
from tests.support.running_pair import RunningPair
from tests.support.scrapes import ANY_PORT as METRICS_ANYWHERE
from tests.support.scrapes import scrape_of
from tests.support.service_logs import ServiceLogs
from tests.support.until import until

Outcome = creator_pb2.CreateTaskResponse

PROJECT_ID = "f8ecf996-4ae8-489b-a683-1ce813a8ec6d"

CALLERS = 48

CRASHES = 5

HALF_CREATED = """
SELECT coalesce(t.task_id, s.task_id) AS task_id
FROM tandem.tasks AS t
FULL JOIN tandem.task_status AS s ON s.task_id = t.task_id
WHERE t.task_id IS NULL OR s.task_id IS NULL
"""

WAITING_FOR_LOCK = """
SELECT a.pid
FROM pg_stat_activity AS a
WHERE a.datname = current_database()
  AND a.usename = $1
  AND a.wait_event_type = 'Lock'
"""

SESSION_IS_GONE = """
SELECT NOT EXISTS (
    SELECT FROM pg_stat_activity AS a WHERE a.pid = $1
)
"""

REFUSED = [
    INSERT_TASK,
    """
    INSERT INTO tandem.task_status (task_id, lane_id, position)
    SELECT gen_random_uuid(), 1, length($1)
    """,
    """
    SELECT c.new_task_id
    FROM tandem.create_tasks_v1(
        NULL, ARRAY[$1], NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
    ) AS c
    """,
]


def a_project(
    project: str, *, name: str, request_id: str = ""
) -> creator_pb2.CreateTaskRequest:
    return a_request(
        project=project,
        type="build",
        external_id=PROJECT_ID,
        request_id=request_id,
        payload={"name": name, "framework": "react"},
    )


async def test_e1_many_callers_of_several_creators_make_one_row_and_all_are_told_of_it(
    services: RunningPair, project: str, postgres_log: PostgresLog
) -> None:
    requests = [
        a_project(project, name=f"caller {number}", request_id=a_new_id())
        for number in range(CALLERS)
    ]

    answers = await asyncio.gather(
        *(
            services.creators[number % 2].CreateTask(request)
            for number, request in enumerate(requests)
        )
    )

    assert Counter(answer.outcome for answer in answers) == {
        Outcome.OUTCOME_CREATED: 1,
        Outcome.OUTCOME_EXISTING: CALLERS - 1,
    }
    assert len({answer.task.task_id for answer in answers}) == 1
    assert postgres_log.errors() == []


async def test_e1_one_call_sent_through_several_creators_makes_one_row(
    services: RunningPair, project: str, postgres_log: PostgresLog
) -> None:
    request = a_project(project, name="one call", request_id=a_new_id())

    answers = await asyncio.gather(
        *(
            services.creators[number % 2].CreateTask(request)
            for number in range(CALLERS)
        )
    )

    assert Counter(answer.outcome for answer in answers) == {
        Outcome.OUTCOME_CREATED: 1,
        Outcome.OUTCOME_REPLAYED: CALLERS - 1,
    }
    assert len({answer.task.task_id for answer in answers}) == 1
    assert postgres_log.errors() == []


def a_prompt(project: str, prompt: str, *, seed: int) -> creator_pb2.CreateTaskRequest:
    """A create without ids: the same prompt within a second is the same project."""
    request = a_request(
        project=project, type="build", payload={"prompt": prompt, "seed": seed}
    )
    request.content_window.payload_keys.append("prompt")
    request.content_window.window.FromSeconds(1)
    return request


async def test_e2_the_same_content_within_the_window_is_one_task_and_after_it_two(
    services: RunningPair, project: str
) -> None:
    first = await services.creators[0].CreateTask(a_prompt(project, "a shop", seed=1))
    other = await services.creators[0].CreateTask(a_prompt(project, "a blog", seed=1))
    within = await services.creators[1].CreateTask(a_prompt(project, "a shop", seed=2))

    async def created_anew() -> creator_pb2.CreateTaskResponse | None:
        answer = await services.creators[1].CreateTask(
            a_prompt(project, "a shop", seed=3)
        )
        return answer if answer.outcome == Outcome.OUTCOME_CREATED else None

    after = await until(created_anew)

    assert after
    assert other.outcome == Outcome.OUTCOME_CREATED
    assert within.outcome == Outcome.OUTCOME_EXISTING
    assert within.existing_reason == creator_pb2.EXISTING_REASON_CONTENT_WINDOW
    assert within.task.task_id == first.task.task_id
    assert list(within.differing_fields) == ["spec.payload.seed"]
    assert (
        after.task.create_time.ToDatetime() - first.task.create_time.ToDatetime()
        >= (timedelta(seconds=1))
    )


async def test_e2_racing_creates_of_the_same_content_make_one_task(
    services: RunningPair, project: str, postgres_log: PostgresLog
) -> None:
    requests = [a_prompt(project, "a shop", seed=n) for n in range(CALLERS)]
    for request in requests:
        request.content_window.window.FromSeconds(60)

    answers = await asyncio.gather(
        *(services.creators[n % 2].CreateTask(r) for n, r in enumerate(requests))
    )

    assert Counter(answer.outcome for answer in answers) == {
        Outcome.OUTCOME_CREATED: 1,
        Outcome.OUTCOME_EXISTING: CALLERS - 1,
    }
    assert len({answer.task.task_id for answer in answers}) == 1
    assert postgres_log.errors() == []


async def test_e3_killed_creators_leave_no_task_without_its_status(
    database: Database, project: str
) -> None:
    record = Record()
    async with creators_of(database) as pair:
        for crash in range(CRASHES):
            await create_until_killed(
                await one_more(pair), record, project=project, answers=20 + 37 * crash
            )
        async with database.admin() as admin:
            half_created = await admin.fetch(HALF_CREATED)
        async with calling(await one_more(pair)) as stub:
            answers = await asyncio.gather(
                *(stub.CreateTask(request) for request in record.sent.values())
            )
    async with database.admin() as admin:
        half_created += await admin.fetch(HALF_CREATED)
        count = await admin.fetchval("SELECT count(*) FROM tandem.tasks")

    assert half_created == []
    assert count == len(record.sent)
    repeated = {answer.request_id: answer for answer in answers}
    for request_id, task_id in record.answered.items():
        assert repeated[request_id].outcome == Outcome.OUTCOME_REPLAYED
        assert repeated[request_id].task.task_id == task_id


@pytest.mark.parametrize("victim", ["creator", "session"])
async def test_e3_a_create_killed_between_its_two_inserts_is_whole_or_not_there(
    database: Database, project: str, victim: str
) -> None:
    request = a_project(project, name="half", request_id=a_new_id())
    async with creators_of(database) as pair:
        process = await one_more(pair)
        async with calling(process) as stub, database.admin() as admin:
            async with admin.transaction():
                # Behind the insert of the task, before that of its status.
                await admin.execute("LOCK TABLE tandem.task_status IN EXCLUSIVE MODE")
                create = stub.CreateTask(request, timeout=10)
                session = await until(lambda: admin.fetchval(WAITING_FOR_LOCK, CREATOR))
                if victim == "creator":
                    await process.kill()
                else:
                    await admin.execute("SELECT pg_terminate_backend($1)", session)
            with pytest.raises(grpc.aio.AioRpcError) as lost:
                await create
            await until(lambda: admin.fetchval(SESSION_IS_GONE, session))
            half_created = await admin.fetch(HALF_CREATED)
        async with calling(await one_more(pair)) as stub:
            repeated = await stub.CreateTask(request)

    assert lost.value.code() is grpc.StatusCode.UNAVAILABLE
    assert half_created == []
    if victim == "session":
        assert repeated.outcome == Outcome.OUTCOME_CREATED
    assert repeated.request_id == request.request_id


async def test_e4_a_worker_that_inserts_is_refused_by_the_database(
    services: RunningPair, project: str
) -> None:
    request = a_request(project=project, type="create_project")

    created = await services.creators[0].CreateTask(request)
    finished = await services.finished(created.task.task_id)

    assert state_of(finished) == TaskState.SUCCEEDED
    assert result_of(finished)["sqlstate"] == "42501"
    assert result_of(finished)["message"] == "permission denied for table tasks"


@pytest.mark.parametrize("statement", REFUSED, ids=["task", "status", "function"])
async def test_e4_the_processors_login_can_create_nothing(
    processor_pool: asyncpg.Pool, statement: str, postgres_log: PostgresLog
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError) as refused:
        await processor_pool.execute(statement, "p")

    assert refused.value.sqlstate == "42501"
    assert "permission denied" in postgres_log.errors()[0]


def test_e4_what_a_processor_is_handed_is_ids() -> None:
    frame = creator_pb2.ConsumeCreatedTasksResponse.DESCRIPTOR

    assert [field.name for field in frame.fields] == ["task_ids", "credits_left"]


async def test_e5_errors_by_reason_and_duplicates_by_outcome_are_counted(
    database: Database, project: str
) -> None:
    """And no constraint is ever violated, however many race for one id."""
    logs = ServiceLogs()
    creator = ServiceProcess(
        Service.CREATOR,
        label="creator",
        environ={
            "TANDEM_DATABASE_URL": database.creator_url,
            "TANDEM_LISTEN": ANY_PORT,
            "TANDEM_LOG": "json",
            **METRICS_ANYWHERE,
        },
        on_line=logs.add,
    )
    await creator.start()
    async with calling(creator) as stub:
        await asyncio.gather(
            *(stub.CreateTask(a_project(project, name="x")) for _ in range(CALLERS))
        )
        one = a_request(project=project, request_id=a_new_id(), payload={"n": 1})
        await stub.CreateTask(one)
        await stub.CreateTask(one)
        one.spec.payload["n"] = 2
        for bad in (one, a_request(project=project, type="")):
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.CreateTask(bad)
    scraped = await scrape_of(logs, "creator")
    await creator.stop()

    made = {"CREATED": 2, "EXISTING": CALLERS - 1, "REPLAYED": 1}
    refused = {"REQUEST_ID_REUSED": 1, "INVALID_REQUEST": 1}
    assert scraped.by("tandem_creates_total", "outcome") == made
    assert scraped.by("tandem_creates_refused_total", "reason") == refused
    assert scraped.by("tandem_constraint_violations_total", "") == {"": 0}
    told = logs.having(event="created so far")[-1]
    assert (told["made"], told["refused"]) == (made, refused)
    assert told["constraint_violations"] == 0
