"""Each check of the doctor: nothing on a sound database, and the fault that was planted."""

from __future__ import annotations

import time
from datetime import timedelta

import asyncpg
import pytest

from tandem.doctor import server
from tandem.doctor.examine import CHECKS, examine
from tandem.doctor.findings import Verdict
from tandem.doctor.sessions import ADMINISTRATOR, sessions
from tandem.postgres.roles import CREATOR, OWNER, PROCESSOR
from tests.support.cluster import Database
from tests.support.doctors import found, look, urls

THIRTY_SECONDS = 30.0


# A server for tests need not survive a crash.
SERVER_IS_NOT_SAFE = "settings of the server"


async def test_a_sound_database_has_no_findings(database: Database) -> None:
    logins = [*urls(database), database.cluster.admin_url]
    async with sessions(logins, database=database.name) as opened:
        lines = [line async for line in examine(opened, {})]

    assert [line.check for line in lines if line.check != SERVER_IS_NOT_SAFE] == [
        check.name for check in CHECKS if check.name != SERVER_IS_NOT_SAFE
    ]
    assert {line.verdict for line in lines if line.check != SERVER_IS_NOT_SAFE} == {
        Verdict.OK
    }


async def test_what_a_login_cannot_see_is_skipped_and_said_so(
    database: Database,
) -> None:
    async with sessions([database.creator_url]) as opened:
        lines = [line async for line in examine(opened, {})]

    skipped = {line.check: line.text for line in lines if line.verdict == "skipped"}
    assert skipped["lost announcements"] == "needs the login of tandem_processor"
    assert skipped["migrations"].endswith("tandem_owner or an administrator")
    assert {line.check for line in lines if line.verdict is Verdict.OK} >= {
        "privileges of the creator",
        "epoch",
        "positions",
        "clock",
    }


async def test_no_session_can_write(database: Database) -> None:
    logins = [*urls(database), database.cluster.admin_url]
    async with sessions(logins, database=database.name) as opened:
        assert opened.keys() == {CREATOR, PROCESSOR, OWNER, ADMINISTRATOR}
        for connection in opened.values():
            with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
                await connection.execute("CREATE TABLE tandem.anything ()")


async def test_a_database_without_the_schema_is_a_finding_of_every_check(
    database: Database, owner_pool: asyncpg.Pool
) -> None:
    await owner_pool.execute("DROP SCHEMA tandem CASCADE")

    for name in (
        "migrations",
        "privileges of the creator",
        "epoch",
        "silent processors",
    ):
        for line in await look(database, name):
            assert line.verdict is Verdict.FOUND
            assert "tandem migrate" in f"{line.text} {line.remedy}"


@pytest.mark.parametrize(
    ("plant", "text"),
    [
        (
            "DELETE FROM tandem.schema_migrations WHERE version = (SELECT max(version) FROM tandem.schema_migrations)",
            "was not applied",
        ),
        (
            "UPDATE tandem.schema_migrations SET sha256 = 'x' WHERE version = 2",
            "was changed after it was applied",
        ),
    ],
)
async def test_migrations_that_are_missing_or_other_are_found(
    database: Database, owner_pool: asyncpg.Pool, plant: str, text: str
) -> None:
    await owner_pool.execute(plant)

    assert text in await found(database, "migrations")


@pytest.mark.parametrize(
    ("service", "plant", "text"),
    [
        (
            "creator",
            "GRANT UPDATE (payload) ON tandem.tasks TO tandem_creator",
            "too many: UPDATE on tandem.tasks(payload)",
        ),
        (
            "processor",
            "REVOKE SELECT ON tandem.takes FROM tandem_processor",
            "too few: SELECT on tandem.takes",
        ),
    ],
)
async def test_p4_privileges_that_differ_are_found(
    database: Database, owner_pool: asyncpg.Pool, service: str, plant: str, text: str
) -> None:
    await owner_pool.execute(plant)

    assert await found(database, f"privileges of the {service}") == text


@pytest.mark.parametrize(
    ("service", "setting"),
    [
        ("creator", "synchronous_commit = 'off'"),
        ("processor", "default_transaction_isolation = 'serializable'"),
    ],
)
async def test_defaults_that_break_a_promise_are_found(
    database: Database, service: str, setting: str
) -> None:
    async with database.admin() as admin:
        await admin.execute(
            f"ALTER ROLE tandem_{service} IN DATABASE {database.name} SET {setting}"
        )

    text = await found(database, f"sessions of the {service}")

    assert f"tandem_{service} begin with {setting.split(' ', maxsplit=1)[0]}" in text


async def test_a_setting_of_the_server_that_is_off_is_found(database: Database) -> None:
    async with database.admin() as admin:
        await admin.execute(f"ALTER DATABASE {database.name} SET track_counts = off")

    lines = await look(database, SERVER_IS_NOT_SAFE)

    assert "track_counts is off" in " ".join(line.text for line in lines)


async def test_a_server_that_is_full_is_found(database: Database) -> None:
    async with sessions([database.processor_url]) as opened:
        full = await server.room(opened[PROCESSOR], fullest=0.0)
        roomy = await server.room(opened[PROCESSOR], fullest=1.0)

    assert ["connections" in full[0].text, "locks" in full[1].text] == [True, True]
    assert list(roomy) == []


async def test_a_transaction_that_is_open_for_long_is_found(
    database: Database, creator_pool: asyncpg.Pool
) -> None:
    async with (
        sessions([database.cluster.admin_url], database=database.name) as opened,
        creator_pool.acquire() as idle,
        idle.transaction(),
    ):
        pid = await idle.fetchval("SELECT pg_backend_pid()")
        finding, *others = await server.transactions(
            opened[ADMINISTRATOR], older_than=timedelta(0)
        )

    assert others == []
    assert f"process {pid} of tandem_creator" in finding.text
    assert "idle in transaction" in finding.text
    assert str(pid) in finding.remedy


async def test_a_login_that_is_not_shown_transactions_does_not_call_them_well(
    database: Database,
) -> None:
    async with sessions([database.creator_url]) as opened:
        [finding] = await server.transactions(opened[CREATOR])

    assert "not shown what others do" in finding.text


async def test_a_transaction_that_was_prepared_and_left_is_found(
    database: Database,
) -> None:
    async with database.admin() as admin:
        if await admin.fetchval("SHOW max_prepared_transactions") == "0":
            pytest.skip("this server prepares no transactions")
        await admin.execute("BEGIN; SELECT 1; PREPARE TRANSACTION 'left'")
        try:
            findings = await server.transactions(admin, older_than=timedelta(0))
        finally:
            await admin.execute("ROLLBACK PREPARED 'left'")

    assert ["'left'" in finding.text for finding in findings] == [True]


@pytest.mark.parametrize(
    ("seconds", "side"), [(THIRTY_SECONDS, "ahead of"), (-THIRTY_SECONDS, "behind")]
)
async def test_clocks_that_differ_are_found(
    database: Database, seconds: float, side: str
) -> None:
    async with sessions([database.creator_url]) as opened:
        [finding] = await server.clock(
            opened[CREATOR], here=lambda: time.time() + seconds
        )

    assert f"s {side} the database's" in finding.text
