"""A service proves its login before it serves. Here the janitor's stands for all."""

from __future__ import annotations

import asyncpg
import pytest

from tandem.postgres.privileges import check_privileges
from tandem.pruning.grants import EXPECTED
from tests.support.cluster import Database

IN_THE_DATABASE = {
    "a table privilege too many": (
        "GRANT INSERT ON tandem.tasks TO tandem_janitor",
        "too many: INSERT on tandem.tasks",
    ),
    "a column too many": (
        "GRANT UPDATE (project, queue) ON tandem.tasks TO tandem_janitor",
        "too many: UPDATE on tandem.tasks(project, queue)",
    ),
    "a privilege too few": (
        "REVOKE DELETE ON tandem.task_status FROM tandem_janitor",
        "too few: DELETE on tandem.task_status",
    ),
    "a column too few": (
        "REVOKE UPDATE (payload) ON tandem.tasks FROM tandem_janitor",
        "too few: UPDATE on tandem.tasks(payload)",
    ),
    "a grant to everybody": (
        "GRANT SELECT ON tandem.schema_migrations TO PUBLIC",
        "too many: SELECT on tandem.schema_migrations",
    ),
    "truncation": (
        "GRANT TRUNCATE ON tandem.task_outputs TO tandem_janitor",
        "too many: TRUNCATE on tandem.task_outputs",
    ),
    "a sequence": (
        "GRANT USAGE ON SEQUENCE tandem.positions TO tandem_janitor",
        "too many: USAGE on tandem.positions",
    ),
    "a view nobody expected": (
        (
            "CREATE VIEW tandem.peek AS SELECT 1 AS one;"
            " GRANT SELECT ON tandem.peek TO tandem_janitor"
        ),
        "too many: SELECT on tandem.peek",
    ),
    "an updatable view of a later release": (
        (
            "CREATE VIEW tandem.way_around AS SELECT task_id FROM tandem.tasks;"
            " GRANT INSERT ON tandem.way_around TO tandem_janitor"
        ),
        "too many: INSERT on tandem.way_around",
    ),
    "a function": (
        "GRANT EXECUTE ON FUNCTION tandem.create_tasks_v1 TO tandem_janitor",
        "too many: EXECUTE on tandem.create_tasks_v1",
    ),
    "a SECURITY DEFINER function elsewhere": (
        (
            "CREATE SCHEMA backdoor; GRANT USAGE ON SCHEMA backdoor TO PUBLIC;"
            " CREATE FUNCTION backdoor.open() RETURNS integer"
            " LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'"
        ),
        "may call backdoor.open(), which is SECURITY DEFINER",
    ),
    "creation in the schema": (
        "GRANT CREATE ON SCHEMA tandem TO tandem_janitor",
        "too many: CREATE on schema tandem",
    ),
    "no way into the schema": (
        "REVOKE USAGE ON SCHEMA tandem FROM tandem_janitor",
        "too few: USAGE on schema tandem",
    ),
    "ownership": (
        "ALTER TABLE tandem.queues OWNER TO tandem_janitor",
        "this login owns table tandem.queues",
    ),
    "temporary tables": (
        (
            "DO $$ BEGIN EXECUTE format('GRANT TEMPORARY ON DATABASE %I"
            " TO tandem_janitor', current_database()); END $$"
        ),
        "tandem_janitor may create temporary tables",
    ),
}

# Roles belong to the whole cluster, so each of these is undone.
ON_THE_ROLE = {
    "superuser": ("SUPERUSER", "NOSUPERUSER", "tandem_janitor is a superuser"),
    "roles": ("CREATEROLE", "NOCREATEROLE", "tandem_janitor may create roles"),
    "databases": ("CREATEDB", "NOCREATEDB", "tandem_janitor may create databases"),
    "replication": ("REPLICATION", "NOREPLICATION", "tandem_janitor may replicate"),
    "row security": (
        "BYPASSRLS",
        "NOBYPASSRLS",
        "tandem_janitor bypasses row security",
    ),
}


async def test_the_grants_of_the_migrations_are_as_expected(
    janitor_pool: asyncpg.Pool,
) -> None:
    assert await check_privileges(janitor_pool, EXPECTED) == []


@pytest.mark.parametrize(
    ("sql", "fault"), list(IN_THE_DATABASE.values()), ids=list(IN_THE_DATABASE)
)
async def test_what_differs_in_the_database_is_named(
    database: Database, janitor_pool: asyncpg.Pool, sql: str, fault: str
) -> None:
    async with database.admin() as admin:
        await admin.execute(sql)

    assert fault in await check_privileges(janitor_pool, EXPECTED)


@pytest.mark.parametrize(
    ("power", "weakness", "fault"), list(ON_THE_ROLE.values()), ids=list(ON_THE_ROLE)
)
async def test_a_power_of_the_role_is_named(
    database: Database,
    janitor_pool: asyncpg.Pool,
    power: str,
    weakness: str,
    fault: str,
) -> None:
    async with database.admin() as admin:
        await admin.execute(f"ALTER ROLE tandem_janitor {power}")
        try:
            assert fault in await check_privileges(janitor_pool, EXPECTED)
        finally:
            await admin.execute(f"ALTER ROLE tandem_janitor {weakness}")


async def test_a_membership_without_inheritance_is_named(
    database: Database, janitor_pool: asyncpg.Pool
) -> None:
    """It adds no privilege that shows, and SET ROLE would use it."""
    async with database.admin() as admin:
        await admin.execute("ALTER ROLE tandem_janitor NOINHERIT")
        await admin.execute("GRANT tandem_owner TO tandem_janitor")
        try:
            faults = await check_privileges(janitor_pool, EXPECTED)
        finally:
            await admin.execute("REVOKE tandem_owner FROM tandem_janitor")
            await admin.execute("ALTER ROLE tandem_janitor INHERIT")

    assert faults == ["this login is a member of tandem_owner"]


async def test_a_stronger_login_behind_set_role_is_named(database: Database) -> None:
    async with database.admin() as admin:
        await admin.execute("SET ROLE tandem_janitor")

        faults = await check_privileges(admin, EXPECTED)

    assert "logged in as postgres, not tandem_janitor" in faults
    assert "acts as tandem_janitor, not as its login postgres" in faults


async def test_another_services_login_is_refused(creator_pool: asyncpg.Pool) -> None:
    faults = await check_privileges(creator_pool, EXPECTED)

    assert faults[0] == "logged in as tandem_creator, not tandem_janitor"
    assert "too many: EXECUTE on tandem.create_tasks_v1" in faults


async def test_a_database_without_the_schema_says_what_to_do(
    database: Database, janitor_pool: asyncpg.Pool
) -> None:
    async with database.admin() as admin:
        await admin.execute("DROP SCHEMA tandem CASCADE")

    faults = await check_privileges(janitor_pool, EXPECTED)

    assert faults == [
        "there is no schema tandem in this database: run `tandem migrate`"
    ]


async def test_few_round_trips_prove_a_login(janitor_pool: asyncpg.Pool) -> None:
    """One per kind of thing, and none per column."""
    sent: list[str] = []
    async with janitor_pool.acquire() as connection:
        connection.add_query_logger(lambda record: sent.append(record.query))
        await check_privileges(connection, EXPECTED)

    assert len(sent) <= 12


LATER_RELEASE = """
CREATE TABLE tandem.gadgets (gadget_id integer);
GRANT SELECT, INSERT, DELETE ON tandem.gadgets TO tandem_janitor;
ALTER TABLE tandem.tasks ADD COLUMN gadgetry text;
GRANT UPDATE (gadgetry) ON tandem.tasks TO tandem_janitor;
CREATE FUNCTION tandem.turn_gadgets_v1() RETURNS integer LANGUAGE sql AS 'SELECT 1';
"""


async def test_what_a_later_release_brings_is_no_fault(
    owner_pool: asyncpg.Pool, janitor_pool: asyncpg.Pool
) -> None:
    await owner_pool.execute(LATER_RELEASE)

    assert await check_privileges(janitor_pool, EXPECTED) == []
