"""P4, the creator's half: what its login may not do, Postgres refuses."""

from __future__ import annotations

import asyncpg
import pytest

from tandem.postgres.privileges import check_privileges
from tandem_creator.grants import EXPECTED
from tests import factories

FORBIDDEN = [
    "UPDATE tandem.tasks SET payload = '{}'",
    "UPDATE tandem.tasks SET prune_time = now()",
    "DELETE FROM tandem.tasks",
    "TRUNCATE tandem.tasks",
    "UPDATE tandem.task_status SET state = 'CANCELLED'",
    "UPDATE tandem.task_status SET due_time = now()",
    "DELETE FROM tandem.task_status",
    "SELECT 1 FROM tandem.tasks FOR UPDATE",
    "SELECT 1 FROM tandem.task_status FOR UPDATE",
    (
        "INSERT INTO tandem.task_status (task_id, lane_id, position, state)"
        " VALUES (gen_random_uuid(), 1, 1, 'SUCCEEDED')"
    ),
    (
        "INSERT INTO tandem.task_status (task_id, lane_id, position, claim)"
        " VALUES (gen_random_uuid(), 1, 1, 7)"
    ),
    "INSERT INTO tandem.task_outputs (task_id, claim) VALUES (gen_random_uuid(), 1)",
    (
        "INSERT INTO tandem.task_stages (task_id, name, state, attempt, claim, start_time)"
        " VALUES (gen_random_uuid(), 's', 'RUNNING', 1, 1, now())"
    ),
    "INSERT INTO tandem.queues (queue, paused) VALUES ('default', true)",
    (
        "INSERT INTO tandem.processors (processor_id, host, process_id, queues, types)"
        " VALUES (gen_random_uuid(), 'h', 1, '{}', '{}')"
    ),
    "UPDATE tandem.lanes SET priority = 1",
    "UPDATE tandem.stream_floor SET position = 0",
    "DELETE FROM tandem.epochs",
    "CREATE TABLE tandem.mine (id integer)",
    "CREATE TEMPORARY TABLE mine (id integer)",
    "SET ROLE tandem_owner",
    "SET ROLE tandem_processor",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
async def test_p4_the_creator_cannot(
    creator_pool: asyncpg.Pool, statement: str
) -> None:
    await factories.create_task(creator_pool)

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await creator_pool.execute(statement)


async def test_p4_the_creators_login_is_exactly_as_it_should_be(
    creator_pool: asyncpg.Pool,
) -> None:
    assert await check_privileges(creator_pool, EXPECTED) == []


async def test_p4_the_processors_login_is_not_taken_for_the_creators(
    processor_pool: asyncpg.Pool,
) -> None:
    faults = await check_privileges(processor_pool, EXPECTED)

    assert any("tandem_processor" in fault for fault in faults)
    assert any(fault.startswith("too few") for fault in faults)
    assert any(fault.startswith("too many") for fault in faults)
