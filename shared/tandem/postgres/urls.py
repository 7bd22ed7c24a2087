"""One server's URL with another login."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

LOGIN_PARAMETERS: Final = frozenset({"user", "password", "dbname", "database"})


def login_url(admin_url: str, role: str, *, password: str, database: str) -> str:
    """The same server, options included, under another role. It holds the password."""
    parts = urlsplit(admin_url)
    address = parts.netloc.rpartition("@")[2]
    login = f"{quote(role, safe='')}:{quote(password, safe='')}"
    kept = [
        (key, value)
        for key, value in parse_qsl(parts.query, keep_blank_values=True)
        if key not in LOGIN_PARAMETERS
    ]
    return urlunsplit(
        (
            parts.scheme,
            f"{login}@{address}",
            f"/{quote(database, safe='')}",
            urlencode(kept),
            "",
        )
    )
