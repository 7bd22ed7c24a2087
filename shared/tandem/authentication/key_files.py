"""A key set in a file, read again when the file changes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

import structlog

from tandem.authentication.key_set import InvalidKeySet, KeySet, parse_key_set
from tandem.watched import Watched

log = structlog.get_logger()

MAX_KEY_SET_BYTES: Final = 256 * 1024


class KeyFile:
    """The key set of this file. A file that is away or broken leaves the last good one."""

    def __init__(self, path: Path) -> None:
        """Read it.

        Raises:
            InvalidKeySet: it cannot be read, or is none.
        """
        self._watched = Watched([path], partial(_read, path), on_fault=_kept)

    async def current(self) -> KeySet:
        """The keys as of a second ago at most."""
        return self._watched.get()

    async def renewed(self) -> KeySet:
        """The keys as of now, for a token whose key is not among the current ones."""
        return self._watched.look()


def _kept(fault: ValueError) -> None:
    log.warning("key set not read", fault=str(fault))


def _read(path: Path) -> KeySet:
    try:
        with path.open("rb") as file:
            found = file.read(MAX_KEY_SET_BYTES + 1)
    except OSError as error:
        raise InvalidKeySet(f"it cannot be read: {error.strerror}") from error
    if len(found) > MAX_KEY_SET_BYTES:
        raise InvalidKeySet(f"it is longer than {MAX_KEY_SET_BYTES:,} bytes")
    keys = parse_key_set(found)
    log.info("key set read", keys=len(keys.keys))
    return keys
