"""A key set in a file, read again when the file changes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import structlog

from tandem.authentication.key_set import InvalidKeySet, KeySet, parse_key_set

log = structlog.get_logger()

MAX_KEY_SET_BYTES: Final = 256 * 1024

LOOK_SECONDS: Final = 1.0
"""How long a change of the file may go unnoticed."""


class KeyFile:
    """The key set of this file. A file that is away or broken leaves the last good one."""

    def __init__(self, path: Path) -> None:
        """Read it.

        Raises:
            InvalidKeySet: it cannot be read, or is none.
        """
        self._path = path
        self._seen = _marks(path)
        self._looked = time.monotonic()
        self._keys = _read(path)

    async def current(self) -> KeySet:
        """The keys as of a second ago at most."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return self._keys
        return await self.renewed()

    async def renewed(self) -> KeySet:
        """The keys as of now, for a token whose key is not among the current ones."""
        self._looked = time.monotonic()
        marks = _marks(self._path)
        if marks != self._seen:
            self._seen = marks
            self._take()
        return self._keys

    def _take(self) -> None:
        try:
            self._keys = _read(self._path)
        except InvalidKeySet as fault:
            log.warning("key set not read", fault=str(fault))
        else:
            log.info("key set read", keys=len(self._keys.keys))


def _marks(path: Path) -> tuple[int, ...]:
    """What tells one state of the file from another."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _read(path: Path) -> KeySet:
    try:
        with path.open("rb") as file:
            found = file.read(MAX_KEY_SET_BYTES + 1)
    except OSError as error:
        raise InvalidKeySet(f"it cannot be read: {error.strerror}") from error
    if len(found) > MAX_KEY_SET_BYTES:
        raise InvalidKeySet(f"it is longer than {MAX_KEY_SET_BYTES:,} bytes")
    return parse_key_set(found)
