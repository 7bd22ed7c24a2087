"""The janitor's login, proved, for one round or for one every so often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import asyncpg
import structlog

from tandem.calls import STORE_AWAY
from tandem.postgres.pool import create_pool
from tandem.pruning.grants import EXPECTED
from tandem.pruning.janitor import BATCH, Janitor, Pruned
from tandem.pruning.retention import Retention
from tandem.pruning.takes import forget_group
from tandem.starting import require_privileges

log = structlog.get_logger()

APPLICATION: Final = "tandem-prune"

EVERY: Final = 3600.0
"""Seconds between two rounds of a janitor that goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Whose database is pruned, and how."""

    url: str = field(repr=False)
    """The janitor's login. It holds the password."""

    retention: Retention
    batch: int = BATCH
    dry_run: bool = False


class UnknownGroup(Exception):
    """No group of this name has a place in the stream."""


async def prune(plan: Plan) -> Pruned:
    """One round. No connection is held before or after it.

    Raises:
        PostgresUnfit: the URL cannot be understood, or the server is too old.
        WrongPrivileges: the login is not exactly as the janitor's should be.
    """
    async with _proved_pool(plan.url) as pool:
        janitor = Janitor(pool, plan.retention, batch=plan.batch, dry_run=plan.dry_run)
        return await janitor.run_once()


async def give_up(url: str, groups: Collection[str]) -> None:
    """Forget groups that only read, so that nothing is kept for them any more.

    Raises:
        UnknownGroup: there is none of this name. Those before it are forgotten.
        PostgresUnfit: the URL cannot be understood, or the server is too old.
        WrongPrivileges: the login is not exactly as the janitor's should be.
    """
    async with _proved_pool(url) as pool:
        for group in groups:
            if not await forget_group(pool, group):
                raise UnknownGroup(
                    f"no group {group} has a place in the stream:"
                    " `tandem prune --dry-run` names those for which tasks are kept"
                )


@asynccontextmanager
async def _proved_pool(url: str) -> AsyncIterator[asyncpg.Pool]:
    pool = await create_pool(url, size=1, application_name=APPLICATION, by_keys=True)
    async with pool:
        await require_privileges(pool, EXPECTED)
        yield pool


async def prune_every(
    plan: Plan, seconds: float, *, tell: Callable[[Pruned], None]
) -> None:
    """A round now and after every pause, until cancelled.

    One that the database cuts short is told in the log; the next one goes on.

    Raises:
        PostgresUnfit: the URL cannot be understood, or the server is too old.
        WrongPrivileges: the login is not exactly as the janitor's should be.
    """
    while True:
        try:
            tell(await prune(plan))
        except STORE_AWAY as error:
            log.warning("pruning failed", error=type(error).__name__)
        await asyncio.sleep(seconds)
