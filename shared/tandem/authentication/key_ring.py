"""The API keys that are valid, in memory: a call costs a look-up and a hash."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Final

import asyncpg
import structlog

from tandem.access import Caller, parse_scope
from tandem.authentication.key_store import read_active
from tandem.authentication.key_text import read_key
from tandem.authentication.presenting import Authenticator, Presented
from tandem.errors import StoreUnavailable, Unauthenticated
from tandem.settings import Settings

log = structlog.get_logger()

READ_SECONDS: Final = 5.0
"""A key that is revoked is refused after so long, at most."""

LOOK_AGAIN: Final = 1.0
"""Seconds. Keys that nobody knows cannot make a process look for them more often."""

READ_LIMIT: Final = 3.0
"""Seconds for the database to answer."""

UNREADABLE: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


@dataclass(frozen=True, slots=True)
class _Held:
    secret_hash: bytes = field(repr=False)
    caller: Caller
    ends: float
    said: tuple[str, ...]
    """The name and the scopes, as they were read."""


class KeyRing:
    """Keys as they were read last. While the database is away they stay, until they expire."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._held: Mapping[str, _Held] = {}
        self._looked_at = -math.inf
        self._is_fresh = False
        self._reading = asyncio.Lock()

    async def authenticate(self, presented: Presented) -> Caller | None:
        key = read_key(presented.bearer)
        if key is None:
            return None
        held = self._held.get(key.key_id) or await self._look_again(key.key_id)
        if held is None or not compare_digest(held.secret_hash, key.secret_hash):
            raise Unauthenticated("no such key, or it was revoked or has expired")
        if time.monotonic() >= held.ends:
            raise Unauthenticated("the key has expired")
        return held.caller

    async def _look_again(self, key_id: str) -> _Held | None:
        async with self._reading:
            if time.monotonic() - self._looked_at >= LOOK_AGAIN:
                self._looked_at = time.monotonic()
                await self._try_to_read()
            held = self._held.get(key_id)
            if held is None and not self._is_fresh:
                raise StoreUnavailable(
                    "keys cannot be read now; send the same call again"
                )
            return held

    async def read(self) -> None:
        """Read them all."""
        self._is_fresh = False
        async with asyncio.timeout(READ_LIMIT):
            rows = await read_active(self._pool)
        self._held = {row["key_id"]: _held(row, self._held) for row in rows}
        self._is_fresh = True

    async def _try_to_read(self) -> None:
        try:
            await self.read()
        except UNREADABLE as error:
            log.warning("keys not read", error=type(error).__name__)

    async def run(self) -> None:
        """Read them again and again, until cancelled."""
        while True:
            await asyncio.sleep(READ_SECONDS - READ_LIMIT)
            async with self._reading:
                await self._try_to_read()


def _held(row: asyncpg.Record, before: Mapping[str, _Held]) -> _Held:
    """The same caller as before, where it is: its scopes are parsed once."""
    seconds = math.inf if row["seconds"] is None else row["seconds"]
    said = (row["name"], *row["scopes"])
    known = before.get(row["key_id"])
    caller = known.caller if known and known.said == said else _caller(row)
    return _Held(row["secret_hash"], caller, time.monotonic() + seconds, said)


def _caller(row: asyncpg.Record) -> Caller:
    """One without the scopes that this release does not know: a newer one may have made them."""
    scopes = set()
    for text in row["scopes"]:
        try:
            scopes.add(parse_scope(text))
        except ValueError as fault:
            log.warning("scope not known", key_id=row["key_id"], fault=str(fault))
    return Caller(row["name"], frozenset(scopes))


@asynccontextmanager
async def opened_key_ring(
    _settings: Settings, pool: asyncpg.Pool
) -> AsyncIterator[Authenticator]:
    """A ring that is kept up to date for the length of a block."""
    ring = KeyRing(pool)
    await ring.read()
    reading = asyncio.create_task(ring.run())
    try:
        yield ring
    finally:
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
