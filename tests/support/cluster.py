"""The PostgreSQL that a test run uses: an embedded one, or an external one by URL."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg

from tandem.postgres.bootstrap import prepare, restrict_database
from tandem.postgres.connect import connected
from tandem.postgres.embedded import EmbeddedPostgres
from tandem.postgres.migrate import migrate
from tandem.postgres.passwords import Passwords
from tandem.postgres.roles import CREATOR, JANITOR, OWNER, PROCESSOR
from tandem.postgres.urls import login_url

# Nothing in a test run has to survive a crash of the machine. The deadlock
# timeout is short, so that tests which provoke one do not wait for a second.
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "1h",
    "deadlock_timeout": "200ms",
    "max_prepared_transactions": "10",
}

# Fixed, so that several runs may share one external server.
PASSWORDS = Passwords(
    owner="owner-of-tests",
    creator="creator-of-tests",
    processor="processor-of-tests",
    janitor="janitor-of-tests",
)

APPLICATION = "tandem-tests"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A server, by its superuser's URL and its log."""

    admin_url: str
    log: Path

    def url(self, role: str, database: str) -> str:
        """A URL for one of the four roles."""
        password = PASSWORDS.of(role)
        return login_url(self.admin_url, role, password=password, database=database)


@dataclass(frozen=True, slots=True)
class Database:
    """A database that belongs to one test."""

    cluster: Cluster
    name: str

    @property
    def owner_url(self) -> str:
        return self.cluster.url(OWNER, self.name)

    @property
    def creator_url(self) -> str:
        return self.cluster.url(CREATOR, self.name)

    @property
    def processor_url(self) -> str:
        return self.cluster.url(PROCESSOR, self.name)

    @property
    def janitor_url(self) -> str:
        return self.cluster.url(JANITOR, self.name)

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[asyncpg.Connection]:
        """A superuser's connection to this database."""
        async with connected(
            self.cluster.admin_url, database=self.name, application_name=APPLICATION
        ) as connection:
            yield connection


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """An external server if `TANDEM_TEST_ADMIN_URL` names one, else an own one.

    `TANDEM_TEST_POSTGRES_LOG` is the external server's log file.
    """
    if url := os.environ.get("TANDEM_TEST_ADMIN_URL"):
        log = os.environ.get("TANDEM_TEST_POSTGRES_LOG", "/nowhere/postgres.log")
        yield Cluster(admin_url=url, log=Path(log))
        return
    with reachable_folder() as folder:
        embedded = EmbeddedPostgres(folder, settings=SETTINGS)
        with embedded.used():
            yield Cluster(admin_url=embedded.admin_url(), log=embedded.log)


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """A folder that the server's account can reach, which root's `tmp_path` is not."""
    with tempfile.TemporaryDirectory(prefix="tandem-") as name:
        yield Path(name)


@asynccontextmanager
async def migrated_template(cluster: Cluster) -> AsyncIterator[str]:
    """A migrated database that no test writes to."""
    name = f"tandem_template_{uuid4().hex}"
    await prepare(cluster.admin_url, PASSWORDS, database=name)
    try:
        await migrate(cluster.url(OWNER, name))
        yield name
    finally:
        await drop_database(cluster, name)


@asynccontextmanager
async def cloned_database(cluster: Cluster, template: str) -> AsyncIterator[Database]:
    """A copy of the template, for some tens of milliseconds."""
    name = f"tandem_{uuid4().hex}"
    async with admin_of(cluster) as admin:
        # A copy by the write-ahead log is the default since 15, and slower here.
        major = admin.get_server_version().major
        strategy = "STRATEGY file_copy" if major >= 15 else ""
        await admin.execute(
            f"CREATE DATABASE {name} OWNER {OWNER} TEMPLATE {template} {strategy}"
        )
        await restrict_database(admin, name)
    try:
        yield Database(cluster, name)
    finally:
        await drop_database(cluster, name)


async def drop_database(cluster: Cluster, name: str) -> None:
    async with admin_of(cluster) as admin:
        await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@asynccontextmanager
async def admin_of(cluster: Cluster) -> AsyncIterator[asyncpg.Connection]:
    async with connected(cluster.admin_url, application_name=APPLICATION) as connection:
        yield connection
