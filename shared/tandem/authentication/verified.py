"""Tokens that were verified, so that their signatures are not computed with every call."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from tandem.access import Caller
from tandem.authentication.key_set import KeySet

MOST_KEPT: Final = 4096
"""Tokens. The one that was not seen for longest makes room."""


@dataclass(frozen=True, slots=True)
class _Known:
    caller: Caller
    ends: float


class Verified:
    """Callers by the digests of their tokens, under one key set, until they expire."""

    def __init__(self, leeway: float) -> None:
        """Nothing is known yet.

        Args:
            leeway: seconds for which a token is valid past its time.
        """
        self._leeway = leeway
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._keys: KeySet | None = None

    def __len__(self) -> int:
        return len(self._known)

    def find(self, token: str, keys: KeySet) -> Caller | None:
        """Whom this token proved under these keys, while it is valid."""
        self._forget_unless(keys)
        digest = _digest(token)
        known = self._known.get(digest)
        if known is None:
            return None
        if time.time() >= known.ends:
            del self._known[digest]
            return None
        self._known.move_to_end(digest)
        return known.caller

    def keep(self, token: str, caller: Caller, *, keys: KeySet, expires: float) -> None:
        """Note what a token proved. `expires` is its own word, in seconds of Unix time."""
        self._forget_unless(keys)
        self._known[_digest(token)] = _Known(caller, expires + self._leeway)
        if len(self._known) > MOST_KEPT:
            self._known.popitem(last=False)

    def _forget_unless(self, keys: KeySet) -> None:
        """A key that was withdrawn takes its tokens along; the others prove themselves anew."""
        if keys is not self._keys:
            self._known.clear()
            self._keys = keys


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
