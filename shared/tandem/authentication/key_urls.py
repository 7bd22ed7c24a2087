"""A key set behind a URL: fetched off the loop, seldom, and kept while its issuer is away."""

from __future__ import annotations

import asyncio
import math
import time
from http.client import HTTPException, HTTPResponse
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

import structlog

from tandem.authentication.key_files import MAX_KEY_SET_BYTES
from tandem.authentication.key_set import InvalidKeySet, KeySet, parse_key_set
from tandem.errors import IssuerUnavailable
from tandem.threads import in_thread

log = structlog.get_logger()

FETCH_LIMIT: Final = 5.0
"""Seconds in which the issuer must have answered."""

REFRESH_SECONDS: Final = 300.0
"""A key that its issuer withdrew is trusted no longer than this, and one fetch."""

LAST_SECONDS: Final = 600.0
"""Without a good answer for so long nobody is known by the last one: who keeps the issuer
away must not keep a key that was withdrawn alive."""

APART_SECONDS: Final = 10.0
"""From one fetch to the next, however many tokens name keys that are not known."""

MOST_WAITING: Final = 100
"""Calls that wait for one fetch. Tokens with forged keys must not pile up calls."""


class KeyUrl:
    """The key set of this URL. An issuer that is away leaves the last good one."""

    def __init__(self, url: str) -> None:
        """Nothing is fetched yet.

        Args:
            url: of the key set, over https, or over http on loopback.
        """
        self._url = url
        self._text = b""
        self._keys: KeySet | None = None
        self._begun = -REFRESH_SECONDS
        self._got = -math.inf
        self._failed = True
        self._fetch: asyncio.Task[None] | None = None
        self._waiting = 0

    async def current(self) -> KeySet:
        """The keys as of some minutes ago at most, while the issuer can be reached.

        Raises:
            IssuerUnavailable: it could not be reached yet.
        """
        since = time.monotonic() - self._begun
        long_ago = since > 2 * REFRESH_SECONDS
        if self._keys is None or long_ago or self._is_stale():
            return await self.renewed()
        if since > (APART_SECONDS if self._failed else REFRESH_SECONDS):
            self._begin()
        return self._keys

    async def renewed(self) -> KeySet:
        """The keys as of some seconds ago, for a token whose key is not a current one.

        Raises:
            IssuerUnavailable: it could not be reached yet, or too many calls wait for it.
        """
        if self._fetch is not None or self._is_due():
            await self._wait(self._begin())
        if self._keys is None or self._is_stale():
            raise IssuerUnavailable(AWAY)
        return self._keys

    def _is_stale(self) -> bool:
        return time.monotonic() - self._got > LAST_SECONDS

    def _is_due(self) -> bool:
        return time.monotonic() - self._begun >= APART_SECONDS

    def _begin(self) -> asyncio.Task[None]:
        """The fetch that goes on, or a new one."""
        if self._fetch is None:
            self._begun = time.monotonic()
            self._fetch = asyncio.create_task(self._renew())
        return self._fetch

    async def _wait(self, fetch: asyncio.Task[None]) -> None:
        if self._waiting >= MOST_WAITING:
            raise IssuerUnavailable(AWAY)
        self._waiting += 1
        try:
            await asyncio.shield(fetch)
        finally:
            self._waiting -= 1

    async def _renew(self) -> None:
        try:
            async with asyncio.timeout(FETCH_LIMIT):
                text = await asyncio.wrap_future(in_thread(_fetch, self._url))
            self._take(text)
        except (OSError, ValueError, HTTPException) as error:
            self._failed = True
            log.warning("key set not fetched", fault=_said(error))
        finally:
            self._fetch = None

    def _take(self, text: bytes) -> None:
        if text != self._text:
            self._keys = parse_key_set(text)
            self._text = text
            log.info("key set read", keys=len(self._keys.keys))
        self._got = time.monotonic()
        self._failed = False


AWAY: Final = "the issuer's keys cannot be had now; send the same request again"


def _said(error: Exception) -> str:
    """What went wrong, without the address: it may hold a password."""
    if isinstance(error, InvalidKeySet):
        return str(error)
    reason = error.reason if isinstance(error, URLError) else error
    return type(reason).__name__


class _NoRedirects(HTTPRedirectHandler):
    """The keys are where the operator said, and nowhere else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _fetch(url: str) -> bytes:
    request = Request(url, headers={"Accept": "application/json"})  # noqa: S310 - the settings allow https, and http on loopback
    try:
        answer = build_opener(_NoRedirects).open(request, timeout=FETCH_LIMIT)
    except HTTPError as refusal:
        with refusal:
            raise InvalidKeySet(f"the answer was {refusal.code}") from None
    with answer:
        return _read(answer, until=time.monotonic() + FETCH_LIMIT)


def _read(answer: HTTPResponse, *, until: float) -> bytes:
    """All of it. An issuer that sends a byte a second must not keep its thread."""
    found = bytearray()
    while part := answer.read1(MAX_KEY_SET_BYTES):
        found += part
        if len(found) > MAX_KEY_SET_BYTES:
            raise InvalidKeySet(f"it is longer than {MAX_KEY_SET_BYTES:,} bytes")
        if time.monotonic() > until:
            raise TimeoutError
    return bytes(found)
