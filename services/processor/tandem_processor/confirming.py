"""Confirmations of ids, of which many share one frame."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

CONFIRM_SECONDS: Final = 0.005
"""How long a confirmation waits for others: each frame interrupts both services.

A stream that breaks meanwhile loses it. The ids then go to another member, whose
claim finds them taken, and which confirms them.
"""


class Confirmations:
    """What a creator is not told of yet."""

    def __init__(self, send: Callable[[Sequence[str]], None]) -> None:
        self._send = send
        self._waiting: list[str] = []

    def add(self, texts: Sequence[str]) -> None:
        """Send these within a moment."""
        if not self._waiting:
            asyncio.get_running_loop().call_later(CONFIRM_SECONDS, self.flush)
        self._waiting += texts

    def flush(self) -> None:
        """Send what waits, if something does."""
        if self._waiting:
            texts, self._waiting = self._waiting, []
            self._send(texts)
