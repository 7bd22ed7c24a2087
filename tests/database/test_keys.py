"""API keys in memory: what a service goes by, and how soon it follows the database."""

from __future__ import annotations

import time
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest

from tandem.access import Scope
from tandem.authentication import key_ring, key_store
from tandem.authentication.key_ring import KeyRing
from tandem.authentication.presenting import Presented
from tandem.errors import StoreUnavailable, Unauthenticated
from tests.support.cluster import Database
from tests.support.keys import a_key

REVOKE_ALL = "UPDATE tandem.api_keys SET revoke_time = now()"


async def test_both_services_may_read_keys_and_the_owner_writes_them(
    owner_pool: asyncpg.Pool, creator_pool: asyncpg.Pool, processor_pool: asyncpg.Pool
) -> None:
    for sql in (key_store.CREATE_KEY, key_store.LIST_KEYS, key_store.REVOKE_KEY):
        async with owner_pool.acquire() as connection:
            await connection.prepare(sql)
    for pool in (creator_pool, processor_pool):
        assert await key_store.read_active(pool) == []
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute(REVOKE_ALL)


async def test_a_new_key_is_known_at_once_and_a_secret_is_not_stored(
    database: Database, creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool
) -> None:
    ring = KeyRing(creator_pool)
    text = await a_key(database, "create:shop", "read:*")

    caller = await ring.authenticate(Presented(text))

    assert caller is not None
    assert caller.scopes == {Scope("create", "shop"), Scope("read", "*")}
    [row] = await owner_pool.fetch("SELECT k::text FROM tandem.api_keys AS k")
    assert text.split("_", 2)[2] not in row["k"]


async def test_a_revoked_key_is_refused_after_the_next_reading(
    database: Database, creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool
) -> None:
    ring = KeyRing(creator_pool)
    text = await a_key(database, "create:shop")
    await ring.authenticate(Presented(text))
    await owner_pool.execute(REVOKE_ALL)

    await ring.read()

    with pytest.raises(Unauthenticated):
        await ring.authenticate(Presented(text))


async def test_unknown_keys_read_the_database_once_a_second_at_most(
    creator_pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = []

    async def counted(pool: Any) -> list[asyncpg.Record]:
        readings.append(pool)
        return []

    monkeypatch.setattr(key_ring, "read_active", counted)
    monkeypatch.setattr(key_ring, "LOOK_AGAIN", 3600.0)
    ring = KeyRing(creator_pool)
    for number in range(20):
        with pytest.raises(Unauthenticated):
            await ring.authenticate(Presented(f"tandem_{number}_x"))

    assert len(readings) == 1


async def test_while_the_database_is_away_known_keys_hold_until_they_expire(
    database: Database, creator_pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = KeyRing(creator_pool)
    lasting = await a_key(database, "read:*")
    passing = await a_key(database, "read:*", expires_in=timedelta(hours=1))
    await ring.read()

    async def away(_pool: Any) -> list[asyncpg.Record]:
        raise ConnectionRefusedError

    monkeypatch.setattr(key_ring, "read_active", away)
    monkeypatch.setattr(key_ring, "LOOK_AGAIN", 0.0)
    assert await ring.authenticate(Presented(passing))
    later = time.monotonic() + 3601
    monkeypatch.setattr(key_ring, "time", SimpleNamespace(monotonic=lambda: later))

    assert await ring.authenticate(Presented(lasting))
    with pytest.raises(Unauthenticated):
        await ring.authenticate(Presented(passing))
    with pytest.raises(StoreUnavailable):
        await ring.authenticate(Presented("tandem_unknown_x"))


async def test_a_scope_that_is_not_known_is_left_out_and_stops_nothing(
    database: Database, creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool
) -> None:
    ring = KeyRing(creator_pool)
    text = await a_key(database, "create:shop")
    other = await a_key(database, "read:*")
    await owner_pool.execute(
        "UPDATE tandem.api_keys SET scopes = '{audit:*,create:shop}' WHERE scopes <@ '{create:shop}'"
    )

    caller = await ring.authenticate(Presented(text))

    assert caller is not None
    assert caller.scopes == {Scope("create", "shop")}
    assert await ring.authenticate(Presented(other))


async def test_scopes_that_were_changed_hold_after_the_next_reading(
    database: Database, creator_pool: asyncpg.Pool, owner_pool: asyncpg.Pool
) -> None:
    ring = KeyRing(creator_pool)
    text = await a_key(database, "create:shop")
    before = await ring.authenticate(Presented(text))
    await ring.read()
    assert await ring.authenticate(Presented(text)) is before

    await owner_pool.execute("UPDATE tandem.api_keys SET scopes = '{read:shop}'")
    await ring.read()

    after = await ring.authenticate(Presented(text))
    assert after is not None
    assert after.scopes == {Scope("read", "shop")}


async def test_a_key_does_not_expire_at_infinity(
    database: Database, owner_pool: asyncpg.Pool
) -> None:
    await a_key(database, "create:shop")
    with pytest.raises(asyncpg.CheckViolationError):
        await owner_pool.execute("UPDATE tandem.api_keys SET expire_time = 'infinity'")
