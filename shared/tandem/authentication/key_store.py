"""API keys in the database: the owner writes them, both services read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import asyncpg

from tandem.access import Scope
from tandem.authentication.key_text import Key

CREATE_KEY: Final = """
INSERT INTO tandem.api_keys (key_id, name, secret_hash, scopes, expire_time)
VALUES ($1, $2, $3, $4, now() + $5::interval)
RETURNING key_id, name, scopes, create_time, expire_time, revoke_time
"""

LIST_KEYS: Final = """
SELECT k.key_id, k.name, k.scopes, k.create_time, k.expire_time, k.revoke_time
FROM tandem.api_keys AS k
ORDER BY k.create_time DESC, k.key_id
"""

REVOKE_KEY: Final = """
UPDATE tandem.api_keys AS k
SET revoke_time = now()
WHERE k.key_id = $1
  AND k.revoke_time IS NULL
"""

READ_KEY: Final = """
SELECT k.key_id, k.name, k.scopes, k.create_time, k.expire_time, k.revoke_time
FROM tandem.api_keys AS k
WHERE k.key_id = $1
"""

# Seconds, and not a moment: this machine's clock may be another one.
READ_ACTIVE: Final = """
SELECT
    k.key_id, k.name, k.secret_hash, k.scopes,
    extract(epoch FROM k.expire_time - now())::float8 AS seconds
FROM tandem.api_keys AS k
WHERE k.revoke_time IS NULL
  AND (k.expire_time IS NULL OR k.expire_time > now())
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """A key as an operator sees it, without its secret."""

    key_id: str
    name: str
    scopes: Sequence[str]
    create_time: datetime
    expire_time: datetime | None
    revoke_time: datetime | None


async def create_key(
    connection: asyncpg.Connection,
    key: Key,
    *,
    name: str,
    scopes: Iterable[Scope],
    expires_in: timedelta | None,
) -> StoredKey:
    """Store a new key."""
    texts = sorted({str(scope) for scope in scopes})
    row = await connection.fetchrow(
        CREATE_KEY, key.key_id, name, key.secret_hash, texts, expires_in
    )
    assert row is not None
    return StoredKey(**dict(row))


async def list_keys(connection: asyncpg.Connection) -> list[StoredKey]:
    """All keys, newest first, with those that are revoked or have expired."""
    return [StoredKey(**dict(row)) for row in await connection.fetch(LIST_KEYS)]


async def revoke_key(connection: asyncpg.Connection, key_id: str) -> StoredKey | None:
    """End a key. One that was revoked before stays as it is; None: there is none."""
    await connection.execute(REVOKE_KEY, key_id)
    row = await connection.fetchrow(READ_KEY, key_id)
    return None if row is None else StoredKey(**dict(row))


async def read_active(pool: asyncpg.Pool) -> list[asyncpg.Record]:
    """The keys that are valid now, and for how many seconds yet (None: for ever)."""
    found: list[asyncpg.Record] = await pool.fetch(READ_ACTIVE)
    return found
