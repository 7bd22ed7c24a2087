"""Each check of the doctor: nothing on a sound database, and the fault that was planted."""

from __future__ import annotations

import time
from datetime import timedelta

import asyncpg
import pytest

from tandem.doctor import server
from tandem.doctor.examine import CHECKS, examine, run
from tandem.doctor.findings import Line, Verdict
from tandem.doctor.sessions import ADMINISTRATOR, sessions
from tandem.outcomes import Claimed
from tandem.postgres.roles import CREATOR, OWNER, PROCESSOR
from tests.factories import create_many, create_task
from tests.support.cluster import Database
from tests.support.janitor import Janitor, finish
from tests.support.processors import join, run_task

THIRTY_SECONDS = 30.0


def urls(database: Database) -> list[str]:
    """Every login that `tandem up` has, each in the test's database."""
    return [database.creator_url, database.processor_url, database.owner_url]


async def look(database: Database, name: str) -> list[Line]:
    """The lines of one check, over new sessions."""
    [check] = [check for check in CHECKS if check.name == name]
    logins = [*urls(database), database.cluster.admin_url]
    async with sessions(logins, database=database.name) as opened:
        return list(await run(check, opened))


async def found(database: Database, name: str) -> str:
    """The one finding of a check, and what to do."""
    [line] = await look(database, name)
    assert line.verdict is Verdict.FOUND
    assert line.remedy
    return line.text


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
