"""A database that is ready to serve: embedded, or on a server by URL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tandem.pair import Logins
from tandem.postgres.bootstrap import DATABASE, prepare
from tandem.postgres.embedded import EmbeddedPostgres
from tandem.postgres.migrate import migrate
from tandem.postgres.passwords import Passwords
from tandem.postgres.roles import CREATOR, JANITOR, OWNER, PROCESSOR
from tandem.postgres.urls import login_url

CREDENTIALS: Final = "credentials.json"

LOOK_AGAIN: Final = 1.0
"""Seconds."""


@asynccontextmanager
async def ready_database(
    folder: Path,
    *,
    admin_url: str | None = None,
    settings: Mapping[str, str] | None = None,
) -> AsyncIterator[Logins]:
    """A migrated database for the length of a block.

    Args:
        folder: of the embedded server, and of the roles' passwords in any case.
        admin_url: of another server, to use in place of an embedded one.
        settings: of the embedded server.

    Raises:
        EmbeddedFailed: the embedded server did not start.
        MigrationRefused: what is there does not fit this release.
    """
    if admin_url is not None:
        yield await _prepared(admin_url, folder)
        return
    async with _embedded(folder, settings or {}) as url:
        yield await _prepared(url, folder)


async def embedded_end(folder: Path) -> None:
    """Return once the embedded server of the folder has ended, for whatever reason."""
    postgres = EmbeddedPostgres(folder)
    while not await asyncio.to_thread(postgres.has_ended):  # noqa: ASYNC110 - a process that is not our child has no event
        await asyncio.sleep(LOOK_AGAIN)


async def _prepared(admin_url: str, folder: Path) -> Logins:
    passwords = Passwords.load_or_create(folder / CREDENTIALS)
    await prepare(admin_url, passwords)

    def url(role: str) -> str:
        return login_url(
            admin_url, role, password=passwords.of(role), database=DATABASE
        )

    await migrate(url(OWNER))
    return Logins(
        creator_url=url(CREATOR),
        processor_url=url(PROCESSOR),
        janitor_url=url(JANITOR),
        owner_url=url(OWNER),
    )


@asynccontextmanager
async def _embedded(folder: Path, settings: Mapping[str, str]) -> AsyncIterator[str]:
    postgres = EmbeddedPostgres(folder, settings=settings)
    starting = asyncio.ensure_future(asyncio.to_thread(postgres.acquire))
    try:
        await asyncio.shield(starting)
        yield postgres.admin_url()
    finally:
        # A start that was interrupted goes on in its thread; only then is there
        # something to release.
        await asyncio.wait({starting})
        await asyncio.to_thread(postgres.release)
