"""Callers by the client certificate that TLS has verified, as a TOML file lists them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import structlog
from cryptography import x509

from tandem.access import Caller, Scope, parse_scope
from tandem.authentication.presenting import Presented
from tandem.errors import Unauthenticated
from tandem.settings import InvalidSettings
from tandem.watched import Watched

log = structlog.get_logger()

SETTING: Final = "TANDEM_CERTIFICATE_CALLERS"

KNOWN: Final = frozenset({"name", "scopes"})

URI_MARK: Final = "://"


def identities(auth_context: Mapping[str, Iterable[bytes]]) -> tuple[str, ...]:
    """The names in a client's certificate: URIs, then DNS names.

    The common name only where there is neither (RFC 6125, 6.4.4): it is often free for
    its owner to choose. Only a URI of the certificate may look like one.
    """
    uris = _texts(auth_context.get("peer_uri", ()))
    names = (*uris, *_plain(auth_context.get("peer_dns", ())))
    return names or _plain(auth_context.get("x509_common_name", ()))


def _plain(values: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(name for name in _texts(values) if URI_MARK not in name)


@lru_cache(maxsize=1_000)
def expiry(pem: bytes) -> datetime:
    """When the certificate ends. TLS looks at that as a connection begins, and not again."""
    return x509.load_pem_x509_certificate(pem).not_valid_after_utc


def _texts(values: Iterable[bytes]) -> list[str]:
    return [value.decode("utf-8", "replace") for value in values]


class Certificates:
    """Callers that the file lists. It is read again when it changes."""

    def __init__(self, path: Path) -> None:
        """Reads the file.

        Raises:
            InvalidSettings: with all faults of the file at once.
        """
        self._callers = Watched([path], lambda: read_callers(path), on_fault=_kept)

    async def authenticate(self, presented: Presented) -> Caller | None:
        """The caller of the first name that is listed; None where none is.

        Whoever presents a token claims to be the one it names, and nobody else.

        Raises:
            Unauthenticated: the certificate has expired since the connection began.
        """
        if presented.bearer or not presented.identities:
            return None
        if presented.ends is not None and datetime.now(UTC) > presented.ends:
            raise Unauthenticated("the client certificate has expired")
        callers = self._callers.get()
        found = (callers.get(name) for name in presented.identities)
        return next((caller for caller in found if caller is not None), None)


def _kept(fault: ValueError) -> None:
    log.warning("certificate callers not renewed", fault=str(fault))


def read_callers(path: Path) -> dict[str, Caller]:
    """Each caller by the name in its certificate.

    Raises:
        InvalidSettings: with all faults of the file at once.
    """
    faults: list[str] = []
    tables = _tables(path)
    callers = {name: _caller(name, table, faults) for name, table in tables.items()}
    if faults:
        raise InvalidSettings(f"{SETTING}: {path}: {'; '.join(faults)}")
    return callers


def _tables(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        message = f"{SETTING}: cannot read {path}: {error.strerror}"
        raise InvalidSettings(message) from error
    except ValueError as error:
        raise InvalidSettings(f"{SETTING}: {path} is not TOML: {error}") from error


def _caller(identity: str, table: Any, faults: list[str]) -> Caller:
    if not isinstance(table, dict):
        faults.append(f'{identity!r} must be a table: ["{identity}"], then scopes')
        return Caller(identity)
    faults += [f"{identity!r} has {key!r}" for key in sorted(table.keys() - KNOWN)]
    name = table.get("name", identity)
    if not isinstance(name, str) or not name:
        faults.append(f"name of {identity!r} must be a text")
    return Caller(str(name), _scopes(identity, table.get("scopes"), faults))


def _scopes(identity: str, texts: Any, faults: list[str]) -> frozenset[Scope]:
    if not isinstance(texts, list) or not texts or not _all_texts(texts):
        faults.append(f"scopes of {identity!r} must be a list of texts, one at least")
        return frozenset()
    scopes = set()
    for text in texts:
        try:
            scopes.add(parse_scope(text))
        except ValueError as fault:
            faults.append(f"a scope of {identity!r} {fault}")
    return frozenset(scopes)


def _all_texts(values: Sequence[Any]) -> bool:
    return all(isinstance(value, str) for value in values)
