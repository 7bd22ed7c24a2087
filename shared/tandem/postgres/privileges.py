"""The proof that a login may do what it should, and nothing else."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final, TypeAlias

from tandem.postgres.logins import (
    NO_SCHEMA,
    SUPERUSER,
    Connection,
    definer_faults,
    login_faults,
    schema_faults,
    tie_faults,
)
from tandem.postgres.migrate import known_names

ALL: Final = frozenset({"*"})
"""Every column of a table."""

Columns: TypeAlias = frozenset[str]
Grant: TypeAlias = tuple[str, str, str]

READ_COLUMN_GRANTS: Final = """
SELECT c.relname AS name, p.privilege, a.attname AS part
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) AS p (privilege)
WHERE c.relnamespace = to_regnamespace('tandem')
  AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND has_column_privilege(c.oid, a.attnum, p.privilege)
"""

READ_TABLE_GRANTS: Final = """
SELECT c.relname AS name, p.privilege, '' AS part
FROM pg_class AS c
CROSS JOIN unnest(
    ARRAY['DELETE', 'TRUNCATE', 'TRIGGER']
    || CASE WHEN current_setting('server_version_num')::integer >= 170000
            THEN ARRAY['MAINTAIN'] ELSE '{}' END
) AS p (privilege)
WHERE c.relnamespace = to_regnamespace('tandem')
  AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND has_table_privilege(c.oid, p.privilege)
"""

READ_SEQUENCE_GRANTS: Final = """
SELECT c.relname AS name, p.privilege, '' AS part
FROM pg_class AS c
CROSS JOIN unnest(ARRAY['SELECT', 'USAGE', 'UPDATE']) AS p (privilege)
WHERE c.relnamespace = to_regnamespace('tandem')
  AND c.relkind = 'S'
  AND has_sequence_privilege(c.oid, p.privilege)
"""

READ_FUNCTION_GRANTS: Final = """
SELECT DISTINCT f.proname AS name, 'EXECUTE' AS privilege, '' AS part
FROM pg_proc AS f
WHERE f.pronamespace = to_regnamespace('tandem')
  AND has_function_privilege(f.oid, 'EXECUTE')
"""

# A relation's columns tell what "all" means, and which names are wrong.
READ_COLUMNS: Final = """
SELECT c.relname AS name, array_agg(a.attname::text) AS columns
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = to_regnamespace('tandem')
  AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
GROUP BY c.relname
"""

# A view runs with its owner's rights: one that nobody expected may be a way around.
READ_VIEWS: Final = """
SELECT c.relname AS name
FROM pg_class AS c
WHERE c.relnamespace = to_regnamespace('tandem')
  AND c.relkind IN ('v', 'm', 'f')
"""

READ_GRANTS: Final = (
    READ_COLUMN_GRANTS,
    READ_TABLE_GRANTS,
    READ_SEQUENCE_GRANTS,
    READ_FUNCTION_GRANTS,
)

BY_COLUMN: Final = frozenset({"SELECT", "INSERT", "UPDATE", "REFERENCES"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """All that a role may do in schema `tandem`. What is not here is too much."""

    role: str

    tables: Mapping[str, Mapping[str, Columns]]
    """By table or view, by privilege: the columns, or `ALL`."""

    sequences: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By sequence: the privileges."""

    functions: frozenset[str] = frozenset()
    """The functions it may call, by name."""


async def check_privileges(connection: Connection, expected: Expected) -> list[str]:
    """Every way in which this login is not as expected; none if it is fine.

    One round trip per kind of thing, whatever the number of tables. Each fault is a
    line for an operator, such as `too many: UPDATE on tandem.tasks(payload)`.
    """
    faults = await login_faults(connection, expected.role)
    # A superuser may do everything, and a list of everything helps nobody.
    if any(fault.endswith(SUPERUSER) for fault in faults):
        return faults
    faults += await tie_faults(connection)
    schemas = await schema_faults(connection)
    if NO_SCHEMA in schemas:
        return [*faults, *schemas]
    return [
        *faults,
        *schemas,
        *await _grant_faults(connection, expected),
        *await definer_faults(connection),
    ]


async def _grant_faults(connection: Connection, expected: Expected) -> list[str]:
    columns = {
        row["name"]: row["columns"] for row in await connection.fetch(READ_COLUMNS)
    }
    wanted = set(_wanted(expected, columns))
    found: set[Grant] = set()
    for sql in READ_GRANTS:
        found |= {tuple(row) for row in await connection.fetch(sql)}
    views = {row["name"] for row in await connection.fetch(READ_VIEWS)}
    later = {grant for grant in found - wanted if _is_of_later_release(grant, views)}
    return [
        *_named("too many", found - wanted - later, columns),
        *_named("too few", wanted - found, columns),
    ]


def _is_of_later_release(grant: Grant, views: Container[str]) -> bool:
    """Whether it is on something that this release's migrations do not speak of.

    The services of a release go on while the next one's migrations run, and may be
    started again then.
    """
    name, _, part = grant
    known = known_names()
    return name not in views and (name not in known or part not in {*known, ""})


def _wanted(expected: Expected, columns: Mapping[str, list[str]]) -> Iterator[Grant]:
    for table, privileges in expected.tables.items():
        for privilege, named in privileges.items():
            parts = _parts(privilege, named, columns.get(table, ["*"]))
            yield from ((table, privilege, part) for part in parts)
    for sequence, privileges_on_it in expected.sequences.items():
        yield from ((sequence, privilege, "") for privilege in privileges_on_it)
    for function in expected.functions:
        yield (function, "EXECUTE", "")


def _parts(privilege: str, named: Columns, every: Iterable[str]) -> Iterable[str]:
    if privilege not in BY_COLUMN:
        return ("",)
    return every if named == ALL else named


def _named(
    fault: str, grants: Iterable[Grant], columns: Mapping[str, list[str]]
) -> Iterator[str]:
    """One line per thing and privilege, with the columns unless it is all of them."""
    for (name, privilege), group in groupby(
        sorted(grants), key=lambda grant: grant[:2]
    ):
        parts = [part for _, _, part in group if part]
        whole = not parts or len(parts) == len(columns.get(name, parts))
        suffix = "" if whole else f"({', '.join(parts)})"
        yield f"{fault}: {privilege} on tandem.{name}{suffix}"
