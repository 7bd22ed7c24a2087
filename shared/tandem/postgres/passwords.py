"""The roles' passwords: made once, kept in a private file, sent as verifiers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Final, Self

ITERATIONS: Final = 4096
"""Of SCRAM-SHA-256, as PostgreSQL itself uses. Generated passwords need no more."""

PREFIX: Final = "tandem_"


class InvalidPasswords(ValueError):
    """Passwords that cannot be used. The message never holds one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passwords:
    """One password per role. Never shown: not in a repr, not in a log."""

    owner: str = field(repr=False)
    creator: str = field(repr=False)
    processor: str = field(repr=False)
    janitor: str = field(repr=False)

    def __post_init__(self) -> None:
        for role, password in asdict(self).items():
            # Outside ASCII, SCRAM asks for a normal form that few agree on.
            if not password or not password.isascii() or not password.isprintable():
                raise InvalidPasswords(f"the password of {role} is not printable ASCII")

    @classmethod
    def generate(cls) -> Self:
        return cls(**{f.name: secrets.token_urlsafe(24) for f in fields(cls)})

    @classmethod
    def load_or_create(cls, path: Path) -> Self:
        """Read the file at `path`; make it (mode 0600) if it is not there.

        Of several processes that make it at once, one wins, and all read its file.

        Raises:
            InvalidPasswords: the file is not one of ours.
        """
        if not path.exists():
            _create(path, cls.generate())
        return cls.load(path)

    def of(self, role: str) -> str:
        """The password of a role by its name in the database."""
        return str(getattr(self, role.removeprefix(PREFIX)))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the file at `path`.

        Raises:
            InvalidPasswords: the file is not one of ours.
        """
        try:
            return cls(**json.loads(path.read_text()))
        except (TypeError, ValueError) as error:
            raise InvalidPasswords(
                f"{path} does not hold the four passwords"
            ) from error


def _create(path: Path, passwords: Passwords) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    opened = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(opened, "w") as file:
        json.dump(asdict(passwords), file, indent=2)
    try:
        # A link never replaces, and never shows half a file.
        path.hardlink_to(draft)
    except FileExistsError:
        return
    finally:
        draft.unlink()


def scram_verifier(password: str) -> str:
    """What PostgreSQL stores in place of a password, so that it never sees one."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    return (
        f"SCRAM-SHA-256${ITERATIONS}:{_base64(salt)}"
        f"${_base64(stored_key)}:{_base64(server_key)}"
    )


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
