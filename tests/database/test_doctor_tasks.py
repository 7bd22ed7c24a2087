"""What the doctor finds wrong with tasks, positions, members and holds."""

from __future__ import annotations

import asyncpg
import pytest

from tandem.outcomes import Claimed
from tests.factories import create_many, create_task
from tests.support.cluster import Database
from tests.support.doctors import found, look
from tests.support.janitor import Janitor, finish
from tests.support.processors import join, run_task


async def test_p5_an_epoch_that_nobody_entered_is_found(
    database: Database, owner_pool: asyncpg.Pool
) -> None:
    await owner_pool.execute("UPDATE tandem.epochs SET timeline = timeline + 1")

    assert "no creator has served" in await found(database, "epoch")


@pytest.mark.parametrize(
    "plant",
    [
        "SELECT setval('tandem.positions', 1)",
        "INSERT INTO tandem.group_places SELECT 'audit', 1, 9000",
    ],
)
async def test_p5_positions_that_would_repeat_are_found(
    database: Database, creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool, plant: str
) -> None:
    await create_many(creator_pool, 3)
    assert [line.verdict for line in await look(database, "positions")] == ["ok"]

    await owner_pool.execute(plant)

    assert "readers would miss new tasks" in await found(database, "positions")


PLACE = """
INSERT INTO tandem.group_places (group_name, lane_id, position)
SELECT $1, s.lane_id, s.position FROM tandem.task_status AS s WHERE s.task_id = $2
"""

TAKE = """
INSERT INTO tandem.takes
    (group_name, lane_id, from_position, to_position, types, task_projects)
SELECT $1, s.lane_id, s.position - 1, s.position, $3, $4
FROM tandem.task_status AS s
WHERE s.task_id = $2
"""


async def test_p8_tasks_that_would_never_be_announced_again_are_found(
    database: Database,
    creator_pool: asyncpg.Pool,
    processor_pool: asyncpg.Pool,
    owner_pool: asyncpg.Pool,
) -> None:
    me = await join(processor_pool)
    taken, other_type, other_group, _, due = await create_many(creator_pool, 5)
    other_project = await create_task(creator_pool, project="other")
    running = await run_task(creator_pool, processor_pool, me)
    await create_task(creator_pool)
    await owner_pool.execute(PLACE, "audit", running.task_id)
    await owner_pool.execute(TAKE, "processors", taken, ["echo"], ["acme"])
    await owner_pool.execute(TAKE, "processors", other_type, ["email"], None)
    await owner_pool.execute(TAKE, "audit", other_group, ["echo"], None)
    await owner_pool.execute(TAKE, "processors", other_project, ["echo"], ["acme"])
    await owner_pool.execute(
        "UPDATE tandem.task_status SET due_time = now() WHERE task_id = $1", due
    )
    assert [line.verdict for line in await look(database, "lost announcements")] == [
        "ok"
    ]

    await owner_pool.execute(PLACE, "processors", running.task_id)

    text = await found(database, "lost announcements")
    assert f": 4, from {other_type} on" in text


async def test_p8_pending_tasks_that_no_processor_takes_are_found(
    database: Database, creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    await join(processor_pool)
    await create_task(creator_pool)
    await create_many(creator_pool, 2, queue="mail", type="email")
    await create_task(creator_pool, type="render")

    lines = await look(database, "lanes without a processor")

    assert [line.text.partition("pending in ")[2] for line in lines] == [
        "queue default with type render, which no living processor takes: 1",
        "queue mail with type email, which no living processor takes: 2",
    ]


async def test_p8_a_dead_processor_takes_nothing(
    database: Database,
    creator_pool: asyncpg.Pool,
    processor_pool: asyncpg.Pool,
    owner_pool: asyncpg.Pool,
) -> None:
    await join(processor_pool)
    await create_task(creator_pool)
    await owner_pool.execute("UPDATE tandem.processors SET state = 'DEAD'")

    assert "type echo" in await found(database, "lanes without a processor")


async def test_p8_members_that_are_deaf_are_found(
    database: Database, owner_pool: asyncpg.Pool
) -> None:
    told = "INSERT INTO tandem.group_members VALUES ($1, $2, 2, $3, now())"
    await owner_pool.execute(told, "audit", "one", 0)
    await owner_pool.execute(told, "processors", "one", 1)
    await owner_pool.execute(told, "processors", "two", 0)

    text = await found(database, "deaf members")

    assert text == "group processors has deaf members: 1 of 4"


async def test_a_task_that_lost_its_status_is_found(
    database: Database,
    creator_pool: asyncpg.Pool,
    owner_pool: asyncpg.Pool,
    janitor_pool: asyncpg.Pool,
) -> None:
    stripped, lost = await create_many(creator_pool, 2)
    await finish(owner_pool, stripped)
    await Janitor(janitor_pool).strip(stripped)
    await owner_pool.execute("DELETE FROM tandem.task_status WHERE task_id = $1", lost)

    text = await found(database, "tasks without a status")
    assert text == f"tasks without a status: 1 ({lost})"


async def test_statuses_that_lost_their_task_are_found(
    database: Database, creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool
) -> None:
    await create_many(creator_pool, 4)
    await owner_pool.execute("DELETE FROM tandem.tasks")

    text = await found(database, "statuses without a task")
    assert text.startswith("statuses without a task: 4 (")
    assert text.endswith(", ...)")


@pytest.fixture
async def held(creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool) -> Claimed:
    """A task that runs, as it should."""
    return await run_task(creator_pool, processor_pool, await join(processor_pool))


@pytest.mark.parametrize(
    ("check", "plant", "text"),
    [
        (
            "running tasks of dead processors",
            "DELETE FROM tandem.processors",
            "does not live: 1 ({task})",
        ),
        (
            "running tasks of dead processors",
            "UPDATE tandem.processors SET state = 'DEAD'",
            "does not live: 1 ({task})",
        ),
        (
            "running tasks in no claim batch",
            "DELETE FROM tandem.claim_batches",
            "in no claim batch of their processor: 1 ({task})",
        ),
        (
            "running tasks in no claim batch",
            "UPDATE tandem.claim_batches SET processor_id = gen_random_uuid()",
            "in no claim batch of their processor: 1 ({task})",
        ),
        (
            "claim batches of no processor",
            "DELETE FROM tandem.processors",
            "claim batches of no living processor: 1 (",
        ),
        (
            "silent processors",
            "UPDATE tandem.processors SET heartbeat_time = now() - interval '2 min'",
            "without a heartbeat for over 60 s: 1 (",
        ),
    ],
)
async def test_p8_a_hold_that_is_broken_is_found(
    database: Database, held: Claimed, *, check: str, plant: str, text: str
) -> None:
    assert [line.verdict for line in await look(database, check)] == ["ok"]

    async with database.admin() as admin:
        await admin.execute(plant)

    assert text.format(task=held.task_id) in await found(database, check)
