"""URLs of servers: whether one can be understood, and the same one with another login."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from tandem.addresses import LARGEST_PORT

LOGIN_PARAMETERS: Final = frozenset({"user", "password", "dbname", "database"})


def is_url(url: str) -> bool:
    """Whether its hosts and ports can be read.

    asyncpg does not say so: it fails with the words it stumbled over, and those may
    be the password, where one with a slash in it was not percent-encoded.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    hosts = parts.netloc.rpartition("@")[2].split(",")
    ports = [host.rpartition("]")[2].partition(":")[2] for host in hosts]
    options = dict(parse_qsl(parts.query))
    return all(map(_is_port, (*ports, *options.get("port", "").split(","))))


def _is_port(text: str) -> bool:
    return not text or (
        text.isascii() and text.isdigit() and 0 < int(text) <= LARGEST_PORT
    )


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
