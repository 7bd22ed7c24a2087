"""What a login is, apart from what was granted to it: reading it, and the faults."""

from __future__ import annotations

from typing import Final, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

Connection: TypeAlias = asyncpg.Connection | PoolConnectionProxy | asyncpg.Pool

SUPERUSER: Final = "is a superuser"
NO_SCHEMA: Final = "there is no schema tandem in this database: run `tandem migrate`"

# The ways in which a login is stronger than its grants say.
READ_LOGIN: Final = """
SELECT
    session_user AS session_name,
    current_user AS current_name,
    array_remove(ARRAY[
        CASE WHEN r.rolsuper THEN 'is a superuser' END,
        CASE WHEN r.rolcreaterole THEN 'may create roles' END,
        CASE WHEN r.rolcreatedb THEN 'may create databases' END,
        CASE WHEN r.rolreplication THEN 'may replicate' END,
        CASE WHEN r.rolbypassrls THEN 'bypasses row security' END,
        CASE WHEN has_database_privilege(d.oid, 'CREATE')
             THEN 'may create schemas in this database' END,
        CASE WHEN has_database_privilege(d.oid, 'TEMPORARY')
             THEN 'may create temporary tables' END
    ], NULL) AS powers
FROM pg_roles AS r
CROSS JOIN pg_database AS d
WHERE r.rolname = session_user
  AND d.datname = current_database()
"""

# A membership without inheritance shows in no privilege, and SET ROLE uses it.
READ_MEMBERSHIPS: Final = """
SELECT m.roleid::regrole::text AS role
FROM pg_auth_members AS m
WHERE m.member = (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = session_user)
ORDER BY 1
"""

READ_OWNED: Final = """
SELECT pg_describe_object(d.classid, d.objid, d.objsubid) AS thing
FROM pg_shdepend AS d
WHERE d.refclassid = 'pg_authid'::regclass
  AND d.refobjid = (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = session_user)
  AND d.deptype = 'o'
  AND d.dbid IN (0, (SELECT b.oid FROM pg_database AS b WHERE b.datname = current_database()))
ORDER BY 1
"""

READ_SCHEMAS: Final = """
SELECT
    n.nspname AS schema,
    has_schema_privilege(n.oid, 'USAGE') AS usage,
    has_schema_privilege(n.oid, 'CREATE') AS creation
FROM pg_namespace AS n
WHERE n.nspname NOT LIKE 'pg\\_temp\\_%'
  AND n.nspname NOT LIKE 'pg\\_toast\\_temp\\_%'
"""

# Such a function runs with its owner's rights, whoever calls it.
READ_DEFINERS: Final = """
SELECT f.oid::regprocedure::text AS name
FROM pg_proc AS f
JOIN pg_namespace AS n ON n.oid = f.pronamespace
WHERE f.prosecdef
  AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND has_schema_privilege(n.oid, 'USAGE')
  AND has_function_privilege(f.oid, 'EXECUTE')
ORDER BY 1
"""


async def login_faults(connection: Connection, role: str) -> list[str]:
    """How the session is not a plain login of `role`."""
    login = await connection.fetchrow(READ_LOGIN)
    if login is None:
        return ["this login is not in pg_roles any more"]
    who = login["session_name"]
    faults = [f"{who} {power}" for power in login["powers"]]
    if who != role:
        faults.append(f"logged in as {who}, not {role}")
    if login["current_name"] != who:
        faults.append(f"acts as {login['current_name']}, not as its login {who}")
    return faults


async def tie_faults(connection: Connection) -> list[str]:
    """Roles that the login could become, and things that are its own."""
    memberships = await connection.fetch(READ_MEMBERSHIPS)
    owned = await connection.fetch(READ_OWNED)
    return [
        *[f"this login is a member of {row['role']}" for row in memberships],
        *[f"this login owns {row['thing']}" for row in owned],
    ]


async def schema_faults(connection: Connection) -> list[str]:
    """Schemas that the login may create things in, or may not enter."""
    rows = {row["schema"]: row for row in await connection.fetch(READ_SCHEMAS)}
    if "tandem" not in rows:
        return [NO_SCHEMA]
    faults = [
        f"too many: CREATE on schema {name}"
        for name, row in sorted(rows.items())
        if row["creation"]
    ]
    if not rows["tandem"]["usage"]:
        faults.append("too few: USAGE on schema tandem")
    return faults


async def definer_faults(connection: Connection) -> list[str]:
    """Functions that would lend the login the rights of their owners."""
    definers = await connection.fetch(READ_DEFINERS)
    return [f"may call {row['name']}, which is SECURITY DEFINER" for row in definers]
