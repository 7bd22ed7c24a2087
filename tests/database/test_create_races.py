"""P1: however many create the same thing at once, on however many creators."""

from __future__ import annotations

from random import Random

import asyncpg
import pytest

from tandem_creator.content import differing_fields
from tandem_creator.store.winners import Match, Winner
from tests.support.batching import a_draft, count_created, race, several, task_id_of
from tests.support.cluster import Database
from tests.support.creator import a_new_id
from tests.support.postgres_log import PostgresLog

CALLERS = 64
CREATORS = 4

COUNT_TASKS = "SELECT count(*) FROM tandem.tasks"
COUNT_STATUSES = "SELECT count(*) FROM tandem.task_status"


async def test_p1_one_request_id_makes_one_task_whoever_creates_it(
    database: Database, owner_pool: asyncpg.Pool, postgres_log: PostgresLog
) -> None:
    request_id = a_new_id()
    drafts = [a_draft(request_id=request_id) for _ in range(CALLERS)]

    async with several(CREATORS, database.creator_url) as creators:
        answers = await race(creators, drafts)

    assert len({task_id_of(answer) for answer in answers}) == 1
    assert count_created(answers) == 1
    assert await owner_pool.fetchval(COUNT_TASKS) == 1
    assert await owner_pool.fetchval(COUNT_STATUSES) == 1
    assert postgres_log.errors() == []


async def test_p1_one_external_id_makes_one_task_whoever_creates_it(
    database: Database, owner_pool: asyncpg.Pool, postgres_log: PostgresLog
) -> None:
    drafts = [
        a_draft(request_id=a_new_id(), external_id="order-1") for _ in range(CALLERS)
    ]

    async with several(CREATORS, database.creator_url) as creators:
        answers = await race(creators, drafts)

    assert len({task_id_of(answer) for answer in answers}) == 1
    assert count_created(answers) == 1
    assert await owner_pool.fetchval(COUNT_TASKS) == 1
    assert postgres_log.errors() == []


async def test_p1_many_request_ids_make_a_task_each_however_often_they_are_sent(
    database: Database, owner_pool: asyncpg.Pool
) -> None:
    request_ids = [a_new_id() for _ in range(100)]
    drafts = [a_draft(request_id=each) for each in request_ids for _ in range(5)]
    Random(1).shuffle(drafts)

    async with several(CREATORS, database.creator_url) as creators:
        answers = await race(creators, drafts)

    named = dict(zip(drafts, map(task_id_of, answers), strict=True))
    assert len({(draft.request_id, named[draft]) for draft in drafts}) == 100
    assert count_created(answers) == 100
    assert await owner_pool.fetchval(COUNT_TASKS) == 100


async def test_crossing_external_ids_do_not_deadlock(
    database: Database, owner_pool: asyncpg.Pool, postgres_log: PostgresLog
) -> None:
    """Every caller sends the same external ids, under request ids of its own."""
    names = [f"order-{number}" for number in range(20)]
    drafts = [
        a_draft(request_id=a_new_id(), external_id=name)
        for _ in range(20)
        for name in names
    ]
    Random(2).shuffle(drafts)

    async with several(CREATORS, database.creator_url) as creators:
        answers = await race(creators, drafts)

    assert len({task_id_of(answer) for answer in answers}) == len(names)
    assert await owner_pool.fetchval(COUNT_TASKS) == len(names)
    assert postgres_log.errors() == []


async def test_crossing_ids_of_both_kinds_answer_every_caller(
    database: Database, owner_pool: asyncpg.Pool
) -> None:
    """Few request ids and few external ids, in every combination."""
    request_ids = [a_new_id() for _ in range(5)]
    drafts = [
        a_draft(request_id=request_id, external_id=f"order-{number}")
        for request_id in request_ids
        for number in range(5)
        for _ in range(4)
    ]
    Random(3).shuffle(drafts)

    async with several(CREATORS, database.creator_url) as creators:
        answers = await race(creators, drafts)

    rows = await owner_pool.fetch("SELECT request_id, external_id FROM tandem.tasks")
    held = {row["request_id"]: row["external_id"] for row in rows}
    assert len(rows) == len(held) == len(set(held.values()))
    for draft, answer in zip(drafts, answers, strict=True):
        task_id_of(answer)
        if isinstance(answer, Winner) and answer.match is Match.REQUEST_ID:
            assert answer.row.request_id == draft.request_id
        elif isinstance(answer, Winner):
            assert answer.row.external_id == draft.external_id


async def test_of_two_contents_under_one_request_id_one_is_stored(
    database: Database,
) -> None:
    request_id = a_new_id()
    drafts = [
        a_draft(request_id=request_id, payload={"number": number})
        for number in range(CALLERS)
    ]

    async with several(CREATORS, database.creator_url) as creators:
        answers = await race(creators, drafts)

    differing = [
        differing_fields(draft, answer.row)
        for draft, answer in zip(drafts, answers, strict=True)
        if isinstance(answer, Winner)
    ]
    assert count_created(answers) == 1
    assert differing == [["spec.payload.number"]] * (CALLERS - 1)


@pytest.mark.parametrize("field", ["request_id", "external_id"])
async def test_the_same_id_in_two_projects_makes_two_tasks(
    database: Database, field: str
) -> None:
    given = {"request_id": a_new_id(), field: a_new_id()}
    drafts = [a_draft(project=project, **given) for project in ("left", "right")]

    async with several(1, database.creator_url) as creators:
        answers = await race(creators, drafts)

    assert count_created(answers) == 2


async def test_without_ids_every_create_makes_a_task(database: Database) -> None:
    drafts = [a_draft() for _ in range(10)]

    async with several(2, database.creator_url) as creators:
        answers = await race(creators, drafts)

    assert count_created(answers) == 10
