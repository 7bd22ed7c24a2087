"""A primary and its streaming standby: two servers, and the URL that names both."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from tandem.postgres.account import Account
from tandem.postgres.bootstrap import DATABASE, prepare
from tandem.postgres.cluster import SOCKET_PORT
from tandem.postgres.connect import connected
from tandem.postgres.embedded import EmbeddedPostgres
from tandem.postgres.home import Home
from tandem.postgres.migrate import migrate
from tandem.postgres.roles import OWNER
from tests.support.cluster import (
    APPLICATION,
    PASSWORDS,
    SETTINGS,
    Cluster,
    Database,
    reachable_folder,
)
from tests.support.until import until

NAME: Final = "standby"

PRIMARY_SETTINGS: Final = {
    **SETTINGS,
    "max_connections": "100",
    "wal_keep_size": "64MB",
}

READ_WRITTEN: Final = "SELECT pg_current_wal_flush_lsn()"

HAS_REPLAYED: Final = "SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn"

STREAMS: Final = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"

RECEIVER: Final = "SELECT pid FROM pg_stat_wal_receiver"


@dataclass(frozen=True, slots=True)
class Servers:
    """Both servers, and the services' database as a URL with both hosts leads to it."""

    primary: EmbeddedPostgres
    standby: EmbeddedPostgres
    database: Database

    async def replicated(self) -> None:
        """Return once the standby has everything that the primary has written."""
        written = await ask(self.primary, READ_WRITTEN)
        await until(lambda: ask(self.standby, HAS_REPLAYED, written))

    async def detach(self) -> None:
        """From here on the standby hears nothing of what the primary commits."""
        await ask(self.standby, "ALTER SYSTEM SET primary_conninfo = ''")
        await ask(self.standby, "SELECT pg_reload_conf()")
        await until(lambda: _has_none(self.standby, RECEIVER))

    async def must_confirm(self) -> None:
        """From here on the primary answers a commit only once the standby has it."""
        await ask(
            self.primary, f"ALTER SYSTEM SET synchronous_standby_names = '{NAME}'"
        )
        await ask(self.primary, "SELECT pg_reload_conf()")
        sync = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
        await until(lambda: ask(self.primary, sync))

    async def kill_primary(self) -> None:
        """SIGKILL to the postmaster; its children end with it."""
        os.kill(self.primary.pid(), signal.SIGKILL)
        await until(lambda: asyncio.to_thread(self.primary.has_ended))

    async def promote(self) -> None:
        """Make the standby the primary: another timeline begins."""
        assert await ask(self.standby, "SELECT pg_promote(true, 30)")

    @asynccontextmanager
    async def receiver_held(self) -> AsyncIterator[None]:
        """For the length of the block the standby reads nothing of what it is sent."""
        pid = await ask(self.standby, RECEIVER)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


async def ask(server: EmbeddedPostgres, sql: str, *args: Any) -> Any:
    """One value, as the superuser, in the services' database."""
    async with connected(
        server.admin_url(DATABASE), application_name=APPLICATION
    ) as connection:
        return await connection.fetchval(sql, *args)


@asynccontextmanager
async def primary_and_standby() -> AsyncIterator[Servers]:
    """A migrated primary, and a standby that follows it asynchronously."""
    with reachable_folder() as first, reachable_folder() as second:
        primary = EmbeddedPostgres(first, settings=PRIMARY_SETTINGS)
        servers = [primary]
        try:
            await asyncio.to_thread(primary.start)
            await prepare(primary.admin_url(), PASSWORDS)
            owner = Cluster(primary.admin_url(), primary.log).url(OWNER, DATABASE)
            await migrate(owner)
            standby = await _copied(primary, second)
            servers.append(standby)
            for server in servers:
                await asyncio.to_thread(server.start)
            await until(lambda: ask(primary, STREAMS))
            yield Servers(primary, standby, _database(primary, standby))
        finally:
            for server in servers:
                await asyncio.to_thread(server.stop)


async def _copied(primary: EmbeddedPostgres, folder: Path) -> EmbeddedPostgres:
    """A standby made of the stopped primary: not every build has pg_basebackup."""
    conninfo = _conninfo(primary)
    await asyncio.to_thread(primary.stop)
    here, there, account = Home(primary.folder), Home(folder), Account.for_server()
    there.settle(account)
    account.run("cp", "-R", here.data, there.data)
    account.write(there.data / "standby.signal", "", mode=0o600)
    password = here.password_file.read_text()
    account.write(there.password_file, password, mode=0o600)
    settings = {**PRIMARY_SETTINGS, "primary_conninfo": conninfo}
    return EmbeddedPostgres(folder, settings=settings)


def _conninfo(primary: EmbeddedPostgres) -> str:
    login = urlsplit(primary.admin_url())
    options = parse_qs(login.query)
    return (
        f"host={options['host'][0]} port={options['port'][0]} user={login.username}"
        f" password={login.password} application_name={NAME}"
    )


def _database(primary: EmbeddedPostgres, standby: EmbeddedPostgres) -> Database:
    """As docs/operations.md has the services told of both."""
    urls = [urlsplit(server.admin_url()) for server in (primary, standby)]
    hosts = ",".join(parse_qs(url.query)["host"][0] for url in urls)
    login = urls[0].netloc
    url = (
        f"postgresql://{login}/postgres?host={hosts}&port={SOCKET_PORT},{SOCKET_PORT}"
        "&target_session_attrs=read-write"
    )
    return Database(Cluster(url, standby.log), DATABASE)


async def _has_none(server: EmbeddedPostgres, sql: str) -> bool:
    return await ask(server, sql) is None
