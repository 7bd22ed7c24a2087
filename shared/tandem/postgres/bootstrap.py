"""What has to be there before the first migration: four roles and a database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from tandem.postgres.connect import connected
from tandem.postgres.passwords import Passwords, scram_verifier
from tandem.postgres.roles import OWNER, ROLES, SERVING_ROLES

DATABASE: Final = "tandem"

APPLICATION: Final = "tandem-prepare"

# Two at once would meet in the catalog: "tuple concurrently updated".
PREPARE_LOCK: Final = 5_723_001

TAKE_LOCK: Final = "SELECT pg_advisory_lock($1)"

ROLE_EXISTS: Final = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)"

DATABASE_EXISTS: Final = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)"

# Roles, databases and passwords cannot be parameters of the statements that
# make them; Postgres itself quotes them into the text.
QUOTE: Final = "SELECT format($1, VARIADIC $2::text[])"

CREATE_ROLE: Final = """
CREATE ROLE %I
LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
"""

SET_LOGIN: Final = "ALTER ROLE %I LOGIN PASSWORD %L"

# template0 takes no connections that could be in the way, and has no additions.
CREATE_DATABASE: Final = """
CREATE DATABASE %I
OWNER %I
TEMPLATE template0
ENCODING 'UTF8'
"""

CLOSE_DATABASE: Final = "REVOKE ALL ON DATABASE %I FROM PUBLIC"

OPEN_DATABASE: Final = "GRANT CONNECT ON DATABASE %I TO %I"

# PostgreSQL 14 lets everybody create things in there.
CLOSE_PUBLIC_SCHEMA: Final = "REVOKE ALL ON SCHEMA public FROM PUBLIC"

IS_SUPERUSER: Final = """
SELECT rolsuper
FROM pg_roles
WHERE rolname = current_user
"""

JOIN_ROLE: Final = "GRANT %I TO CURRENT_USER"

LEAVE_ROLE: Final = "REVOKE %I FROM CURRENT_USER"


async def prepare(
    admin_url: str, passwords: Passwords, *, database: str = DATABASE
) -> None:
    """Make the roles and the database, or bring them to these passwords.

    May be repeated, and run by several at once. Needs a superuser, or a login that
    may create roles and databases.

    Raises:
        PostgresUnfit: the server is too old.
    """
    async with connected(admin_url, application_name=APPLICATION) as admin:
        await admin.execute(TAKE_LOCK, PREPARE_LOCK)
        for role in ROLES:
            await _prepare_role(admin, role, passwords.of(role))
        async with _acting_as_owner(admin):
            if not await admin.fetchval(DATABASE_EXISTS, database):
                await _run(admin, CREATE_DATABASE, database, OWNER)
            await restrict_database(admin, database)
            await _close_public_schema(admin_url, database)


async def restrict_database(admin: asyncpg.Connection, database: str) -> None:
    """Let the serving roles connect to `database`, and nobody else do anything.

    A database made from a template does not take these grants over.
    """
    await _run(admin, CLOSE_DATABASE, database)
    for role in SERVING_ROLES:
        await _run(admin, OPEN_DATABASE, database, role)


async def _prepare_role(admin: asyncpg.Connection, role: str, password: str) -> None:
    if not await admin.fetchval(ROLE_EXISTS, role):
        await _run(admin, CREATE_ROLE, role)
    await _run(admin, SET_LOGIN, role, scram_verifier(password))


async def _close_public_schema(admin_url: str, database: str) -> None:
    async with connected(
        admin_url, database=database, application_name=APPLICATION
    ) as inside:
        await inside.execute(CLOSE_PUBLIC_SCHEMA)


@asynccontextmanager
async def _acting_as_owner(admin: asyncpg.Connection) -> AsyncIterator[None]:
    """Be a member of the owner for a moment, where that takes a membership.

    A superuser needs none; the administrators of hosted servers are not superusers.
    """
    if await admin.fetchval(IS_SUPERUSER):
        yield
        return
    await _run(admin, JOIN_ROLE, OWNER)
    try:
        yield
    finally:
        await _run(admin, LEAVE_ROLE, OWNER)


async def _run(admin: asyncpg.Connection, template: str, *names: str) -> None:
    await admin.execute(await admin.fetchval(QUOTE, template, list(names)))
