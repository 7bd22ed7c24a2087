"""The roles and the database: made once, by anybody who may, with their passwords."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
import pytest

from tandem.postgres.bootstrap import prepare
from tandem.postgres.migrate import migrate
from tandem.postgres.passwords import InvalidPasswords, Passwords, scram_verifier
from tandem.postgres.roles import ROLES, SERVING_ROLES
from tests.support.cluster import (
    PASSWORDS,
    Cluster,
    Database,
    admin_of,
    drop_database,
)
from tests.support.postgres_log import PostgresLog


@asynccontextmanager
async def prepared(cluster: Cluster, admin_url: str) -> AsyncIterator[Database]:
    name = f"tandem_prepared_{uuid4().hex}"
    await prepare(admin_url, PASSWORDS, database=name)
    try:
        yield Database(cluster, name)
    finally:
        await drop_database(cluster, name)


async def test_each_role_logs_in_with_its_password(cluster: Cluster) -> None:
    async with prepared(cluster, cluster.admin_url) as database:
        for role in ROLES:
            connection = await asyncpg.connect(cluster.url(role, database.name))
            assert await connection.fetchval("SELECT session_user") == role
            await connection.close()


async def test_no_role_is_more_than_a_login(cluster: Cluster, template: str) -> None:
    async with admin_of(cluster) as admin:
        powerful = await admin.fetch(
            "SELECT rolname FROM pg_roles WHERE rolname LIKE 'tandem\\_%' AND"
            " (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication"
            " OR rolbypassrls)"
        )

    assert powerful == []


async def test_concurrent_preparations_agree(
    cluster: Cluster, postgres_log: PostgresLog
) -> None:
    name = f"tandem_prepared_{uuid4().hex}"
    try:
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            for _ in range(6):
                group.create_task(prepare(cluster.admin_url, PASSWORDS, database=name))
    finally:
        await drop_database(cluster, name)

    assert postgres_log.errors() == []


async def test_an_administrator_need_not_be_a_superuser(cluster: Cluster) -> None:
    """As with hosted servers. Nothing of the owner's power stays with it."""
    async with administrator(cluster) as (admin_url, database):
        await prepare(admin_url, PASSWORDS, database=database)
        await migrate(cluster.url("tandem_owner", database))

        connection = await asyncpg.connect(admin_url)
        may_become = await connection.fetchval(
            "SELECT pg_has_role('tandem_owner', 'USAGE')"
        )
        await connection.close()
        assert not may_become


@asynccontextmanager
async def administrator(cluster: Cluster) -> AsyncIterator[tuple[str, str]]:
    """A login that may create roles and databases, and a name for one."""
    role, database = f"hosted_{uuid4().hex}", f"tandem_hosted_{uuid4().hex}"
    async with admin_of(cluster) as admin:
        await admin.execute(
            f"CREATE ROLE {role} LOGIN CREATEROLE CREATEDB PASSWORD 'hosted'"
        )
        if admin.get_server_version().major >= 16:
            for name in ROLES:
                await admin.execute(f"GRANT {name} TO {role} WITH ADMIN OPTION")
                await admin.execute(f"GRANT {name} TO {role} WITH INHERIT FALSE")
        try:
            address = cluster.admin_url.split("@", 1)[1]
            yield f"postgresql://{role}:hosted@{address}", database
        finally:
            await drop_database(cluster, database)
            await admin.execute(f"DROP OWNED BY {role}")
            await admin.execute(f"DROP ROLE {role}")


async def test_a_password_is_sent_as_a_verifier(
    cluster: Cluster, postgres_log: PostgresLog
) -> None:
    """Not even a server that logs every statement gets to know it."""
    async with admin_of(cluster) as admin:
        await admin.execute("ALTER SYSTEM SET log_statement = 'all'")
        await admin.execute("SELECT pg_reload_conf()")
        try:
            async with prepared(cluster, cluster.admin_url):
                pass
        finally:
            await admin.execute("ALTER SYSTEM RESET log_statement")
            await admin.execute("SELECT pg_reload_conf()")

    assert "SCRAM-SHA-256" in postgres_log.text()
    assert not any(PASSWORDS.of(role) in postgres_log.text() for role in ROLES)


async def test_nobody_else_may_connect(cluster: Cluster, database: Database) -> None:
    async with admin_of(cluster) as admin:
        stranger = f"stranger_{uuid4().hex}"
        await admin.execute(f"CREATE ROLE {stranger} LOGIN")
        try:
            allowed = [
                role
                for role in (*SERVING_ROLES, stranger)
                if await admin.fetchval(
                    "SELECT has_database_privilege($1, $2, 'CONNECT')",
                    role,
                    database.name,
                )
            ]
        finally:
            await admin.execute(f"DROP ROLE {stranger}")

    assert allowed == list(SERVING_ROLES)


async def test_a_wrong_password_is_refused(database: Database) -> None:
    url = database.creator_url.replace(PASSWORDS.creator, "wrong")

    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(url)


@pytest.mark.parametrize("password", ["", "pässword", "new\nline"])
def test_a_password_that_scram_may_read_otherwise_is_refused(password: str) -> None:
    with pytest.raises(InvalidPasswords, match="creator") as raised:
        Passwords(owner="a", creator=password, processor="b", janitor="c")

    assert not password or password not in str(raised.value)


def test_a_verifier_is_salted() -> None:
    assert scram_verifier("same") != scram_verifier("same")
