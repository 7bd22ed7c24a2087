"""PgBouncer in transaction mode before a test's database, as Debian packages it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from pwd import getpwuid
from urllib.parse import parse_qs, urlsplit

import asyncpg

from tandem.postgres.account import Account
from tandem.postgres.roles import CREATOR, PROCESSOR
from tests.support.cluster import PASSWORDS, Cluster, Database, reachable_folder
from tests.support.until import until

PORT = 6432

SESSIONS = 4
"""Of the server, for each login: fewer than the services have connections."""

CONFIGURATION = """
[databases]
{name} = host={host} port={port} dbname={name}

[pgbouncer]
pool_mode = transaction
unix_socket_dir = {folder}
unix_socket_mode = 0777
listen_port = {own_port}
auth_type = scram-sha-256
auth_file = {folder}/users
default_pool_size = {sessions}
{user}
"""


@asynccontextmanager
async def running_pgbouncer(database: Database) -> AsyncIterator[Database]:
    """The same database as it is reached through the pooler."""
    program = shutil.which("pgbouncer") or "pgbouncer"
    account = Account.for_server()
    with reachable_folder() as folder:
        account.own(folder, mode=0o755)
        _configure(folder, database, account)
        with (folder / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                program,
                str(folder / "pgbouncer.ini"),
                stdout=log,
                stderr=log,
            )
        try:
            address = f"postgresql:///?host={folder}&port={PORT}"
            through = Database(Cluster(address, folder / "log"), database.name)
            await until(lambda: _answers(through, process))
            yield through
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


def _configure(folder: Path, database: Database, account: Account) -> None:
    parts = urlsplit(database.cluster.admin_url)
    options = parse_qs(parts.query)
    text = CONFIGURATION.format(
        name=database.name,
        host=options.get("host", [parts.hostname])[0],
        port=options.get("port", [parts.port or 5432])[0],
        folder=folder,
        own_port=PORT,
        sessions=SESSIONS,
        # As root it would not run; any other account cannot change to one.
        user=f"user = {getpwuid(account.uid).pw_name}" if account.is_another else "",
    )
    users = [f'"{role}" "{PASSWORDS.of(role)}"' for role in (CREATOR, PROCESSOR)]
    account.write(folder / "pgbouncer.ini", text, mode=0o600)
    account.write(folder / "users", "\n".join(users) + "\n", mode=0o600)


async def _answers(through: Database, process: asyncio.subprocess.Process) -> bool:
    assert process.returncode is None, "pgbouncer has ended"
    try:
        connection = await asyncpg.connect(
            through.creator_url, statement_cache_size=0, timeout=10
        )
    except OSError:
        return False
    await connection.close()
    return True
