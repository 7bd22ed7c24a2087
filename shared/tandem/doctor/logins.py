"""What the logins may do, how their sessions begin, and whether the schema is theirs."""

from __future__ import annotations

from importlib import import_module
from typing import Final

import asyncpg

from tandem.doctor.findings import Finding
from tandem.postgres.migrate import (
    MIGRATIONS,
    READ_APPLIED,
    SCHEMA_EXISTS,
    Migration,
    MigrationRefused,
    pending_files,
    read_files,
)
from tandem.postgres.pool import DURABLE
from tandem.postgres.privileges import Expected, check_privileges
from tandem.processes import Service

READ_BEGINNING: Final = """
SELECT
    session_user AS login,
    current_setting('synchronous_commit') AS synchronous_commit,
    current_setting('default_transaction_isolation') AS isolation
"""

MIGRATE: Final = "run `tandem migrate` of this release"


async def creators_privileges(connection: asyncpg.Connection) -> list[Finding]:
    """Whether the creator would start with this login."""
    return await _privileges(connection, Service.CREATOR)


async def processors_privileges(connection: asyncpg.Connection) -> list[Finding]:
    """Whether the processor would start with this login."""
    return await _privileges(connection, Service.PROCESSOR)


async def _privileges(
    connection: asyncpg.Connection, service: Service
) -> list[Finding]:
    # By name: whoever looks at a service from outside stands below it.
    expected: Expected = import_module(f"{service.module}.grants").EXPECTED
    remedy = f"{MIGRATE}, and undo by REVOKE or GRANT what it leaves"
    faults = await check_privileges(connection, expected)
    return [Finding(fault, remedy) for fault in faults]


async def beginnings(connection: asyncpg.Connection) -> list[Finding]:
    """Defaults of a login that promises would not survive.

    The services set their own; a pooler between may drop what they ask for.
    """
    row = await connection.fetchrow(READ_BEGINNING)
    assert row is not None
    found = []
    if row["synchronous_commit"] not in DURABLE:
        found.append(("synchronous_commit", row["synchronous_commit"]))
    if row["isolation"] != "read committed":
        found.append(("default_transaction_isolation", row["isolation"]))
    return [
        Finding(
            f"sessions of {row['login']} begin with {name} = {value}",
            f"ALTER ROLE {row['login']} RESET {name}, and look at the database's"
            " and the server's own setting",
        )
        for name, value in found
    ]


async def migrations(connection: asyncpg.Connection) -> list[Finding]:
    """Whether all files of this release were applied, as they are."""
    if not await connection.fetchval(SCHEMA_EXISTS):
        return [Finding("there is no schema tandem in this database", MIGRATE)]
    rows = await connection.fetch(READ_APPLIED)
    applied = [Migration(**row) for row in rows]
    try:
        pending = pending_files(read_files(MIGRATIONS), applied)
    except MigrationRefused as refusal:
        return [Finding(str(refusal), "use the release that fits this database")]
    return [Finding(f"{file.name} was not applied", MIGRATE) for file in pending]
