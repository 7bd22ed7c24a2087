"""API keys of tests, made as `tandem key` makes them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from tandem.access import parse_scope
from tandem.authentication.key_store import create_key, revoke_key
from tandem.authentication.key_text import new_key
from tandem.postgres.connect import connected
from tests.support.cluster import APPLICATION, Database

Metadata = tuple[tuple[str, str], ...]

EVERYTHING: Final = ("create:*", "read:*", "operate:*", "process:*")


def bearer(text: str) -> Metadata:
    return (("authorization", f"Bearer {text}"),)


async def a_key(
    database: Database,
    *scopes: str,
    expires_in: timedelta | None = None,
    is_revoked: bool = False,
) -> str:
    """The text of a new key."""
    text, key = new_key()
    async with connected(database.owner_url, application_name=APPLICATION) as owner:
        await create_key(
            owner,
            key,
            name="caller",
            scopes=map(parse_scope, scopes),
            expires_in=expires_in,
        )
        if is_revoked:
            await revoke_key(owner, key.key_id)
    return text


async def refused_keys(database: Database) -> Mapping[str, Metadata]:
    """What no service accepts, by what is wrong with it."""
    valid = await a_key(database, *EVERYTHING)
    expired = timedelta(seconds=-1)
    return {
        "none": (),
        "no key at all": bearer("secret-word"),
        "another scheme": (("authorization", f"Basic {valid}"),),
        "wrong secret": bearer(valid[:-8] + "AAAAAAAA"),
        "unknown id": bearer(f"tandem_0123456789abcdef_{'A' * 43}"),
        "two": bearer(valid) * 2,
        "expired": bearer(await a_key(database, *EVERYTHING, expires_in=expired)),
        "revoked": bearer(await a_key(database, *EVERYTHING, is_revoked=True)),
    }
