"""Equal content within its window is one task, however many creators there are."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg

from tandem.v1 import creator_pb2 as pb
from tandem_creator.drafts import Draft
from tandem_creator.parsing import parse_create
from tandem_creator.store.creates import Created
from tandem_creator.store.winners import Match, Winner
from tests.support.batching import batching, count_created, race, several, task_id_of
from tests.support.cluster import Database
from tests.support.creator import a_request
from tests.support.postgres_log import PostgresLog

CALLERS = 64
CREATORS = 4
ROUNDS = 10

COUNT_TASKS = "SELECT count(*) FROM tandem.tasks"

AGE_CLAIMS = (
    "UPDATE tandem.content_windows SET create_time = create_time - $1::interval"
)

STRIP = """
UPDATE tandem.tasks
SET payload = NULL, title = NULL, labels = NULL, final_state = 'SUCCEEDED',
    finish_time = now(), prune_time = now()
"""

DELETE_STATUSES = "DELETE FROM tandem.task_status"
DELETE_TASKS = "DELETE FROM tandem.tasks"
DELETE_CLAIMS = "DELETE FROM tandem.content_windows"

# A lock of the row would show in its xmax.
CLAIM_ROWS = """
SELECT w.ctid::text, w.xmin::text, w.xmax::text
FROM tandem.content_windows AS w
"""


def windowed(
    payload: dict[str, Any],
    *,
    keys: tuple[str, ...] = (),
    seconds: int = 10,
    **spec: Any,
) -> Draft:
    request = a_request(payload=payload, **spec)
    request.content_window.CopyFrom(pb.ContentWindow(payload_keys=keys))
    request.content_window.window.FromSeconds(seconds)
    return parse_create(request)


async def test_p1_racing_creates_of_one_content_make_one_task(
    database: Database, owner_pool: asyncpg.Pool, postgres_log: PostgresLog
) -> None:
    async with several(CREATORS, database.creator_url) as creators:
        for number in range(ROUNDS):
            drafts = [windowed({"round": number}) for _ in range(CALLERS)]
            answers = await race(creators, drafts)

            assert count_created(answers) == 1
            assert len({task_id_of(answer) for answer in answers}) == 1

    assert await owner_pool.fetchval(COUNT_TASKS) == ROUNDS
    assert postgres_log.errors() == []


async def test_crossed_contents_in_two_creators_do_not_deadlock(
    database: Database, owner_pool: asyncpg.Pool, postgres_log: PostgresLog
) -> None:
    numbers = range(100)
    drafts = [windowed({"n": n}) for n in (*numbers, *reversed(numbers))]

    async with several(CREATORS, database.creator_url) as creators:
        answers = await race(creators, drafts)

    assert count_created(answers) == len(numbers)
    assert await owner_pool.fetchval(COUNT_TASKS) == len(numbers)
    assert postgres_log.errors() == []


async def test_a_duplicate_names_the_rule_that_matched(database: Database) -> None:
    async with batching(database.creator_url) as creator:
        first = await creator.create(windowed({"a": 1, "b": 1}, keys=("a",)))
        second = await creator.create(windowed({"a": 1, "b": 2}, keys=("a",)))

    assert isinstance(first, Created)
    assert isinstance(second, Winner)
    assert second.match is Match.CONTENT
    assert second.row.task_id == first.task_id
    assert second.row.payload == '{"a":1,"b":1}'


async def test_other_content_is_another_task(database: Database) -> None:
    drafts = [
        windowed({"a": 1}),
        windowed({"a": 2}),
        windowed({"a": True}),
        windowed({"a": 1, "b": None}),
        windowed({"a": 1}, project="other"),
        windowed({"a": 1}, type="other"),
    ]

    async with batching(database.creator_url) as creator:
        answers = [await creator.create(draft) for draft in drafts]

    assert count_created(answers) == len(drafts)


async def test_the_window_is_measured_from_the_first_create(
    database: Database, owner_pool: asyncpg.Pool
) -> None:
    """A duplicate does not push the end of the window on."""
    async with batching(database.creator_url) as creator:
        first = await creator.create(windowed({"a": 1}, seconds=10))
        await owner_pool.execute(AGE_CLAIMS, timedelta(seconds=8))
        within = await creator.create(windowed({"a": 1}, seconds=10))
        await owner_pool.execute(AGE_CLAIMS, timedelta(seconds=8))
        after = await creator.create(windowed({"a": 1}, seconds=10))

    assert task_id_of(within) == task_id_of(first)
    assert isinstance(after, Created)


async def test_each_create_measures_with_its_own_window(
    database: Database, owner_pool: asyncpg.Pool
) -> None:
    async with batching(database.creator_url) as creator:
        first = await creator.create(windowed({"a": 1}, seconds=10))
        await owner_pool.execute(AGE_CLAIMS, timedelta(seconds=60))
        long, short = await race(
            [creator],
            [windowed({"a": 1}, seconds=3600), windowed({"a": 1}, seconds=10)],
        )

    assert isinstance(short, Created)
    assert task_id_of(long) in {task_id_of(first), task_id_of(short)}


async def test_a_content_is_held_through_a_strip(
    database: Database, owner_pool: asyncpg.Pool, janitor_pool: asyncpg.Pool
) -> None:
    async with batching(database.creator_url) as creator:
        first = await creator.create(windowed({"a": 1}))
        await janitor_pool.execute(DELETE_STATUSES)
        await janitor_pool.execute(STRIP)
        second = await creator.create(windowed({"a": 1}))

    assert task_id_of(second) == task_id_of(first)
    assert await owner_pool.fetchval(COUNT_TASKS) == 1


async def test_the_content_of_a_deleted_task_is_free(
    database: Database, janitor_pool: asyncpg.Pool
) -> None:
    async with several(CREATORS, database.creator_url) as creators:
        first = await creators[0].create(windowed({"a": 1}))
        await janitor_pool.execute(DELETE_STATUSES)
        await janitor_pool.execute(DELETE_TASKS)
        answers = await race(creators, [windowed({"a": 1}) for _ in range(CALLERS)])

    assert count_created(answers) == 1
    assert len({task_id_of(answer) for answer in answers}) == 1
    assert task_id_of(answers[0]) != task_id_of(first)


async def test_p1_claims_deleted_beside_racing_creates_make_no_second_task_at_once(
    database: Database, owner_pool: asyncpg.Pool, janitor_pool: asyncpg.Pool
) -> None:
    """The janitor takes away claims that are over, while their contents come again."""
    async with several(CREATORS, database.creator_url) as creators:
        for number in range(ROUNDS):
            await creators[0].create(windowed({"round": number}))
            await owner_pool.execute(AGE_CLAIMS, timedelta(hours=25))
            drafts = [windowed({"round": number}) for _ in range(CALLERS)]
            answers, _ = await asyncio.gather(
                race(creators, drafts),
                janitor_pool.execute(
                    f"{DELETE_CLAIMS} WHERE create_time < now() - interval '24 h'"
                ),
            )
            assert count_created(answers) == 1

    assert await owner_pool.fetchval(COUNT_TASKS) == 2 * ROUNDS


async def test_duplicates_by_content_write_nothing(
    database: Database, owner_pool: asyncpg.Pool
) -> None:
    async with batching(database.creator_url) as creator:
        await creator.create(windowed({"a": 1}))
        before = await owner_pool.fetch(CLAIM_ROWS)
        for _ in range(5):
            await creator.create(windowed({"a": 1}))

    assert await owner_pool.fetch(CLAIM_ROWS) == before


async def test_a_content_and_a_task_commit_together(
    database: Database, owner_pool: asyncpg.Pool
) -> None:
    async with batching(database.creator_url) as creator:
        answers = await race([creator], [windowed({"n": n % 5}) for n in range(50)])

    claimed = await owner_pool.fetch(
        "SELECT w.task_id FROM tandem.content_windows AS w"
    )
    created = {a.task_id for a in answers if isinstance(a, Created)}
    assert {row["task_id"] for row in claimed} == created
    assert len(created) == 5
