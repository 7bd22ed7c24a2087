"""A creator that cannot run says why in one line, with exit code 2 and no traceback."""

from __future__ import annotations

import asyncio
import os
import sys

from tests.support.cluster import Database

LIMIT = 30.0


async def run(**settings: str) -> tuple[int, str]:
    """The exit code, and what it said on standard error."""
    ours = ("TANDEM_", "GRPC_")
    environ = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tandem_creator",
        env={**environ, **{f"TANDEM_{k.upper()}": v for k, v in settings.items()}},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(LIMIT):
        _, said = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


def assert_refused(found: tuple[int, str], *words: str) -> None:
    code, said = found
    lines = said.splitlines()
    assert (code, len(lines)) == (2, 1), said
    assert all(word in lines[0] for word in words), said


async def test_without_settings_every_fault_is_named() -> None:
    found = await run(pool_size="x", listen="nowhere")

    assert_refused(found, "TANDEM_DATABASE_URL", "TANDEM_POOL_SIZE", "TANDEM_LISTEN")


async def test_an_unreachable_database_is_one_line() -> None:
    found = await run(database_url="postgresql://me:secret@127.0.0.1:1/tandem")

    assert_refused(found, "cannot reach the database")
    assert "secret" not in found[1]


async def test_a_database_without_the_schema_is_one_line(database: Database) -> None:
    async with database.admin() as admin:
        await admin.execute("DROP SCHEMA tandem CASCADE")

    found = await run(database_url=database.creator_url, listen="127.0.0.1:0")

    assert_refused(found, "tandem migrate")


async def test_p4_a_login_that_may_do_too_much_does_not_serve(
    database: Database,
) -> None:
    async with database.admin() as admin:
        await admin.execute("GRANT DELETE ON tandem.tasks TO tandem_creator")

    found = await run(database_url=database.creator_url, listen="127.0.0.1:0")

    assert_refused(found, "too many: DELETE on tandem.tasks")


async def test_p4_the_login_of_another_service_does_not_serve(
    database: Database,
) -> None:
    found = await run(database_url=database.processor_url, listen="127.0.0.1:0")

    assert_refused(found, "logged in as tandem_processor, not tandem_creator")


async def test_p4_a_login_that_may_do_too_little_is_told_what(
    database: Database,
) -> None:
    """Also where it is the first thing that a creator does."""
    async with database.admin() as admin:
        await admin.execute(
            "REVOKE EXECUTE ON FUNCTION tandem.enter_epoch_v1 FROM tandem_creator"
        )

    found = await run(database_url=database.creator_url, listen="127.0.0.1:0")

    assert_refused(found, "too few: EXECUTE on tandem.enter_epoch_v1", "tandem migrate")


async def test_p4_a_login_that_may_do_too_much_writes_nothing(
    database: Database,
) -> None:
    async with database.admin() as admin:
        await admin.execute("DELETE FROM tandem.epochs")

    found = await run(database_url=database.owner_url, listen="127.0.0.1:0")

    assert_refused(found, "logged in as tandem_owner")
    async with database.admin() as admin:
        assert await admin.fetchval("SELECT count(*) FROM tandem.epochs") == 0


async def test_a_port_that_is_taken_is_one_line(database: Database) -> None:
    taken = await asyncio.start_server(lambda _, __: None, "127.0.0.1", 0)
    async with taken:
        port = taken.sockets[0].getsockname()[1]
        found = await run(database_url=database.creator_url, listen=f"127.0.0.1:{port}")

    assert_refused(found, "cannot listen", str(port))


async def test_a_port_for_metrics_that_is_taken_is_one_line(database: Database) -> None:
    taken = await asyncio.start_server(lambda _, __: None, "127.0.0.1", 0)
    async with taken:
        address = f"127.0.0.1:{taken.sockets[0].getsockname()[1]}"
        found = await run(
            database_url=database.creator_url,
            listen="127.0.0.1:0",
            metrics_listen=address,
        )

    assert_refused(found, "cannot listen", address)
