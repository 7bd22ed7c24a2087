"""What the processor's login is refused: Postgres says so."""

from __future__ import annotations

import asyncpg
import pytest

from tandem.postgres.privileges import check_privileges
from tandem_processor.grants import EXPECTED, STATUS_COLUMNS
from tests.factories import create_task

REFUSED = [
    "INSERT INTO tandem.tasks (task_id) VALUES (gen_random_uuid())",
    "INSERT INTO tandem.task_status (task_id, lane_id, position) VALUES (gen_random_uuid(), 1, 1)",
    "SELECT nextval('tandem.positions')",
    "DELETE FROM tandem.tasks",
    "DELETE FROM tandem.task_status",
    "DELETE FROM tandem.task_stages",
    "DELETE FROM tandem.task_outputs",
    "TRUNCATE tandem.tasks",
    "TRUNCATE tandem.task_status",
    "UPDATE tandem.lanes SET queue = 'mine'",
    "UPDATE tandem.takes SET member_id = NULL",
    "UPDATE tandem.group_places SET position = 0",
    "DELETE FROM tandem.takes",
    "DELETE FROM tandem.group_members",
    "INSERT INTO tandem.lanes (queue, priority) VALUES ('mine', 1)",
    "UPDATE tandem.claim_batches SET task_ids = '{}'",
    "UPDATE tandem.processors SET processor_id = gen_random_uuid()",
    "CREATE TABLE tandem.mine (n integer)",
    "ALTER TABLE tandem.tasks ADD COLUMN mine integer",
    "CREATE TEMPORARY TABLE mine (n integer)",
    "SET ROLE tandem_creator",
    "SET ROLE tandem_owner",
]


@pytest.mark.parametrize("statement", REFUSED)
async def test_p4_the_processor_is_refused(
    creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool, statement: str
) -> None:
    await create_task(creator_pool)

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await processor_pool.execute(statement)


async def test_p4_the_processor_cannot_call_the_function_that_creates(
    processor_pool: asyncpg.Pool,
) -> None:
    nulls = ", ".join(["NULL"] * 20)

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await processor_pool.fetch(f"SELECT tandem.create_tasks_v1({nulls})")


async def test_p4_no_column_of_a_spec_can_be_updated(
    owner_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    for column in await _columns(owner_pool, "tasks"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await processor_pool.execute(f"UPDATE tandem.tasks SET {column} = NULL")


async def test_p4_no_identity_of_a_status_can_be_updated(
    owner_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    identity = set(await _columns(owner_pool, "task_status")) - STATUS_COLUMNS
    assert identity == {"task_id", "lane_id", "position"}
    for column in identity:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await processor_pool.execute(
                f"UPDATE tandem.task_status SET {column} = NULL"
            )


async def test_p4_the_migrated_login_is_exactly_as_the_processor_expects(
    processor_pool: asyncpg.Pool,
) -> None:
    async with processor_pool.acquire() as connection:
        assert await check_privileges(connection, EXPECTED) == []


async def _columns(pool: asyncpg.Pool, table: str) -> list[str]:
    rows = await pool.fetch(
        """
        SELECT column_name FROM information_schema.columns
        WHERE table_schema = 'tandem' AND table_name = $1
        """,
        table,
    )
    return [row["column_name"] for row in rows]
