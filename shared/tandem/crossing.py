"""Calls to the loop of another thread, of which many share one wake-up."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeAlias

Call: TypeAlias = tuple[Callable[..., object], tuple[Any, ...]]

MOST_AT_ONCE: Final = 500
"""Calls in one turn of the loop: others have their turns between."""


class Crossing:
    """One way, to one loop. Calls are made in their order.

    They are made in the context in which the crossing was, not in that of a caller.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._context = contextvars.copy_context()
        self._calls: deque[Call] = deque()
        self._is_rung = False

    def call(self, what: Callable[..., object], *args: Any) -> None:
        """From any thread. A loop that is closed by then calls nothing."""
        self._calls.append((what, args))
        # Whoever makes the calls forgets the bell before it looks: a call that
        # finds the bell rung is still seen.
        if not self._is_rung:
            self._ring()

    def _ring(self) -> None:
        self._is_rung = True
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._make_calls, context=self._context)

    def _make_calls(self) -> None:
        self._is_rung = False
        for _ in range(MOST_AT_ONCE):
            if not self._calls:
                return
            what, args = self._calls.popleft()
            try:
                what(*args)
            except Exception as error:  # noqa: BLE001 - the calls behind it are others'
                self.loop.call_exception_handler(
                    {"message": f"a call of {what!r} failed", "exception": error}
                )
        self._ring()
