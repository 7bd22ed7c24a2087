"""API keys as text: `tandem_<key id>_<secret>`."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Final

PREFIX: Final = "tandem_"

ID_BYTES: Final = 8
SECRET_BYTES: Final = 32
"""As many random bits as SHA-256 has: nobody finds one by trying."""


@dataclass(frozen=True, slots=True)
class Key:
    """What stands in the text; the secret only as its hash."""

    key_id: str
    secret_hash: bytes = field(repr=False)


def new_key() -> tuple[str, Key]:
    """A new key: its text, which is nowhere else, and what is kept of it."""
    key_id, secret = secrets.token_hex(ID_BYTES), secrets.token_urlsafe(SECRET_BYTES)
    return f"{PREFIX}{key_id}_{secret}", Key(key_id, _hash(secret))


def read_key(text: str) -> Key | None:
    """What the text says; None where it is no key of ours."""
    if not text.startswith(PREFIX):
        return None
    key_id, _, secret = text[len(PREFIX) :].partition("_")
    return Key(key_id, _hash(secret))


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()
