"""The logins of an installation, each with a session that may only read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import asyncpg

from tandem.database import CREDENTIALS
from tandem.postgres.bootstrap import DATABASE
from tandem.postgres.connect import connected
from tandem.postgres.embedded import EmbeddedPostgres
from tandem.postgres.passwords import Passwords
from tandem.postgres.roles import CREATOR, OWNER, PROCESSOR, ROLES
from tandem.postgres.urls import login_url

APPLICATION: Final = "tandem-doctor"

ADMINISTRATOR: Final = "an administrator"
"""Whoever is none of Tandem's roles."""

# A look at millions of rows takes seconds; it must not go on for ever.
ONLY_READ: Final = """
SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY;
SET statement_timeout = '120s';
SET lock_timeout = '5s';
SET timezone = 'UTC'
"""

READ_LOGIN: Final = "SELECT session_user"


def urls_of_folder(folder: Path, *, admin_url: str | None) -> list[str]:
    """Every login of what `tandem up` keeps in a folder. They hold passwords.

    Raises:
        EmbeddedFailed: no server runs there.
        InvalidPasswords: the file of passwords is not one of ours.
        OSError: there is no such file.
    """
    admin = admin_url or EmbeddedPostgres(folder).admin_url()
    passwords = Passwords.load(folder / CREDENTIALS)
    roles = (CREATOR, PROCESSOR, OWNER)
    logins = [
        login_url(admin, role, password=passwords.of(role), database=DATABASE)
        for role in roles
    ]
    return [*logins, admin]


@asynccontextmanager
async def sessions(
    urls: Iterable[str], *, database: str | None = None
) -> AsyncIterator[Mapping[str, asyncpg.Connection]]:
    """A session of each login, by its role, or as that of an administrator.

    Args:
        urls: of the logins.
        database: in place of those in the URLs.

    Raises:
        PostgresUnfit: a URL cannot be understood, or the server is too old.
    """
    async with AsyncExitStack() as stack:
        opened: dict[str, asyncpg.Connection] = {}
        for url in urls:
            session = connected(url, application_name=APPLICATION, database=database)
            connection = await stack.enter_async_context(session)
            await connection.execute(ONLY_READ)
            role = await connection.fetchval(READ_LOGIN)
            opened[role if role in ROLES else ADMINISTRATOR] = connection
        yield opened
