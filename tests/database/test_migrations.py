"""Migrations: applied once, whole, in order, and never changed afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final
from uuid import uuid4

import asyncpg
import pytest
import structlog

from tandem.postgres.bootstrap import prepare
from tandem.postgres.migrate import MIGRATIONS, MigrationRefused, migrate, read_files
from tandem.postgres.roles import OWNER
from tests.factories import create_task
from tests.support.cluster import (
    PASSWORDS,
    Cluster,
    Database,
    cloned_database,
    drop_database,
)
from tests.support.postgres_log import PostgresLog

ROOM: Final = 11
"""The migration that gives more room to updates of statuses."""

STORED: Final = """
SELECT c.reloptions, pg_relation_filenode(c.oid) AS file
FROM pg_class AS c
WHERE c.oid = 'tandem.task_status'::regclass
"""


@pytest.fixture
async def empty(cluster: Cluster) -> AsyncIterator[Database]:
    """A prepared database, in which nothing was migrated."""
    name = f"tandem_empty_{uuid4().hex}"
    await prepare(cluster.admin_url, PASSWORDS, database=name)
    yield Database(cluster, name)
    await drop_database(cluster, name)


def write(folder: Path, **migrations: str) -> None:
    for name, sql in migrations.items():
        (folder / f"{name.removeprefix('m')}.sql").write_text(sql)


async def tables(database: Database) -> set[str]:
    async with database.admin() as admin:
        rows = await admin.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'tandem'"
        )
    return {row["tablename"] for row in rows} - {"schema_migrations"}


async def test_the_projects_own_migrations_apply_without_an_error(
    empty: Database, postgres_log: PostgresLog
) -> None:
    applied = await migrate(empty.owner_url)

    assert applied == [file.name for file in read_files(MIGRATIONS)]
    assert {"tasks", "task_status"} <= await tables(empty)
    assert await migrate(empty.owner_url) == []
    assert postgres_log.errors() == []


async def test_only_what_is_new_is_applied(empty: Database, tmp_path: Path) -> None:
    write(tmp_path, m0001_first="CREATE TABLE tandem.first ()")
    assert await migrate(empty.owner_url, tmp_path) == ["0001_first.sql"]
    write(tmp_path, m0002_second="CREATE TABLE tandem.second ()")

    assert await migrate(empty.owner_url, tmp_path) == ["0002_second.sql"]

    assert await tables(empty) == {"first", "second"}


async def test_of_concurrent_starts_one_applies(
    empty: Database, tmp_path: Path, postgres_log: PostgresLog
) -> None:
    write(
        tmp_path,
        m0001_first="CREATE TABLE tandem.first ()",
        m0002_second="CREATE TABLE tandem.second ()",
    )
    gate = asyncio.Barrier(4)

    async def start() -> list[str]:
        await gate.wait()
        return await migrate(empty.owner_url, tmp_path)

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        starts = [group.create_task(start()) for _ in range(4)]

    assert sorted(start.result() for start in starts) == [
        [],
        [],
        [],
        ["0001_first.sql", "0002_second.sql"],
    ]
    assert postgres_log.errors() == []


async def test_a_changed_file_is_refused_by_name(
    empty: Database, tmp_path: Path
) -> None:
    write(tmp_path, m0001_first="CREATE TABLE tandem.first ()")
    await migrate(empty.owner_url, tmp_path)
    write(
        tmp_path,
        m0001_first="CREATE TABLE tandem.changed ()",
        m0002_second="CREATE TABLE tandem.second ()",
    )

    with pytest.raises(MigrationRefused, match=r"0001_first\.sql was changed"):
        await migrate(empty.owner_url, tmp_path)

    assert await tables(empty) == {"first"}


async def test_a_failing_file_leaves_nothing_of_itself(
    empty: Database, tmp_path: Path
) -> None:
    write(
        tmp_path,
        m0001_first="CREATE TABLE tandem.first ()",
        m0002_broken="CREATE TABLE tandem.half (); SELECT 1 / 0",
    )

    with pytest.raises(MigrationRefused, match=r"0002_broken\.sql: division by zero"):
        await migrate(empty.owner_url, tmp_path)

    assert await tables(empty) == {"first"}


async def test_a_database_ahead_of_the_code_is_left_alone_and_reported(
    empty: Database, tmp_path: Path
) -> None:
    write(
        tmp_path,
        m0001_first="CREATE TABLE tandem.first ()",
        m0002_second="CREATE TABLE tandem.second ()",
    )
    await migrate(empty.owner_url, tmp_path)
    (tmp_path / "0002_second.sql").unlink()

    with structlog.testing.capture_logs() as lines:
        assert await migrate(empty.owner_url, tmp_path) == []

    assert [line["migrations"] for line in lines] == [["0002_second.sql"]]
    assert await tables(empty) == {"first", "second"}


async def test_a_file_that_is_older_than_an_applied_one_is_refused(
    empty: Database, tmp_path: Path
) -> None:
    write(tmp_path, m0002_second="CREATE TABLE tandem.second ()")
    await migrate(empty.owner_url, tmp_path)
    write(tmp_path, m0001_late="CREATE TABLE tandem.late ()")

    with pytest.raises(MigrationRefused, match=r"0001_late\.sql is older"):
        await migrate(empty.owner_url, tmp_path)


async def test_a_missing_file_is_refused(empty: Database, tmp_path: Path) -> None:
    write(
        tmp_path,
        m0001_first="CREATE TABLE tandem.first ()",
        m0002_second="CREATE TABLE tandem.second ()",
    )
    await migrate(empty.owner_url, tmp_path)
    (tmp_path / "0001_first.sql").unlink()

    with pytest.raises(MigrationRefused, match=r"0001_first\.sql was applied"):
        await migrate(empty.owner_url, tmp_path)


async def test_room_for_updates_comes_while_services_write_and_rewrites_nothing(
    empty: Database, tmp_path: Path
) -> None:
    for file in read_files(MIGRATIONS):
        if file.version < ROOM:
            (tmp_path / file.name).write_text(file.sql)
    await migrate(empty.owner_url, tmp_path)

    async with empty.admin() as admin:
        (before,) = await admin.fetch(STORED)
        async with admin.transaction():
            await create_task(admin)
            applied = await migrate(empty.owner_url)
        (after,) = await admin.fetch(STORED)
        kept = await admin.fetchval("SELECT count(*) FROM tandem.task_status")

    assert "0011_room_for_updates.sql" in applied
    assert (before["reloptions"], after["reloptions"]) == (
        ["fillfactor=70"],
        ["fillfactor=40"],
    )
    assert (before["file"], kept) == (after["file"], 1)


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        (["1_short"], "1_short.sql is not named"),
        (["0001_Upper"], "0001_Upper.sql is not named"),
        (["0001_one", "0001_two"], "0001_one.sql and 0001_two.sql"),
    ],
    ids=["short number", "capital", "one version twice"],
)
def test_a_misnamed_file_is_refused(
    tmp_path: Path, names: list[str], fault: str
) -> None:
    write(tmp_path, **dict.fromkeys(names, "SELECT 1"))

    with pytest.raises(MigrationRefused, match=fault):
        read_files(tmp_path)


async def test_what_is_migrated_belongs_to_the_owner(database: Database) -> None:
    async with database.admin() as admin:
        owners = await admin.fetch(
            "SELECT DISTINCT relowner::regrole::text AS owner FROM pg_class"
            " WHERE relnamespace = 'tandem'::regnamespace"
        )

    assert [row["owner"] for row in owners] == [OWNER]


async def test_the_services_cannot_read_the_history(
    creator_pool: asyncpg.Pool,
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await creator_pool.fetch("SELECT version FROM tandem.schema_migrations")


async def test_tests_do_not_share_a_database(
    cluster: Cluster, template: str, database: Database
) -> None:
    async with cloned_database(cluster, template) as other:
        assert other.name != database.name
