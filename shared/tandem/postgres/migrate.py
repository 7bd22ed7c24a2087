"""Migrations: plain SQL, forward only, each applied once and whole."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import pairwise
from typing import Final

import asyncpg
import structlog

from tandem.postgres.connect import connected

MIGRATIONS: Final = files("tandem").joinpath("migrations")

APPLICATION: Final = "tandem-migrate"

LOCK_LIMIT: Final = 60.0
"""Seconds to wait for another migration, or for a lock within one."""

FILE_NAME: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")

# One at a time. The key lies apart from those that mark creates in flight.
MIGRATE_LOCK: Final = 5_723_002

TAKE_LOCK: Final = "SELECT pg_advisory_lock($1)"

SCHEMA_EXISTS: Final = "SELECT to_regclass('tandem.schema_migrations') IS NOT NULL"

CREATE_SCHEMA: Final = """
CREATE SCHEMA IF NOT EXISTS tandem;

CREATE TABLE tandem.schema_migrations (
    version    integer     PRIMARY KEY,
    name       text        NOT NULL,
    sha256     text        NOT NULL,
    apply_time timestamptz NOT NULL DEFAULT now()
);
"""

READ_APPLIED: Final = """
SELECT version, name, sha256
FROM tandem.schema_migrations
ORDER BY version
"""

RECORD: Final = """
INSERT INTO tandem.schema_migrations (version, name, sha256)
VALUES ($1, $2, $3)
"""

log = structlog.get_logger()


class MigrationRefused(RuntimeError):
    """Files and database do not fit together, or a file failed. Nothing half-done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One file, or the record of one that was applied."""

    version: int
    name: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class File(Migration):
    """A migration with its text at hand."""

    sql: str


async def migrate(owner_url: str, folder: Traversable = MIGRATIONS) -> list[str]:
    """Apply what is not yet applied, in order, and return the names of those files.

    Each file is one transaction. Several callers at once are safe: one applies, the
    others wait, and find nothing left to do. A database ahead of these files is
    left as it is, with a warning in the log: old code must keep running beside new.
    Connect directly: a pooler in transaction mode loses the lock.

    Raises:
        MigrationRefused: an applied file was changed or is missing, a new file is
            older than an applied one, or a file failed.
    """
    found = read_files(folder)
    async with connected(
        owner_url, application_name=APPLICATION, lock_timeout=LOCK_LIMIT
    ) as owner:
        await _take_lock(owner)
        pending = pending_files(found, await _applied(owner))
        for file in pending:
            await _apply(owner, file)
    return [file.name for file in pending]


def read_files(folder: Traversable) -> list[File]:
    """The migrations in a folder, by version.

    Raises:
        MigrationRefused: a misnamed file, or two of one version.
    """
    paths = sorted(folder.iterdir(), key=lambda path: path.name)
    found = [_read(path) for path in paths if path.name.endswith(".sql")]
    for earlier, later in pairwise(found):
        if earlier.version == later.version:
            raise MigrationRefused(f"{earlier.name} and {later.name}: one version")
    return found


@cache
def known_names() -> frozenset[str]:
    """Every name in the schema that this release knows of, and some words more."""
    texts = [CREATE_SCHEMA, *(file.sql for file in read_files(MIGRATIONS))]
    return frozenset(word for text in texts for word in re.findall(r"\w+", text))


def pending_files(found: Sequence[File], applied: Sequence[Migration]) -> list[File]:
    """The files yet to apply.

    Raises:
        MigrationRefused: the history is not that of these files.
    """
    known = {file.version: file for file in found}
    newest = max((past.version for past in applied), default=0)
    for past in applied:
        _require_unchanged(past, known)
    _report_ahead(applied, newest_known=max(known, default=0))
    done = {past.version for past in applied}
    pending = [file for file in found if file.version not in done]
    if pending and pending[0].version < newest:
        raise MigrationRefused(
            f"{pending[0].name} is older than an applied one: give it a new number"
        )
    return pending


def _require_unchanged(past: Migration, known: dict[int, File]) -> None:
    file = known.get(past.version)
    if file is None:
        if past.version < max(known, default=0):
            raise MigrationRefused(f"{past.name} was applied, and its file is missing")
        return
    if file.sha256 != past.sha256:
        raise MigrationRefused(
            f"{file.name} was changed after it was applied: put the file back as it"
            " was, and write the change as a new migration"
        )


def _report_ahead(applied: Sequence[Migration], *, newest_known: int) -> None:
    unknown = [past.name for past in applied if past.version > newest_known]
    if unknown:
        log.warning("database is ahead of this code", migrations=unknown)


async def _take_lock(owner: asyncpg.Connection) -> None:
    try:
        await owner.execute(TAKE_LOCK, MIGRATE_LOCK)
    except asyncpg.LockNotAvailableError as error:
        raise MigrationRefused(
            f"another migration has been running for {LOCK_LIMIT:.0f} s"
        ) from error


async def _applied(owner: asyncpg.Connection) -> list[Migration]:
    if not await owner.fetchval(SCHEMA_EXISTS):
        async with owner.transaction():
            await owner.execute(CREATE_SCHEMA)
    return [Migration(**row) for row in await owner.fetch(READ_APPLIED)]


async def _apply(owner: asyncpg.Connection, file: File) -> None:
    try:
        async with owner.transaction():
            await owner.execute(file.sql)
            await owner.execute(RECORD, file.version, file.name, file.sha256)
    except asyncpg.PostgresError as error:
        raise MigrationRefused(f"{file.name}: {error}") from error


def _read(path: Traversable) -> File:
    named = FILE_NAME.fullmatch(path.name)
    if named is None:
        raise MigrationRefused(f"{path.name} is not named like 0001_tasks.sql")
    raw = path.read_bytes()
    return File(
        version=int(named[1]),
        name=path.name,
        sha256=hashlib.sha256(raw).hexdigest(),
        sql=raw.decode(),
    )
